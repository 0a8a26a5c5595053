"""A training set's manifest: JSON there and back, its rows, and content that has changed since."""

import json
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise

import polars as pl
import pytest

from ml_assets.core.errors import TrainingError
from ml_assets.core.manifest import Manifest, make_manifest
from ml_assets.core.share_split import ShareSplit
from ml_assets.core.split import PARTITION, UNIT
from ml_assets.core.time_split import time_split
from ml_assets.core.windows import Window

STARTS = [datetime(2018, m, 1) for m in (1, 2, 3, 4)]
WINDOWS = [Window(f"{a:%Y-%m}", a, b) for a, b in pairwise(STARTS)]
DIGESTS = {w.key: letter * 64 for w, letter in zip(WINDOWS, "abc", strict=True)}


def month(window: Window, rows: int = 100) -> pl.LazyFrame:
    step = (window.end - window.start) / rows
    at = [window.start + i * step for i in range(rows)]
    return pl.LazyFrame(
        {
            "row_number": range(rows),
            "event_at": at,
            "label": [float(i) for i in range(rows)],
            # Each tenth label is known only after two months.
            "label_known_at": [a + (timedelta(days=61) if i % 10 == 0 else timedelta(0)) for i, a in enumerate(at)],
            "slice_vendor": [f"v{i % 20}" for i in range(rows)],
        },
        schema_overrides={"event_at": pl.Datetime("us"), "label_known_at": pl.Datetime("us")},
    )


HISTORY = {w.key: month(w) for w in WINDOWS}


def manifest(history=HISTORY, *, min_rows: int = 10, **lengths: float) -> Manifest:
    lengths = {"validation": 0.25, "holdout": 0.5, "embargo": 0.0, **lengths}
    return make_manifest(history, WINDOWS, DIGESTS, split=time_split(WINDOWS, **lengths), min_rows=min_rows)


CHANCE = {
    kind: ShareSplit(kind, validation=0.2, holdout=0.2, seed=5, start=STARTS[0], as_of=STARTS[-1], group=group)
    for kind, group in (("random", None), ("group", "vendor"))
}


def test_it_names_its_partitions_with_their_content():
    made = manifest()
    assert made.as_of == "2018-03"
    assert list(made.partitions.items()) == list(DIGESTS.items())
    assert made.split.as_of == datetime(2018, 4, 1)


def test_its_counts_are_those_of_its_rows():
    made = manifest()
    parts = {p: made.rows(HISTORY, p) for p in ("train", "validation", "holdout")}
    assert {p: frame.height for p, frame in parts.items()} == made.counts.rows
    # The labels that come two months late: all of validation's and holdout's, and those of training but January's.
    assert sum(made.counts.rows.values()) + sum(made.counts.immature.values()) == 300
    assert all(made.counts.immature[p] > 0 for p in parts)
    assert parts["train"]["event_at"].is_sorted()
    assert parts["train"]["event_at"].max() < made.split.validation.start <= parts["validation"]["event_at"].min()
    for part, frame in parts.items():
        assert frame["label_known_at"].max() <= made.split.known_by(part)


def test_more_history_than_it_names_changes_nothing():
    more = {"2017-12": HISTORY["2018-01"], **HISTORY}
    assert manifest().rows(more, "train").equals(manifest().rows(HISTORY, "train"))


def test_json_there_and_back():
    made = manifest(embargo=0.1)
    text = json.dumps(made.to_json())
    assert Manifest.from_json(json.loads(text)) == made
    assert json.dumps(Manifest.from_json(json.loads(text)).to_json()) == text


def test_unchanged_content_is_accepted_and_more_of_it_too():
    manifest().require(DIGESTS)
    manifest().require({**DIGESTS, "2018-04": "d" * 64})


def test_changed_content_is_refused_and_all_of_it_named():
    changed = {**DIGESTS, "2018-02": "f" * 64}
    del changed["2018-03"]
    with pytest.raises(TrainingError) as caught:
        manifest().require(changed)
    assert caught.value.found == [
        f"2018-02: {'f' * 12} in place of {'b' * 12}",
        f"2018-03: missing in place of {'c' * 12}",
    ]
    assert "training_set" in caught.value.cure


def test_too_few_rows():
    with pytest.raises(TrainingError, match="needed: 100000"):
        manifest(min_rows=100_000)


def test_a_learning_window_that_is_too_short():
    with pytest.raises(TrainingError, match="split by time"):
        manifest(validation=3.0)


def test_a_partition_without_a_digest_is_a_mistake_of_the_caller():
    with pytest.raises(KeyError, match="2018-03"):
        make_manifest(HISTORY, WINDOWS, {"2018-01": "", "2018-02": ""}, split=manifest().split, min_rows=1)


def test_equal_means_all_of_it():
    assert manifest() == manifest()
    assert replace(manifest(), as_of="2018-02") != manifest()


def test_rows_are_told_apart():
    rows = manifest().rows(HISTORY, "train")
    assert rows.select(PARTITION, "row_number").is_duplicated().sum() == 0
    assert rows[PARTITION].unique(maintain_order=True).to_list() == ["2018-01", "2018-02", "2018-03"]
    assert rows[UNIT].n_unique() == rows.height
    assert manifest().scan(HISTORY, "train").collect().equals(rows)


@pytest.mark.parametrize("kind", CHANCE)
def test_splits_by_chance_there_and_back(kind):
    made = make_manifest(HISTORY, WINDOWS, DIGESTS, split=CHANCE[kind], min_rows=10)
    record = json.loads(json.dumps(made.to_json()))
    told = record["split"]
    assert (told["kind"], told["seed"], told["shares"]) == (kind, 5, {"validation": 0.2, "holdout": 0.2})
    assert told["group"] == CHANCE[kind].group
    again = Manifest.from_json(record)
    assert again == made
    for part in ("train", "validation", "holdout"):
        assert again.rows(HISTORY, part).height == made.counts.rows[part] > 0


def test_a_manifest_from_when_all_splits_were_by_time():
    record = manifest().to_json()
    del record["split"]["kind"]
    assert Manifest.from_json(record) == manifest()
