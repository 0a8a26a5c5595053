"""Rows in JSON and CSV become columns; what could be taken for another feature's value is refused."""

import pytest

from ml_assets.core.encoding import FeatureSpec
from ml_assets.core.errors import InputRefused
from ml_assets.serving.protocols.rows import Split, instances, of_columns, of_csv, positional, records

SPECS = (FeatureSpec("miles", "number", "miles"), FeatureSpec("zone", "category", None, ("a", "b")))
NAMES = ["miles", "zone"]


def test_rows_in_order_become_columns_by_name():
    assert positional([[1.5, "a"], [None, "b"]], NAMES) == ({"miles": (1.5, None), "zone": ("a", "b")}, 2)
    assert Split(columns=["zone", "miles"], data=[["a", 1.5]]).table() == ({"zone": ("a",), "miles": (1.5,)}, 1)
    assert positional([], NAMES) == ({"miles": (), "zone": ()}, 0)


def test_named_rows_become_columns_in_any_order_of_names():
    rows = [{"miles": 1.5, "zone": "a"}, {"zone": None, "miles": 2.0}]
    assert records(rows) == ({"miles": [1.5, 2.0], "zone": ["a", None]}, 2)
    assert records([]) == ({}, 0)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([[1.5]], "row 0: 1 values[^$]*expected: 2: miles, zone"),
        ([[1.5, "a"], [1.5, "a", 3]], "row 1: 3 values"),
        ([{"miles": 1.5, "zone": "a"}, {"miles": 1.5}], "row 1: zone in it or in row 0, not in both"),
        ([{"miles": 1.5}, [1.5, "a"]], "lists and objects"),
    ],
)
def test_rows_that_do_not_agree_are_refused(rows, said):
    with pytest.raises(InputRefused, match=said):
        instances(rows, lambda: NAMES)


def test_columns_of_one_length_are_a_table():
    assert of_columns({"miles": [1.5], "zone": ["a"]}) == ({"miles": [1.5], "zone": ["a"]}, 1)
    with pytest.raises(InputRefused, match="1 of miles, 2 of zone values"):
        of_columns({"miles": [1.5], "zone": ["a", "b"]})
    with pytest.raises(InputRefused, match="more than once miles"):
        positional([[1.5, 1.5]], ["miles", "miles"])


def test_a_csv_says_what_is_missing_by_nothing_and_a_number_also_by_nan():
    text = 'zone,miles\r\na,1.5\r\n"b, or so",\r\n,NaN\r\nNA,1e3\r\n'
    assert of_csv(text, SPECS, 9) == ({"zone": ["a", "b, or so", None, "NA"], "miles": [1.5, None, None, 1000.0]}, 4)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "CSV: nothing"),
        ("miles,zone\n1.5\n", "row 0: 1 values"),
        ("miles,zone\nfar,a\n", "column miles: could not convert string to float: 'far'"),
        ('miles,zone\n1.5,"a', "unexpected end of data"),
    ],
)
def test_a_csv_that_is_no_table_is_refused(text, said):
    with pytest.raises(InputRefused, match=said):
        of_csv(text, SPECS, 9)


def test_of_a_csv_with_too_many_rows_one_more_is_read():
    assert of_csv("miles,zone\n" + "1,a\n" * 1000, SPECS, 9)[1] == 10


def test_what_a_client_sends_a_lot_of_is_told_in_short():
    many = [f"x{i}" for i in range(100_000)]
    for wrong in (lambda: positional([[1.5]], many), lambda: positional([many], many * 2)):
        with pytest.raises(InputRefused) as caught:
            wrong()
        assert len(str(caught.value)) < 500
    with pytest.raises(InputRefused, match=r"more than once x0, x1, .* and 99990 more"):
        positional([many * 2], many * 2)
    with pytest.raises(InputRefused, match="and 99991 more in it or in row 0"):
        records([dict.fromkeys(many, 1.0), {"miles": 1.5, "zone": "a", "x1": 1.0}])
