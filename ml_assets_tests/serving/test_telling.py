"""What the server tells others: metrics, its own log, the prediction log, traces."""

import json
import logging
from types import SimpleNamespace

import pytest

from ml_assets.core.errors import ConfigError
from ml_assets.serving.logs import JsonLines, Lines
from ml_assets.serving.metrics import Metrics
from ml_assets.serving.recording import recording, tell_of
from ml_assets.serving.tracing import Traced

from .conftest import COLUMNS, NEW, OLD


def lines(metrics: Metrics) -> dict[str, float]:
    text = metrics.exposition()[0].decode()
    return {f.rsplit(" ", 1)[0]: float(f.rsplit(" ", 1)[1]) for f in text.splitlines() if not f.startswith("#")}


@pytest.mark.parametrize("task", ["regression", "binary"])
def test_scorings_are_counted_by_variant(canary, told, task):
    metrics = Metrics()
    for version in (NEW, OLD):
        canary.model("rides", version).bundle.task = task
    canary.hooks = (metrics.served,)
    columns = {"miles": [0.3, 0.01], "zone": ["a", "b"]}
    canary.infer("rides", columns, 2, variant="champion", features_at=0.0)
    canary.model("rides", OLD).scorer.fails = ZeroDivisionError()
    canary.infer("rides", columns, 2, variant="candidate")
    found = lines(metrics)
    champion = '{pipeline="rides",variant="champion"}'
    assert found[f"ml_assets_predictions_total{champion}"] == 4
    assert found[f"ml_assets_scoring_seconds_count{champion}"] == 2
    assert found['ml_assets_scoring_errors_total{pipeline="rides",variant="candidate"}'] == 1
    assert found[f"ml_assets_scoring_errors_total{champion}"] == 0
    assert found['ml_assets_feature_age_seconds_count{pipeline="rides"}'] == 1
    name = {"regression": "ml_assets_prediction", "binary": "ml_assets_probability"}[task]
    assert found[f"{name}_count{champion}"] == 4
    below = {"regression": '_bucket{le="0.2",', "binary": '_bucket{le="0.2",'}[task]
    assert found[f'{name}{below}pipeline="rides",variant="champion"}}'] == 2


def test_the_ledgers_age_grows_while_it_is_away():
    now = [100.0]
    metrics = Metrics(lambda: now[0])
    metrics.ledger_read(well=True)
    now[0] = 130.0
    metrics.ledger_read(well=False)
    metrics.refresh()
    assert lines(metrics)["ml_assets_ledger_age_seconds"] == 30
    metrics.ledger_read(well=True)
    metrics.refresh()
    assert lines(metrics)["ml_assets_ledger_age_seconds"] == 0


class Log:
    def __init__(self):
        self.entries, self.waiting = [], 7
        self.counters = SimpleNamespace(written=1, dropped=2, failed=3, refused=4)

    def append(self, entry):
        self.entries.append(entry)


def test_answers_become_entries_row_by_row(canary):
    log = Log()
    canary.hooks = (recording({"rides": log}),)
    canary.infer(
        "rides", COLUMNS, 2, request_id="r", unit="u", variant="champion", features_at=0.0, keys=[("k", 1), ("k", 2)],
        events_us=[5, 6],
    )  # fmt: skip
    first, second = log.entries
    assert (first.request_id, first.row, second.row, first.unit, first.variant) == ("r", 0, 1, "u", "champion")
    assert (first.role, first.bundle, first.error) == ("answered", NEW, None)
    assert (first.values, second.values) == ((2.0, "a"), (None, "zz"))
    assert (first.prediction, second.prediction) == (2.0, 0.0)
    assert (first.key, second.event_us) == (("k", 1), 6)
    assert first.feature_age_s > 1e9
    canary.model("rides", OLD).scorer.fails = ZeroDivisionError("bad")
    canary.infer("rides", COLUMNS, 2, variant="candidate")
    roles = [(e.role, e.variant, e.prediction is None, e.error) for e in log.entries[2:]]
    assert roles[0] == ("failed", "candidate", True, "ZeroDivisionError: bad")
    assert roles[2] == ("answered", "champion", False, None)
    metrics = Metrics()
    tell_of({"rides": log}, metrics)
    metrics.refresh()
    found = lines(metrics)
    assert found['ml_assets_queue{pipeline="rides",queue="prediction_log"}'] == 7
    assert found['ml_assets_log_entries{outcome="dropped",pipeline="rides"}'] == 2


def record(**extra):
    logger = logging.getLogger("a test")
    return logger.makeRecord("a test", logging.ERROR, "f", 1, "%s happened", ("it",), None, extra=extra)


def test_a_line_of_the_log_is_json():
    told = json.loads(JsonLines().format(record(pipeline="rides", models={"champion": NEW})))
    assert (told["message"], told["level"], told["pipeline"]) == ("it happened", "error", "rides")
    assert told["models"] == {"champion": NEW}
    failed, why = record(), ZeroDivisionError("why")
    failed.exc_info = (type(why), why, None)
    assert "why" in json.loads(JsonLines().format(failed))["exception"]
    assert "it happened  pipeline=rides" in Lines().format(record(pipeline="rides"))


def test_a_request_is_a_span_of_the_callers_trace(asgi, plane):
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    from .test_app import BODY, EXPOSED, App

    exporter = InMemorySpanExporter()
    traced = Traced(App(plane, EXPOSED), exporter)
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    asgi(traced)("POST", "/score/rides", BODY, [("traceparent", parent), ("X-Request-Id", "r9")])
    asgi(traced)("GET", "/broken")
    traced.provider.force_flush()
    answered, failed = exporter.get_finished_spans()
    assert f"{answered.context.trace_id:032x}" == "0af7651916cd43dd8448eb211c80319c"
    assert answered.attributes["ml_assets.request_id"] == "r9"
    assert answered.attributes["ml_assets.variant"] == "champion"
    assert answered.attributes["http.response.status_code"] == 200
    assert not failed.status.is_ok
    traced.provider.shutdown()


def test_traces_without_the_extra_are_refused_with_the_cure(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(ConfigError, match=r"pip install 'ml-assets\[otel\]'"):
        Traced(None)
