"""The figures of a replay: means that may be compared, rows that add up, JSON that comes back the same."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from ml_assets.core.errors import MLAssetsError
from ml_assets.core.summary import Comparison, PartitionSummary, Summary, TrainingSummary, Worth

BEFORE = PartitionSummary("2018-12", 100, 90, 10, {"a": 6, "b": 6}, None, None, None, None, None, [])
FIRST = PartitionSummary("2019-01", 120, 100, 20, {"b": 20}, "x", 3.0, 3.0, 7.0, "stable", [])
SECOND = PartitionSummary("2019-02", 300, 300, 0, {}, "y", 4.0, 5.0, 8.0, "drifted", ["speed_mph"])
TRAINING = TrainingSummary("2018-12", "no champion yet", "promote", ["good"], "x", 90, 1.5, 3.1, 7.1)
SUMMARY = Summary("p", "simulated", "mae", "minutes", "y", [BEFORE, FIRST, SECOND], [TRAINING], 12.5)


def of(*partitions: PartitionSummary, metric: str = "mae") -> Comparison:
    return replace(SUMMARY, partitions=list(partitions), metric=metric).comparison()


def test_means_are_weighted_by_validated_rows_of_partitions_with_a_champion() -> None:
    assert SUMMARY.comparison() == Comparison(2, 3.75, 4.5, 7.75)
    # what was measured without a champion does not count
    assert of(replace(BEFORE, metric=9.0, metric_naive=9.0), FIRST, SECOND) == SUMMARY.comparison()


def test_rmse_is_pooled_over_its_squares() -> None:
    got = of(FIRST, SECOND, metric="rmse")
    assert got.live == pytest.approx(math.sqrt((100 * 9 + 300 * 16) / 400))
    assert got.live != of(FIRST, SECOND).live


def test_means_are_over_the_same_partitions() -> None:
    # the naive baseline is unknown in the first: that must not move only one of the means
    assert of(replace(FIRST, metric_naive=None), SECOND) == Comparison(1, 4.0, 5.0, 8.0)
    # a series that does not exist at all takes nothing away from the others
    alone = [replace(p, metric_never_retrained=None) for p in (FIRST, SECOND)]
    assert of(*alone) == Comparison(2, 3.75, None, 7.75)


def test_nothing_known_is_none_and_not_zero() -> None:
    nothing = Comparison(0, None, None, None)
    assert of() == of(BEFORE) == of(replace(FIRST, metric=None)) == nothing
    assert of(replace(FIRST, rows_raw=0, rows_validated=0)).live is None
    apart = [replace(FIRST, metric_naive=None), replace(SECOND, metric_never_retrained=None)]
    assert of(*apart) == nothing


def test_rows_add_up_per_partition_not_only_in_total() -> None:
    assert SUMMARY.accounted()
    assert (SUMMARY.rows_raw, SUMMARY.rows_validated, SUMMARY.rows_quarantined) == (520, 490, 30)
    lost = replace(SUMMARY, partitions=[replace(FIRST, rows_raw=121), replace(SECOND, rows_raw=299)])
    assert lost.rows_raw == lost.rows_validated + lost.rows_quarantined
    assert not lost.accounted()
    assert lost.unaccounted() == ["2019-01", "2019-02"]


def test_reasons_are_added_up_most_frequent_first() -> None:
    assert list(SUMMARY.quarantine_reasons().items()) == [("b", 26), ("a", 6)]


def test_derived_figures_of_a_partition() -> None:
    assert SECOND.saved == 1.0
    assert replace(SECOND, metric_never_retrained=None).saved is None
    assert BEFORE.quarantined_share == 0.1
    assert replace(SECOND, rows_raw=0, rows_validated=0).quarantined_share is None


def test_json_comes_back_the_same_and_has_the_keys_programs_read() -> None:
    text = SUMMARY.to_json()
    assert Summary.from_json(text) == SUMMARY
    assert Summary.from_json(text).to_json() == text
    document = json.loads(text)
    assert " ".join(document) == "pipeline source metric unit label partitions trainings seconds decisions"
    assert " ".join(document["partitions"][0]) == (
        "partition rows_raw rows_validated rows_quarantined quarantine_reasons champion "
        "metric metric_never_retrained metric_naive drift_verdict drifted_features missing_values schema_changes"
    )
    assert " ".join(document["trainings"][0]) == (
        "as_of reason decision reasons bundle rows seconds holdout_metric holdout_metric_naive worth"
    )


WORTH = Worth(0.3, 0.25, 0.35, 900, 3, 3, True, "this retraining was worth it")


def test_what_a_training_was_worth_comes_back_and_is_absent_from_older_summaries() -> None:
    told = replace(SUMMARY, trainings=[replace(TRAINING, worth=WORTH)])
    assert Summary.from_json(told.to_json()) == told
    document = json.loads(told.to_json())
    assert document["trainings"][0]["worth"] == {
        "estimate": 0.3, "low": 0.25, "high": 0.35, "rows": 900, "partitions": 3, "wanted": 3, "closed": True,
        "words": "this retraining was worth it",
    }  # fmt: skip
    assert json.loads(SUMMARY.to_json())["trainings"][0]["worth"] is None
    del document["trainings"][0]["worth"]
    assert Summary.from_json(json.dumps(document)) == SUMMARY
    harm = replace(WORTH, estimate=-0.3, low=-0.35, high=-0.25)
    assert harm.estimate < 0


@pytest.mark.parametrize(
    "changes", [{"estimate": math.nan}, {"low": 0.31}, {"high": 0.2}, {"high": math.inf}, {"rows": -1}]
)
def test_a_worth_that_is_no_interval_is_refused(changes: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="worth: "):
        replace(WORTH, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (lambda d: d.pop("label"), "label: Field required"),
        (lambda d: d.update(colour="red"), "colour: Unexpected keyword argument"),
        (lambda d: d["partitions"][1].update(rows_raw="100"), "partitions.1.rows_raw"),
        (lambda d: d["partitions"][1].update(rows_raw=-1), "rows_raw = -1"),
        (lambda d: d["partitions"][1].update(metric=math.nan), "partitions.1.metric"),
        (lambda d: d["trainings"][0].update(decision="maybe"), "trainings.0.decision"),
    ],
)
def test_json_of_another_shape_is_refused(damage: Callable[[dict[str, Any]], None], named: str) -> None:
    document = json.loads(SUMMARY.to_json())
    damage(document)
    with pytest.raises(MLAssetsError) as caught:
        Summary.from_json(json.dumps(document))
    assert any(named in found for found in caught.value.found)


def test_all_mismatches_are_listed_at_once() -> None:
    document = json.loads(SUMMARY.to_json())
    document["trainings"][0].pop("bundle")
    document["seconds"] = None
    with pytest.raises(MLAssetsError) as caught:
        Summary.from_json(json.dumps(document))
    assert len(caught.value.found) == 2
    with pytest.raises(MLAssetsError, match="Invalid JSON"):
        Summary.from_json("<html>")


@pytest.mark.parametrize("value", [math.nan, math.inf, -0.1])
def test_numbers_that_are_no_figures_are_refused_where_they_arise(value: float) -> None:
    with pytest.raises(ValueError, match="partition 2019-01: metric = "):
        replace(FIRST, metric=value)
    with pytest.raises(ValueError, match="holdout_metric = "):
        replace(TRAINING, holdout_metric=value)
    with pytest.raises(ValueError, match="seconds = "):
        replace(SUMMARY, seconds=value)
    with pytest.raises(ValueError, match=r"quarantine_reasons\.a = -1"):
        replace(FIRST, quarantine_reasons={"a": -1})
    with pytest.raises(ValueError, match=r"missing_values\.a = -1"):
        replace(FIRST, missing_values={"a": -1})
