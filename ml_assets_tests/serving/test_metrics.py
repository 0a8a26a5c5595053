"""What is noted of requests is counted as prometheus_client itself would count it, one by one."""

import threading
import time
from types import SimpleNamespace

import pytest
from prometheus_client import CollectorRegistry, Histogram

from ml_assets.serving.data_plane import Served
from ml_assets.serving.metrics import AMOUNTS, PAUSE_SECONDS, PIECE, SECONDS, Metrics
from ml_assets.serving.noted import MOST_NOTED, observe_all


def served(prediction=20.0, *, task="regression", variant="champion", latency_us=300, age=None, error=None) -> Served:
    told = {"request_id": "r", "pipeline": "rides", "variant": variant, "version": "f" * 64, "unit": "u",
            "model": SimpleNamespace(pipeline="rides", bundle=SimpleNamespace(task=task)), "columns": {}, "rows": 1,
            "predictions": None if error else [prediction], "at_us": 0, "latency_us": latency_us,
            "feature_age_s": age, "error": error, "shadows": (), "keys": None, "events_us": None}  # fmt: skip
    return Served(**told)


def sample(metrics: Metrics, name: str, **labels) -> float | None:
    metrics.count()
    return metrics.registry.get_sample_value(name, labels)


@pytest.mark.parametrize("bounds", [SECONDS, AMOUNTS])
def test_many_at_once_are_counted_as_one_by_one(bounds):
    values = [*bounds, -1e9, 1e9, 0.0, -0.0, 0.3, 0.3, 20.0, 19.999, 5]
    at_once, single = CollectorRegistry(), CollectorRegistry()
    observe_all(Histogram("h", "h", buckets=bounds, registry=at_once), values)
    observe_all(Histogram("none", "h", buckets=bounds, registry=at_once), [])
    one = Histogram("h", "h", buckets=bounds, registry=single)
    for value in values:
        one.observe(value)

    def told(registry):
        return {(s.name, *s.labels.values()): s.value for m in registry.collect() for s in m.samples if "h" in s.name}

    assert told(at_once) == pytest.approx(told(single))
    assert at_once.get_sample_value("h_count") == len(values)
    assert at_once.get_sample_value("none_count") == 0


def test_answers_by_protocol_and_status():
    metrics = Metrics()
    for status in (200, 200, 400):
        metrics.answered("vertex", status, 0.0002)
    metrics.answered("azure", 200, 3.0)

    assert sample(metrics, "ml_assets_requests_total", protocol="vertex", status="200") == 2
    assert sample(metrics, "ml_assets_requests_total", protocol="vertex", status="400") == 1
    assert sample(metrics, "ml_assets_request_seconds_bucket", protocol="vertex", le="0.00025") == 3
    assert sample(metrics, "ml_assets_request_seconds_bucket", protocol="azure", le="1.0") == 0
    assert sample(metrics, "ml_assets_request_seconds_sum", protocol="azure") == 3.0


def test_scores_by_arm():
    metrics = Metrics()
    for one in (served(), served(21.0, age=30.0), served(error="no"), served(1e9, variant="candidate")):
        metrics.served(one)
    champion = {"pipeline": "rides", "variant": "champion"}

    assert sample(metrics, "ml_assets_predictions_total", **champion) == 2
    assert sample(metrics, "ml_assets_scoring_errors_total", **champion) == 1
    assert sample(metrics, "ml_assets_prediction_bucket", le="20.0", **champion) == 1
    assert sample(metrics, "ml_assets_prediction_count", **champion) == 2
    assert sample(metrics, "ml_assets_scoring_seconds_bucket", le="0.0005", **champion) == 2
    assert sample(metrics, "ml_assets_feature_age_seconds_bucket", pipeline="rides", le="60.0") == 1
    assert sample(metrics, "ml_assets_prediction_bucket", pipeline="rides", variant="candidate", le="+Inf") == 1
    assert sample(metrics, "ml_assets_scoring_errors_total", pipeline="rides", variant="candidate") == 0


def test_of_several_classes_the_largest_share_counts():
    metrics = Metrics()
    metrics.served(served([0.2, 0.7, 0.1], task="multiclass"))

    assert sample(metrics, "ml_assets_probability_bucket", pipeline="rides", variant="champion", le="0.65") == 0
    assert sample(metrics, "ml_assets_probability_bucket", pipeline="rides", variant="champion", le="0.7") == 1


def test_whoever_asks_is_told_of_the_last_request():
    metrics = Metrics()
    metrics.answered("vertex", 200, 0.1)
    metrics.answering = 3
    told = metrics.exposition()[0].decode()

    assert 'ml_assets_requests_total{protocol="vertex",status="200"} 1.0' in told
    assert "ml_assets_requests_in_flight 3.0" in told


def test_what_nobody_asks_for_does_not_grow():
    metrics = Metrics()
    for _ in range(2 * MOST_NOTED):
        metrics.answered("vertex", 200, 0.1)
        metrics.served(served(age=1.0))

    assert len(metrics._all) == 4
    assert all(len(noted.values) < MOST_NOTED for noted in metrics._all)
    assert sample(metrics, "ml_assets_requests_total", protocol="vertex", status="200") == 2 * MOST_NOTED
    assert sample(metrics, "ml_assets_predictions_total", pipeline="rides", variant="champion") == 2 * MOST_NOTED


def test_a_refresh_counts_all_that_was_noted_and_lets_requests_through_meanwhile(monkeypatch):
    metrics, pauses = Metrics(), []
    monkeypatch.setattr(time, "sleep", pauses.append)
    for _ in range(PIECE + 1):
        metrics.served(served())
    metrics.answered("vertex", 200, 0.1)
    metrics.refresh()

    assert sample(metrics, "ml_assets_predictions_total", pipeline="rides", variant="champion") == PIECE + 1
    assert sample(metrics, "ml_assets_requests_total", protocol="vertex", status="200") == 1
    assert pauses == [PAUSE_SECONDS]


def test_nothing_is_lost_or_counted_twice_by_several_threads():
    metrics = Metrics()

    def note():
        for _ in range(500):
            metrics.served(served())
            metrics.answered("vertex", 200, 0.1)
            metrics.refresh()

    threads = [threading.Thread(target=note) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sample(metrics, "ml_assets_predictions_total", pipeline="rides", variant="champion") == 2000
    assert sample(metrics, "ml_assets_requests_total", protocol="vertex", status="200") == 2000
