"""A rollout on a running server: scored beside, then answered by both, then taken back; moved by the log."""

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import polars as pl
import pytest

from ml_assets.assets.rollout_log import seen_of
from ml_assets.core.releases import ROLLOUT_BEGUN
from ml_assets.core.rollout.machine import begin
from ml_assets.core.rollout.recorded import begun_facts
from ml_assets.core.rollout.rules import Guardrails, Rules
from ml_assets.releasing import ReleaseDesk
from ml_assets.resources.ledger import Ledger
from ml_assets.resources.models import Models
from ml_assets.resources.prediction_log import PredictionLogs
from ml_assets.resources.storage import Store
from ml_assets.rolling_out import RolloutDesk
from ml_assets_tests.serving.running import PIPELINE, Clients, Released, serving, until

pytestmark = pytest.mark.slow

# Two models of other seeds that answer one and the same row: what they predict differs by far more than it varies.
LIMITS = Guardrails(prediction_shift=None, estimated_loss=None, p99_ratio=None)
RULES = Rules(steps=(0, 5_000), guardrails=LIMITS, min_requests=100, min_time=timedelta(0))


@pytest.fixture
def released(tmp_path) -> Released:
    told = Released(tmp_path)
    told.make_live(told.version(1))
    return told


def desk_of(released: Released, pipeline) -> RolloutDesk:
    named = replace(pipeline, name=PIPELINE)
    models = Models(root=str(released.root / "models"))
    return RolloutDesk(
        ReleaseDesk(named, Store(root=str(released.root / "store")), models, Ledger(url=released.ledger.url))
    )


def test_a_candidate_is_scored_beside_then_answers_then_is_taken_back(released, judged):
    champion, candidate = released.version(1), released.version(0)
    desk, logs = desk_of(released, judged.pipeline), PredictionLogs(root=str(released.root / "predictions"))
    scores = released.scores()

    def look():
        seen = lambda r: seen_of(desk.desk.pipeline, r, desk.desk.store, desk.desk.models, logs)  # noqa: E731
        return desk.look(seen, by="a test", now=datetime.now(UTC) + timedelta(minutes=1))

    with serving(released.root) as server, Clients(server.port, 2) as clients:
        until(lambda: clients.answers)
        record = {"as_of": "2018-03", "sha256": "r"}
        told = begin(RULES, datetime.now(UTC), "it was promoted")
        released.append(
            ROLLOUT_BEGUN, **begun_facts("r-1", champion, candidate, record, RULES.to_json(), told, "a test")
        )
        until(lambda: server.metric("ml_assets_shadow_requests", "scored") > 200)
        assert {v for _, v, _ in clients.answers} == {champion}, "nobody is answered by a shadow"
        moved = until(lambda: (found := look()).moves and found)
        assert (moved.action, moved.state.weight) == ("advance", 5_000)
        written = time.monotonic()
        until(lambda: clients.answers[-1][1] == candidate)
        assert time.monotonic() - written < 2
        until(lambda: sum(v == candidate for _, v, _ in list(clients.answers)) > 300)
        desk.ask("abort", by="ann", reason="complaints", now=datetime.now(UTC))
        aborted = time.monotonic()
        until(lambda: server.metric("ml_assets_model", candidate, "candidate") == 0)
        took = time.monotonic() - aborted
        time.sleep(0.3)
    assert took < 2
    assert clients.errors == []
    assert {v for at, v, _ in clients.answers if at > aborted + took + 0.1} == {champion}
    assert all(prediction == scores[version] for _, version, prediction in clients.answers)

    rows = logs.rows(PIPELINE, "requests")
    roles = dict(rows.group_by("role").len().iter_rows())
    assert set(roles) == {"answered", "shadow"}
    canary = rows.filter(pl.col("variant") == "candidate", pl.col("role") == "answered")
    both = canary.join(rows.filter(pl.col("role") == "shadow"), on="request_id", suffix=" beside")
    assert both.height > 0.5 * canary.height, "the champion scores what the candidate answers"
    assert set(both["bundle beside"]) == {champion}
    assert {p[0] for p in both["prediction beside"].to_list()} == {scores[champion]}


def test_a_server_that_starts_in_the_middle_of_a_rollout_goes_on_with_it(released):
    champion, candidate = released.version(1), released.version(0)
    told = begin(replace(RULES, steps=(5_000,)), datetime.now(UTC), "it was promoted")
    facts = begun_facts("r-1", champion, candidate, {"as_of": "", "sha256": "r"}, RULES.to_json(), told, "a test")
    released.append(ROLLOUT_BEGUN, **facts)
    arms = SimpleNamespace(first=None, again=None)
    for name in ("first", "again"):
        with serving(released.root) as server:
            answers = [server.ask(headers=[("X-Unit-Id", f"unit {i}")])[2] for i in range(40)]
            setattr(arms, name, [a.getheader("x-variant") for a in answers])
            server.process.kill()
    assert set(arms.first) == {"champion", "candidate"}
    assert arms.first == arms.again, "the same units, the same arms"
