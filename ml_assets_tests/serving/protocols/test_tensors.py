"""Tensors become columns: what datatypes hold, what shapes may be, and what is refused."""

import struct

import pytest

from ml_assets.core.errors import InputRefused
from ml_assets.serving.protocols.tensors import columns_of, flat, from_raw, from_values, output_shape, to_raw

NAMES = ["miles", "hour", "people"]


def features():
    return NAMES


def never():
    raise AssertionError("asked for features without need")


@pytest.mark.parametrize(
    ("datatype", "given", "held"),
    [
        ("FP64", [0.1, 2, None], [0.1, 2, None]),
        ("FP32", [0.1, None], [0.10000000149011612, None]),
        ("FP16", [0.1], [0.0999755859375]),
        ("INT64", [2**63 - 1, None], [2**63 - 1, None]),
        ("INT8", [-128, 127], [-128, 127]),
        ("UINT8", [255], [255]),
        ("BOOL", [True, None], [True, None]),
        ("BYTES", ["z1", "", None], ["z1", "", None]),
    ],
)
def test_values_are_what_the_datatype_can_hold(datatype, given, held):
    assert from_values("t", datatype, [len(given)], given) == held


@pytest.mark.parametrize(
    ("datatype", "letter", "values"),
    [("FP64", "d", (0.1, -1.0)), ("FP32", "f", (0.5,)), ("FP16", "e", (0.5,)), ("INT64", "q", (-5, 7)),
     ("INT32", "i", (-5,)), ("INT16", "h", (-5,)), ("INT8", "b", (-5,)), ("UINT64", "Q", (2**64 - 1,)),
     ("UINT32", "I", (5,)), ("UINT16", "H", (5,)), ("UINT8", "B", (5,)), ("BOOL", "?", (True, False))],
)  # fmt: skip
def test_bytes_are_little_endian_values(datatype, letter, values):
    raw = struct.pack(f"<{len(values)}{letter}", *values)
    assert from_raw("t", datatype, [len(values)], raw) == values
    with pytest.raises(InputRefused, match=rf"{len(raw) - 1} bytes[^$]*expected: {len(raw)}"):
        from_raw("t", datatype, [len(values)], raw[:-1])


def test_the_same_number_in_any_form_is_the_same_value():
    assert tuple(from_values("t", "FP32", [1], [0.1])) == from_raw("t", "FP32", [1], struct.pack("<f", 0.1))


def text_bytes(*texts: bytes) -> bytes:
    return b"".join(struct.pack("<I", len(t)) + t for t in texts)


def test_texts_come_after_their_length():
    raw = text_bytes(b"z1", b"", "é".encode())
    assert from_raw("t", "BYTES", [3], memoryview(raw)) == ["z1", "", "é"]
    for broken, said in (
        (raw[:-1], "end within a text"),
        (raw + b"\1", "end within"),
        (text_bytes(b"\xff"), "no UTF-8"),
    ):
        with pytest.raises(InputRefused, match=said):
            from_raw("t", "BYTES", [3], broken)
    with pytest.raises(InputRefused, match=r"3 values[^$]*expected: 2"):
        from_raw("t", "BYTES", [2], raw)


@pytest.mark.parametrize(
    ("datatype", "shape", "data", "said"),
    [
        ("FP64", [1], [True], "True in data of datatype FP64"),
        ("FP64", [1], ["0.1"], "'0.1' in data of datatype FP64"),
        ("INT64", [1], [1.5], "1.5 in data"),
        ("BOOL", [1], [1], "1 in data of datatype BOOL"),
        ("BYTES", [1], [1], "1 in data of datatype BYTES"),
        ("FP64", [1], [{}], "{} in data"),
        ("INT8", [1], [128], "out of range"),
        ("UINT8", [1], [-1], "out of range"),
        ("INT64", [1], [2**63], "out of range"),
        ("FP32", [1], [1e39], "out of range"),
        ("FP64", [2], [1.0], "1 values"),
        ("FP64", [2, 2], [[1.0, 2.0], 3.0], "different depths"),
        ("FP64", [2**62] * 100_000, [1.0], "100000 dimensions"),
        ("FP64", [-1], [1.0], r"shape \[-1\]"),
        ("FP128", [1], [1.0], "datatype 'FP128'"),
        ("X" * 10_000, [1], [1.0], r"datatype 'X{56}\.\.\."),
    ],
)
def test_values_that_are_not_of_the_datatype_or_shape_are_refused(datatype, shape, data, said):
    with pytest.raises(InputRefused, match=said):
        from_values("t", datatype, shape, data)


def test_nested_data_are_read_row_by_row():
    assert from_values("t", "FP64", [2, 2], [[1.0, 2.0], [3.0, 4.0]]) == [1.0, 2.0, 3.0, 4.0]
    assert from_values("t", "FP64", [2, 1], [[1.0], [2.0]]) == [1.0, 2.0]


def test_a_tensor_for_each_feature_is_a_column_each():
    parts = [("miles", [2], [1.0, 2.0]), ("hour", [2, 1], [7, None])]
    assert columns_of(parts, never) == ({"miles": [1.0, 2.0], "hour": [7, None]}, 2)
    assert columns_of([("miles", [2, 1], [1.0, 2.0])], features) == ({"miles": [1.0, 2.0]}, 2)


def test_one_matrix_is_the_features_in_the_models_order():
    matrix = ("input-0", [2, 3], [1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    assert columns_of([matrix], features) == ({"miles": [1.0, 4.0], "hour": [2.0, 5.0], "people": [3.0, 6.0]}, 2)


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ([], "no tensor"),
        ([("miles", [1], [1.0]), ("miles", [1], [2.0])], "it comes twice"),
        ([("miles", [1], [1.0]), ("hour", [2], [1.0, 2.0])], "2 rows[^$]*expected: 1"),
        ([("miles", [1, 2], [1.0, 2.0])], r"shape \[1, 2\]"),
        ([("miles", [], [1.0])], r"shape \[\]"),
        ([("input-0", [1, 2], [1.0, 2.0])], "2 columns[^$]*3, the features in the model's order: miles, hour, people"),
    ],
)
def test_tensors_that_are_no_table_are_refused(parts, said):
    with pytest.raises(InputRefused, match=said):
        columns_of(parts, features)


def test_predictions_are_a_tensor_of_rows_or_of_rows_and_classes():
    assert (output_shape([0.5, 1.5]), list(flat([0.5, 1.5]))) == ([2], [0.5, 1.5])
    assert (output_shape([[0.5, 0.25, 0.25]]), flat([[0.5, 0.25, 0.25]])) == ([1, 3], [0.5, 0.25, 0.25])
    assert to_raw([[0.5, 0.25]]) == struct.pack("<2d", 0.5, 0.25)
