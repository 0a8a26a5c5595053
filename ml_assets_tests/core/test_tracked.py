"""What a step tells a tracker: written as JSON and read back, under names that every tracker takes."""

import json
from datetime import UTC, datetime

import numpy as np
import pytest

from ml_assets.core.tracked import (
    NAME_LENGTH,
    PARAM_LENGTH,
    DatasetInput,
    Entry,
    TrackedBundle,
    TrackedRun,
    Trial,
    flattened,
    names_for,
    unused,
)

ENTRY = Entry(
    params={"model": {"trees": np.int64(300), "rate": np.float64(0.1)}, "seen": {"b", "a"}, "window": None},
    metrics={"mae": np.float32(0.5), "rows": 7},
    curves={"train": np.array([0.5, 0.25])},
    pictures={"residuals": b"png"},
    files={"report.html": b"html"},
    trials=(Trial(0, {"leaves": 31}, 3.5, "complete", 1.0, 2.0), Trial(1, {"leaves": np.int32(7)}, None, "failed")),
    datasets=(DatasetInput("trips", "ab" * 32, "train", 9, "s3://there"),),
    data_versions={"2019-01": "ab" * 32},
    bundle=TrackedBundle("models", "cd" * 32),
    champion="cd" * 32,
    tags={"study": "one"},
)


def test_an_entry_survives_json_with_the_numbers_it_had():
    record = json.loads(json.dumps(ENTRY.to_json()))
    again = Entry.from_json(record, ENTRY.pictures, ENTRY.files)
    assert again.to_json() == ENTRY.to_json()
    assert again.params == {"model": {"trees": 300, "rate": 0.1}, "seen": ["a", "b"], "window": None}
    assert again.curves == {"train": [0.5, 0.25]}
    assert (again.trials[1].params, again.trials[1].score) == ({"leaves": 7}, None)
    assert (again.bundle, again.datasets, again.pictures) == (ENTRY.bundle, ENTRY.datasets, ENTRY.pictures)
    assert Entry.from_json(json.loads(json.dumps(Entry().to_json())), {}, {}) == Entry()


def test_parameters_are_flat_and_none_is_longer_than_a_tracker_takes():
    flat = flattened(
        {"a": {"b": {"c": 1.5, "d": []}, "e": {}}, "long": "x" * 7000, "when": datetime(2019, 1, 1, tzinfo=UTC)}
    )
    assert flat["a.b.c"] == "1.5"
    assert (flat["a.b.d"], flat["a.e"], flat["when"]) == ("[]", "{}", '"2019-01-01 00:00:00+00:00"')
    assert len(flat["long"]) == PARAM_LENGTH
    assert flat["long"].endswith("…")


@pytest.mark.parametrize("name", ["../up", "/root", "a//b", "", ".", "größe in m²", "x" * 400, "a\nb", "mae: all %"])
def test_every_name_is_one_that_mlflow_takes(name):
    import mlflow.utils.validation as rules

    told = names_for("evaluation", [name])[name]
    rules._validate_metric_name(told)
    rules._validate_param_name(told)
    assert told.startswith("evaluation/")
    assert len(told) <= NAME_LENGTH


def test_names_that_become_the_same_stay_apart():
    told = names_for("s", ["a>1", "a<1", "a_1", "x" * 300, "x" * 301])
    assert len(set(told.values())) == len(told)


def test_a_parameter_that_changed_gets_a_name_of_its_own_and_keeps_it():
    assert unused("trees", "300", {}) == "trees"
    assert unused("trees", "300", {"trees": "300"}) == "trees"
    assert unused("trees", "300", {"trees": "200"}) == "trees.2"
    assert unused("trees", "300", {"trees": "200", "trees.2": "300"}) == "trees.2"


def test_a_run_is_named_and_tagged():
    run = TrackedRun("trip_duration", "0a1b", "2019-03", 5.0, "train", "drift", "ab" * 20)
    assert run.name == "trip_duration 2019-03"
    assert run.tags() == {
        "dagster_run_id": "0a1b", "as_of": "2019-03", "job": "train", "reason": "drift", "git_commit": "ab" * 20
    }  # fmt: skip
    assert TrackedRun("p", "0a1b", "", 5.0).tags() == {"dagster_run_id": "0a1b"}
