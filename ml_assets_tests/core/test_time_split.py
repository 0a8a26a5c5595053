"""Splits by time: bounds, maturity of labels, and what is refused."""

from dataclasses import replace
from datetime import datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_assets.core.assignment import count_rows, rows_of
from ml_assets.core.errors import TrainingError
from ml_assets.core.split import PARTITION, PARTS, UNIT
from ml_assets.core.time_split import TimeRange, TimeSplit, time_split
from ml_assets.core.windows import Window

START = datetime(2019, 1, 1)
DAY = timedelta(days=1)
WINDOWS = [Window(str(i), START + i * DAY, START + (i + 1) * DAY) for i in range(4)]
SPLIT = time_split(WINDOWS, validation=0.25, holdout=0.5)


def day(days: float) -> datetime:
    return START + days * DAY


def events(*rows: tuple[float, float | None, float | None]) -> dict[str, pl.LazyFrame]:
    """Event, label's arrival (in days) and label of each row, in one partition."""
    at, known, label = zip(*rows, strict=True)
    frame = pl.LazyFrame(
        {
            "event_at": [day(t) for t in at],
            "label_known_at": [None if t is None else day(t) for t in known],
            "label": label,
        },
        schema={"event_at": pl.Datetime("us"), "label_known_at": pl.Datetime("us"), "label": pl.Float64},
    )
    return {"all": frame.with_row_index("row_number")}


def test_bounds():
    assert (
        TimeSplit(
            train=TimeRange(day(0), day(3.25)),
            validation=TimeRange(day(3.25), day(3.5)),
            holdout=TimeRange(day(3.5), day(4)),
            as_of=day(4),
        )
        == SPLIT
    )
    gaps = time_split(WINDOWS, validation=0.25, holdout=0.5, embargo=0.125)
    assert (gaps.train.end, gaps.validation.start, gaps.validation.end) == (day(3), day(3.125), day(3.375))
    assert gaps.holdout == SPLIT.holdout


def test_lengths_are_those_of_the_last_window():
    uneven = [Window("long", START, day(10)), Window("short", day(10), day(11))]
    assert time_split(uneven, validation=2, holdout=1).train.end == day(8)


@settings(derandomize=True, database=None, deadline=None)
@given(validation=st.floats(0.01, 3), holdout=st.floats(0.01, 3), embargo=st.floats(0, 1), count=st.integers(1, 6))
def test_parts_never_overlap_and_never_pass_as_of(validation, holdout, embargo, count):
    windows = [Window(str(i), START + i * DAY, START + (i + 1) * DAY) for i in range(count)]
    try:
        made = time_split(windows, validation=validation, holdout=holdout, embargo=embargo)
    except TrainingError:
        assert validation + holdout + 2 * embargo > count - 1e-3
        return
    assert made.train.start == START < made.train.end <= made.validation.start
    assert made.validation.end <= made.holdout.start < made.holdout.end == made.as_of == windows[-1].end
    assert TimeSplit.from_json(made.to_json()) == made


@pytest.mark.parametrize(
    ("windows", "lengths", "words"),
    [
        ([], {}, "no windows"),
        (WINDOWS[::-1], {}, "before"),
        ([WINDOWS[0], WINDOWS[0]], {}, "before"),
        (WINDOWS, {"validation": 0}, "validation: 0"),
        (WINDOWS, {"holdout": -1}, "holdout: -1"),
        (WINDOWS, {"holdout": float("nan")}, "holdout: nan"),
        (WINDOWS, {"embargo": -0.1}, "embargo: -0.1"),
        (WINDOWS[:1], {"validation": 0.5, "holdout": 0.5}, "a range from"),
        (WINDOWS, {"embargo": 2}, "a range from"),
        (WINDOWS, {"validation": 100_000}, "validation: 100000, in a window of 4"),
        (WINDOWS, {"holdout": 1e300}, r"holdout: 1e\+300"),
        (WINDOWS, {"embargo": float("inf")}, "embargo: inf"),
    ],
)
def test_refused(windows, lengths, words):
    with pytest.raises(TrainingError, match=words):
        time_split(windows, **{"validation": 0.25, "holdout": 0.5, **lengths})


def test_a_split_that_overlaps_is_refused():
    with pytest.raises(TrainingError, match="without overlap"):
        replace(SPLIT, validation=TimeRange(day(3), day(3.5)))
    with pytest.raises(TrainingError, match="without overlap"):
        replace(SPLIT, as_of=day(3.9))


def test_each_boundary_belongs_to_the_later_part():
    rows = events((0, 0.1, 1), (3.25, 3.3, 2), (3.5, 3.6, 3), (4, 4, 4), (-0.1, 0, 5))
    assert {p: rows_of(rows, SPLIT, p).collect()["label"].to_list() for p in PARTS} == {
        "train": [1.0],
        "validation": [2.0],
        "holdout": [3.0],
    }


def test_labels_not_known_in_time_are_left_out_and_counted():
    rows = events(
        (1, 3.25, 1), (1, 3.26, 1), (1, None, 1), (1, 2, None),  # train: known by 3.25
        (3.3, 3.5, 1), (3.3, 3.51, 1),  # validation: by 3.5
        (3.9, 4, 1), (3.9, 4.01, 1),  # holdout: by 4
    )  # fmt: skip
    counts = count_rows(rows, SPLIT, min_rows=1)
    assert counts.rows == {"train": 1, "validation": 1, "holdout": 1}
    assert counts.immature == {"train": 2, "validation": 1, "holdout": 1}
    assert counts.unlabelled == {"train": 1, "validation": 0, "holdout": 0}
    assert [rows_of(rows, SPLIT, p).collect().height for p in PARTS] == [1, 1, 1]
    given = rows["all"].collect_schema()
    assert dict(rows_of(rows, SPLIT, "train").collect_schema()) == {
        **given, PARTITION: pl.Enum(["all"]), UNIT: pl.UInt64(),
    }  # fmt: skip


def test_embargo_holds_for_labels_too():
    gaps = time_split(WINDOWS, validation=0.25, holdout=0.5, embargo=0.125)
    assert rows_of(events((2.9, 3.01, 1), (2.9, 3, 2)), gaps, "train").collect()["label"].to_list() == [2.0]


def test_too_few_rows_are_listed():
    with pytest.raises(TrainingError) as caught:
        count_rows(events((1, 2, 1), (3.9, 9, 1)), SPLIT, min_rows=2)
    assert [line.split(" rows")[0] for line in caught.value.found] == ["train: 1", "validation: 0", "holdout: 0"]
    assert "1 more whose label was not known" in caught.value.found[2]


def test_all_mistakes_of_a_split_at_once():
    with pytest.raises(TrainingError) as caught:
        time_split(WINDOWS[::-1], validation=0, holdout=-1, embargo=-1)
    assert [found.split()[0] for found in caught.value.found] == ["validation:", "holdout:", "embargo:"] + [
        "window"
    ] * 3


MINUTES = st.integers(-60, 5 * 24 * 60)


@settings(derandomize=True, database=None, deadline=None, max_examples=60)
@given(
    rows=st.lists(st.tuples(MINUTES, st.none() | st.integers(0, 2000), st.booleans()), min_size=1, max_size=40),
    embargo=st.sampled_from([0.0, 0.1, 0.5]),
)
def test_no_part_sees_a_row_of_another_or_a_label_too_early(rows, embargo):
    split = time_split(WINDOWS, validation=0.25, holdout=0.5, embargo=embargo)
    table = events(*((at / 1440, None if wait is None else (at + wait) / 1440, 1.0 if known else None)
                     for at, wait, known in rows))  # fmt: skip
    parts = {p: rows_of(table, split, p).collect() for p in PARTS}
    numbers = [n for part in parts.values() for n in part["row_number"]]
    assert len(numbers) == len(set(numbers))
    for part, found in parts.items():
        start, end = {"train": (split.train.start, split.train.end),
                      "validation": (split.validation.start, split.validation.end),
                      "holdout": (split.holdout.start, split.as_of)}[part]  # fmt: skip
        bound = {"train": split.train.end, "validation": split.holdout.start, "holdout": split.as_of}[part]
        assert all(start <= at < end for at in found["event_at"])
        assert all(at <= bound for at in found["label_known_at"])
        assert found["label"].null_count() == 0
        # And none is lost that could have been had.
        usable = [known and wait is not None and start <= day(at / 1440) < end and day((at + wait) / 1440) <= bound
                  for at, wait, known in rows]  # fmt: skip
        assert found.height == sum(usable)


def test_a_validation_label_may_come_in_the_gap_before_the_holdout():
    gaps = time_split(WINDOWS, validation=0.25, holdout=0.5, embargo=0.125)
    rows = events((3.3, 3.45, 1), (3.3, 3.5, 2), (3.3, 3.51, 3))
    assert rows_of(rows, gaps, "validation").collect()["label"].to_list() == [1.0, 2.0]


def test_nothing_is_learnt_from_no_rows_whatever_is_asked():
    with pytest.raises(TrainingError, match="train: 0 rows"):
        count_rows(events((3.3, 3.4, 1), (3.6, 3.7, 1)), SPLIT, min_rows=0)


def test_what_learnt_nothing_from_the_holdout_on_may_be_judged_by_it():
    gaps = time_split(WINDOWS, validation=0.25, holdout=0.5, embargo=0.125)
    assert gaps.learns_until == gaps.validation.end < gaps.holdout.start
    assert gaps.may_judge(gaps)
    later = time_split(WINDOWS, validation=0.125, holdout=0.125)
    assert later.learns_until > gaps.holdout.start
    assert not gaps.may_judge(later)
    assert gaps.gap("train", "validation") == gaps.gap("validation", "holdout") == DAY / 8
    assert gaps.gap("train", "holdout") == DAY / 2
    assert gaps.to_json()["kind"] == "time"
    assert gaps.group_column is None


def test_a_row_in_a_gap_or_without_a_time_is_in_no_part():
    gaps = time_split(WINDOWS, validation=0.25, holdout=0.5, embargo=0.125)
    rows = events((3.05, 3.06, 1), (1, 2, 2))
    rows["all"] = pl.concat([rows["all"], rows["all"].with_columns(event_at=pl.lit(None, pl.Datetime("us")))])
    assert [rows_of(rows, gaps, p).collect().height for p in PARTS] == [1, 0, 0]
