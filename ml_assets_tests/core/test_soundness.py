"""Every fault of a training set is found and counted; sound parts, and the parts that splits make, have none."""

from dataclasses import replace
from datetime import datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_assets.core.assignment import rows_of
from ml_assets.core.errors import TrainingError
from ml_assets.core.share_split import ShareSplit
from ml_assets.core.soundness import FAULTS, faults_of, require_sound
from ml_assets.core.split import PARTITION, PARTS
from ml_assets.core.time_split import TimeRange, TimeSplit

START = datetime(2019, 1, 1)
DAY = timedelta(days=1)


def day(days: float) -> datetime:
    return START + days * DAY


TIME = TimeSplit(TimeRange(day(0), day(4)), TimeRange(day(5), day(6)), TimeRange(day(7), day(8)), day(8))
RANDOM = ShareSplit("random", validation=0.2, holdout=0.3, seed=0, start=day(0), as_of=day(8))
GROUP = replace(RANDOM, kind="group", group="vendor")
SPLITS = pytest.mark.parametrize("split", [TIME, RANDOM, GROUP], ids=lambda s: s.kind)


def rows(part: str, first: float, *, key: str = "p", number: int = 0, **columns: object) -> pl.DataFrame:
    """Four rows of a part, an hour apart, each label known half an hour later."""
    at = [day(first + i / 24) for i in range(4)]
    return pl.DataFrame(
        {
            PARTITION: key, "row_number": range(number, number + 4), "event_at": at, "label": 1.0,
            "label_known_at": [a + DAY / 48 for a in at], "slice_vendor": f"only in {part}", **columns,
        },
        schema_overrides={"event_at": pl.Datetime("us"), "label_known_at": pl.Datetime("us")},
    )  # fmt: skip


SOUND = {"train": rows("train", 1), "validation": rows("validation", 5, number=4),
         "holdout": rows("holdout", 7, number=8)}  # fmt: skip


def counts(parts, split) -> dict[str, dict[str, int]]:
    """What is wrong, where, in how many rows; without the zeros."""
    found = {fault: {w: n for w, n in places.items() if n} for fault, places in faults_of(parts, split).items()}
    return {fault: places for fault, places in found.items() if places}


def broken(part: str, **columns: object) -> dict[str, pl.DataFrame]:
    return {**SOUND, part: SOUND[part].with_columns(**columns)}


@SPLITS
def test_sound_parts_have_no_fault(split):
    assert counts(SOUND, split) == {}
    assert set(faults_of(SOUND, split)) == set(FAULTS)
    require_sound(SOUND, split)
    require_sound({part: frame.lazy() for part, frame in SOUND.items()}, split)
    require_sound({**SOUND, "holdout": SOUND["holdout"].lazy()}, split)


@SPLITS
def test_a_row_in_two_parts(split):
    parts = broken("holdout", row_number=pl.Series([2, 3, 4, 100]))
    assert counts(parts, split) == {"rows_in_two_parts": {"train and holdout": 2, "validation and holdout": 1}}
    with pytest.raises(TrainingError) as caught:
        require_sound(parts, split)
    assert caught.value.found == ["train and holdout: 2 rows are in both", "validation and holdout: 1 rows are in both"]
    # The same number in another partition is another row.
    require_sound({**parts, "holdout": parts["holdout"].with_columns(pl.lit("q").alias(PARTITION))}, split)


def test_a_group_in_two_parts():
    parts = broken("validation", slice_vendor=pl.Series(["only in train", "only in train", "v", "only in holdout"]))
    assert counts(parts, GROUP) == {
        "rows_of_groups_in_two_parts": {"train and validation": 2, "validation and holdout": 4}
    }
    with pytest.raises(TrainingError, match="2 rows belong to groups that are in both"):
        require_sound(parts, GROUP)
    require_sound(parts, RANDOM)
    require_sound(parts, TIME)


def test_rows_without_a_group_are_a_group():
    nothing = pl.lit(None, pl.String)
    parts = {p: frame.with_columns(slice_vendor=nothing) if p != "validation" else frame for p, frame in SOUND.items()}
    assert counts(parts, GROUP) == {"rows_of_groups_in_two_parts": {"train and holdout": 4}}


@SPLITS
@pytest.mark.parametrize("part", PARTS)
def test_immature_labels(split, part):
    late = pl.when(pl.col("row_number") % 4 == 0).then(split.known_by(part) + timedelta(microseconds=1))
    for columns, expected in (
        ({"label": pl.when(pl.col("row_number") % 4 < 3).then("label")}, 1),
        ({"label_known_at": pl.when(pl.col("row_number") % 4 < 2).then("label_known_at")}, 2),
        ({"label_known_at": late.otherwise("label_known_at")}, 1),
    ):
        found = counts(broken(part, **columns), split)
        assert found.pop("immature_labels") == {part: expected}
        # As-of is the bound of the holdout, and of every part of a split by chance.
        assert set(found) <= ({"labels_known_after_as_of"} if split.known_by(part) == split.as_of else set())
        with pytest.raises(TrainingError, match=f"{part}: {expected} labels are missing or were not known in time"):
            require_sound(broken(part, **columns), split)
    in_time = late.otherwise("label_known_at") - timedelta(microseconds=1)
    require_sound(broken(part, label_known_at=in_time), split)


@SPLITS
@pytest.mark.parametrize("part", PARTS)
def test_labels_known_after_as_of(split, part):
    parts = broken(part, label_known_at=pl.Series([day(1), day(8), day(8.001), day(9)]))
    assert counts(parts, split)["labels_known_after_as_of"] == {part: 2}
    with pytest.raises(TrainingError, match="2 labels became known after the as-of time"):
        require_sound(parts, split)


@SPLITS
@pytest.mark.parametrize("part", PARTS)
def test_events_at_or_after_as_of(split, part):
    events = SOUND[part]["event_at"].to_list()
    parts = broken(part, event_at=pl.Series([events[0], day(8), day(9), None], dtype=pl.Datetime("us")))
    assert counts(parts, split)["events_not_before_as_of"] == {part: 3}
    with pytest.raises(TrainingError, match=f"{part}: 3 events are not before the as-of time"):
        require_sound(parts, split)


@pytest.mark.parametrize(
    ("part", "start", "found"),
    [
        ("train", 4 - 4 / 24, {}),
        ("train", 4 - 3 / 24, {"train and validation": 1}),
        ("train", 4, {"train and validation": 4}),
        ("validation", 4.9, {}),
        ("validation", 6, {"validation and holdout": 4}),
        ("validation", 2 + 1 / 24, {"train and validation": 3}),
        ("holdout", 6.5, {}),
        ("holdout", 6 + 2 / 24, {"validation and holdout": 2}),
        ("holdout", 1, {"validation and holdout": 4}),
    ],
)
def test_parts_too_close_for_the_embargo(part, start, found):
    # Events of a day: gaps of a day are before validation (day 5) and holdout (day 7).
    number = SOUND[part]["row_number"][0]
    parts = {**SOUND, part: rows(part, start, number=number, label_known_at=day(1))}
    assert counts(parts, TIME).get("events_within_the_embargo", {}) == found
    assert "events_within_the_embargo" not in counts(parts, RANDOM)
    if found:
        with pytest.raises(TrainingError, match="too close to the first of the later part"):
            require_sound(parts, TIME)


def test_without_an_embargo_an_earlier_part_must_still_be_earlier():
    adjacent = TimeSplit(TimeRange(day(0), day(5)), TimeRange(day(5), day(7)), TimeRange(day(7), day(8)), day(8))
    touching = {**SOUND, "train": rows("train", 5 - 4 / 24)}
    require_sound(touching, adjacent)
    together = {**SOUND, "train": rows("train", 5 - 3 / 24, label_known_at=day(4))}
    assert counts(together, adjacent) == {"events_within_the_embargo": {"train and validation": 1}}


def test_everything_that_is_wrong_is_listed_at_once():
    parts = {**SOUND, "train": rows("train", 8, number=8, label=None, label_known_at=day(9), slice_vendor="v")}
    parts["holdout"] = parts["holdout"].with_columns(slice_vendor=pl.lit("v"))
    with pytest.raises(TrainingError) as caught:
        require_sound(parts, GROUP)
    assert caught.value.found == [
        f"train and holdout: 4 {FAULTS['rows_in_two_parts']}",
        f"train and holdout: 4 {FAULTS['rows_of_groups_in_two_parts']}",
        f"train: 4 {FAULTS['immature_labels']}",
        f"train: 4 {FAULTS['labels_known_after_as_of']}",
        f"train: 4 {FAULTS['events_not_before_as_of']}",
    ]
    assert "Manifest.rows" in caught.value.cure
    with pytest.raises(TrainingError, match="4 events are too close"):
        require_sound(parts, TIME)


def test_some_parts_and_empty_ones():
    require_sound({"train": SOUND["train"]}, TIME)
    require_sound({part: frame.clear() for part, frame in SOUND.items()}, GROUP)
    assert counts({"train": SOUND["train"], "holdout": SOUND["train"]}, RANDOM) == {
        "rows_in_two_parts": {"train and holdout": 4}
    }


def test_rows_that_can_not_be_told_apart_are_refused():
    parts = {**SOUND, "train": SOUND["train"].drop(PARTITION), "holdout": SOUND["holdout"].drop("slice_vendor")}
    with pytest.raises(TrainingError) as caught:
        require_sound(parts, GROUP)
    assert caught.value.found == [f"train: no column {PARTITION}", "holdout: no column slice_vendor"]


@SPLITS
@settings(derandomize=True, database=None, deadline=None, max_examples=25)
@given(table=st.lists(
    st.tuples(st.integers(-5, 9 * 24), st.none() | st.integers(0, 200), st.none() | st.sampled_from("abcdef")),
    min_size=1, max_size=40,
))  # fmt: skip
def test_the_parts_that_a_split_makes_are_sound(split, table):
    history = {
        key: pl.LazyFrame(
            [
                (i, day(at / 24), 1.0, None if wait is None else day((at + wait) / 24), vendor)
                for i, (at, wait, vendor) in enumerate(table)
            ],
            schema={"row_number": pl.UInt32, "event_at": pl.Datetime("us"), "label": pl.Float64,
                    "label_known_at": pl.Datetime("us"), "slice_vendor": pl.String},
            orient="row",
        )
        for key in ("p", "q")
    }  # fmt: skip
    require_sound({part: rows_of(history, split, part) for part in PARTS}, split)
