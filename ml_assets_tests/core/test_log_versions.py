"""When a partition is read from the log: the states that its sensor can find."""

import time
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_assets.core.log_segments import Segment, day_of, microseconds
from ml_assets.core.log_versions import AGAIN_AFTER, Ingested, log_versions, to_ingest
from ml_assets.core.windows import Window

MARCH = Window("2024-03", datetime(2024, 3, 1), datetime(2024, 4, 1))
FEBRUARY = Window("2024-02", datetime(2024, 2, 1), datetime(2024, 3, 1))
NOW = datetime(2024, 5, 1)


def segment(day: str, rows: int = 5, kind: str = "requests", event: str | None = None) -> Segment:
    at, event_us = (microseconds(datetime.fromisoformat(d)) for d in (day, event or day))
    return Segment(kind, at, event_us, event_us + 1, rows, "a", 1)


def by_day(*segments: Segment) -> dict[str, list[Segment]]:
    days: dict[str, list[Segment]] = {}
    for one in segments:
        days.setdefault(day_of(one.first_at), []).append(one)
    return days


def version(*segments: Segment, today: str = "2024-05-01", wait: int = 30) -> str:
    found = log_versions([FEBRUARY, MARCH], by_day(*segments), label_wait=timedelta(days=wait), today=today)
    return found.get(MARCH.key, "")


def test_without_requests_there_is_nothing_to_read():
    assert version() == ""
    assert version(segment("2024-02-29"), segment("2024-04-01")) == ""
    assert version(segment("2024-03-05", kind="labels")) == ""


def test_a_table_without_partitions_has_none():
    days = by_day(segment("2024-03-05"))
    assert log_versions([], days, label_wait=timedelta(days=1), today="2024-05-01") == {}


def test_requests_count_by_the_time_of_their_event():
    assert version(segment("2024-03-05")) == "5 rows, labels of none"
    assert version(segment("2024-03-05"), segment("2024-04-20", event="2024-03-31")) == "10 rows, labels of none"


def test_labels_count_once_a_day_and_not_for_ever():
    one = segment("2024-03-05")
    labels = [segment(day, kind="labels") for day in ("2024-03-06", "2024-04-30", "2024-05-01", "2024-06-20")]
    assert version(one, *labels[:1]) == "5 rows, labels of 2024-03-06"
    assert version(one, *labels[:3]) == "5 rows, labels of 2024-04-30", "today's are not all there yet"
    assert version(one, *labels[:3], today="2024-05-02") == "5 rows, labels of 2024-05-01"
    assert version(one, *labels, today="2025-01-01") == "5 rows, labels of 2024-05-01", "a month has passed"
    assert version(one, *labels, today="2025-01-01", wait=300) == "5 rows, labels of 2024-06-20"


@given(
    st.lists(st.tuples(st.integers(-30, 80), st.integers(0, 40), st.integers(1, 9)), max_size=8),
    st.integers(1, 9),
)
def test_each_file_counts_for_every_window_that_it_overlaps(files, length):
    hour = 3_600_000_000
    start = datetime(1970, 1, 1)
    windows = [
        Window(str(i), start + timedelta(hours=i * length), start + timedelta(hours=(i + 1) * length)) for i in range(6)
    ]
    segments = [
        Segment("requests", 0, first * hour, (first + span) * hour, rows, "a", 1) for first, span, rows in files
    ]
    found = log_versions(windows, by_day(*segments), label_wait=timedelta(days=1), today="2024-01-01")
    for window in windows:
        edges = microseconds(window.start), microseconds(window.end)
        rows = sum(s.rows for s in segments if s.overlaps(*edges))
        assert found.get(window.key, "") == (f"{rows} rows, labels of none" if rows else "")


def test_a_year_of_hours_is_no_matter_of_minutes():
    start = datetime(2023, 1, 1)
    windows = [Window(str(i), start + timedelta(hours=i), start + timedelta(hours=i + 1)) for i in range(8760)]
    segments = [segment("2023-06-01", event=(start + timedelta(minutes=27 * i)).isoformat()) for i in range(20_000)]
    began = time.process_time()
    found = log_versions(windows, by_day(*segments), label_wait=timedelta(days=1), today="2024-01-01")
    assert time.process_time() - began < 2
    assert len(found) == 8760


def done(version: str, features: str = "f", ago: timedelta = AGAIN_AFTER) -> dict[str, Ingested]:
    return {"m": Ingested(version, features, NOW - ago)}


@pytest.mark.parametrize(
    ("holds", "ingested", "features", "asked"),
    [
        ("", {}, {}, {}),
        ("v1", {}, {}, {"m": "v1, features none"}),
        ("v1", {}, {"m": "f" * 64}, {"m": "v1, features ffffffffffff"}),
        ("v1", done("v1"), {"m": "f"}, {}),
        ("v2", done("v1"), {"m": "f"}, {"m": "v2, features f"}),
        ("v2", done("v1", ago=AGAIN_AFTER / 2), {"m": "f"}, {}),
        ("v1", done("v1"), {"m": "g"}, {"m": "v1, features g"}),
        ("v1", done("v1", features=""), {}, {}),
        ("", done("v1"), {"m": "f"}, {}),
    ],
    ids=["nothing", "first", "first with features", "nothing new", "new", "new, but a moment ago", "new features",
         "no key", "gone"],
)  # fmt: skip
def test_what_is_read_anew(holds, ingested, features, asked):
    assert to_ingest({"m": holds}, ingested, features, NOW) == asked
