"""The prediction log's table: every value as it was given, bundles side by side, labels joined."""

import math
import struct
from datetime import datetime

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_assets.core.prediction_log import (
    SCHEMA,
    Entry,
    fit_for_a_table,
    frame_of,
    joined_by_request,
    microseconds,
    packed,
    unpacked,
)

VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=["Cs"]))


def entry(request_id: str = "a", **changes: object) -> Entry:
    told = Entry(request_id, 0, 1_000_000, "u", "champion", "answered", "ab" * 32, (1.5, "x"), 2.5, 300, None, None)
    return told._replace(**changes)


def bits(value: object) -> object:
    return struct.pack("d", value) if isinstance(value, float) else value


@given(st.lists(VALUES).map(tuple))
def test_values_come_back_as_they_were_given(values):
    found = unpacked(frame_of([entry(values=values)])["values"][0])
    assert [type(v) for v in found] == [type(v) for v in values]
    assert [bits(v) for v in found] == [bits(v) for v in values]


def test_numpys_scalars_come_back_as_pythons():
    values = (np.float32(0.1), np.float64(0.1), np.int64(3), np.bool_(True))
    assert unpacked(packed(values)) == (float(np.float32(0.1)), 0.1, 3, True)


@given(st.lists(st.none() | st.floats() | st.lists(st.floats(), min_size=1, max_size=3), min_size=1, max_size=5))
def test_predictions_of_any_width_lie_side_by_side(predictions):
    found = frame_of([entry(prediction=p) for p in predictions])["prediction"].to_list()
    wanted = [None if p is None else [p] if isinstance(p, float) else p for p in predictions]
    assert [None if p is None else [bits(x) for x in p] for p in found] == [
        None if p is None else [bits(x) for x in p] for p in wanted
    ]


def test_an_entry_is_a_row():
    frame = frame_of([entry("a", row=3, event_us=-5, key=("z", 1)), entry("b", values=None, error="no", latency_us=7)])
    assert frame.schema == SCHEMA
    first, second = frame.iter_rows(named=True)
    assert (first["request_id"], first["row"], first["latency_us"]) == ("a", 3, 300)
    assert first["at"] == datetime(1970, 1, 1, 0, 0, 1)
    assert microseconds(first["event_at"]) == -5
    assert unpacked(first["key"]) == ("z", 1)
    assert (second["values"], second["key"], second["event_at"], second["error"]) == (None, None, None, "no")
    assert frame_of([]).schema == SCHEMA


def test_what_no_column_holds_is_told_apart():
    entries = [entry("a"), entry("b", values=(object(),)), entry("c", prediction="high"), entry("\ud800"), entry("d")]
    good, bad = fit_for_a_table(entries)
    assert [e.request_id for e in good] == ["a", "d"]
    assert [e.request_id for e, _ in bad] == ["b", "c", "\ud800"]
    assert "type object" in bad[0][1]
    with pytest.raises(TypeError):
        frame_of(entries)


def test_the_newest_label_of_a_row_counts():
    requests = frame_of([entry("a"), entry("a", row=1), entry("b"), entry("a", role="shadow")])
    told = {"role": "label", "values": None}
    labels = frame_of(
        [
            entry("a", prediction=2.0, at_us=9, event_us=7, **told),
            entry("a", prediction=1.0, at_us=3, event_us=3, **told),
            entry("a", prediction=5.0, at_us=1, row=1, **told),
            entry("c", prediction=6.0, **told),
        ]
    )
    found = joined_by_request(requests, labels)
    assert found["request_id"].to_list() == ["a", "a", "b", "a"]
    assert found["label"].to_list() == [2.0, 5.0, None, 2.0]
    assert [None if at is None else microseconds(at) for at in found["label_known_at"]] == [7, 1, None, 7]
    assert found.drop("label", "label_known_at").equals(requests)


def test_nan_is_no_null():
    [value] = unpacked(packed((math.nan,)))
    assert math.isnan(value)
    assert pl.Series(frame_of([entry(prediction=math.nan)])["prediction"].explode()).null_count() == 0
