import re

import pandera.polars as pa
import polars as pl
import polars.selectors as cs
import pytest
from pandera import extensions

from ml_assets.core.errors import ConfigError
from ml_assets.core.rules import Rule, rule_of_check, words

SCHEMA = pl.Schema({"miles": pl.Float64, "fare": pl.Float64, "code": pl.Int64, "flag": pl.String})
ROWS = pl.DataFrame(
    {
        "miles": [1.0, -1.0, None, 50.0],
        "fare": [5.0, 5.0, 5.0, -5.0],
        "code": [1, 2, 3, None],
        "flag": ["Y", "N", None, "maybe"],
    },
    schema=SCHEMA,
)


def kept(check: pa.Check, column: str | None = None, rows: pl.DataFrame = ROWS) -> list[bool]:
    rule = rule_of_check(check, column, SCHEMA, "T")
    assert rule.keeps is not None
    return rows.with_columns(rule.keeps.alias("keeps"), pl.lit(0).alias("row_number"))["keeps"].to_list()


def selecting(*exprs: object, **options: object) -> pa.Check:
    return pa.Check(lambda data: data.lazyframe.select(*exprs), name="mine", **options)


@pytest.mark.parametrize(
    ("check", "column", "expected"),
    [
        (pa.Check.gt(0), "miles", [True, False, True, True]),
        (pa.Check.ge(-1), "miles", [True, True, True, True]),
        (pa.Check.lt(50), "miles", [True, True, True, False]),
        (pa.Check.le(1), "miles", [True, True, True, False]),
        (pa.Check.eq(1), "code", [True, False, False, True]),
        (pa.Check.ne(1), "code", [False, True, True, True]),
        (pa.Check.in_range(0, 50, include_max=False), "miles", [True, False, True, False]),
        (pa.Check.isin([1, 2]), "code", [True, True, False, True]),
        (pa.Check.notin([1, 2]), "code", [False, False, True, True]),
        (pa.Check.str_matches("[YN]$"), "flag", [True, True, True, False]),
        (pa.Check.str_contains(re.compile("a")), "flag", [False, False, True, True]),
        (pa.Check.str_startswith("m"), "flag", [False, False, True, True]),
        (pa.Check.str_endswith("N"), "flag", [False, True, True, False]),
        (pa.Check.str_length(1, 1), "flag", [True, True, True, False]),
        (pa.Check.gt(0, ignore_na=False), "miles", [True, False, False, True]),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_built_in_checks_let_nulls_pass(check: pa.Check, column: str, expected: list[bool]) -> None:
    assert kept(check, column) == expected


def test_element_wise_checks_see_values_one_by_one() -> None:
    assert kept(pa.Check(lambda x: x % 2 == 0, element_wise=True), "code") == [False, True, False, True]
    numbers = pl.Schema({"a": pl.Int64, "b": pl.Int64})
    rule = rule_of_check(pa.Check(lambda x: x > 0, element_wise=True, name="positive"), None, numbers, "T")
    assert rule.keeps is not None
    assert pl.DataFrame({"a": [1, 1], "b": [1, 0]}).select(rule.keeps).to_series().to_list() == [True, False]


@pytest.mark.parametrize(
    ("check", "expected"),
    [
        (selecting(pl.col("fare") > pl.col("miles")), [True, True, True, False]),
        (selecting(pl.col("fare") > 0, pl.col("miles") > 0), [True, False, True, False]),
        (selecting([pl.col("fare") > 0, pl.col("miles") > 0]), [True, False, True, False]),
        (selecting(pl.col("fare", "miles") > 0), [True, False, True, False]),
        (selecting(cs.float() > 0), [True, False, True, False]),
        (selecting(pl.all_horizontal(cs.numeric() > 0)), [True, False, True, False]),
        (selecting((pl.col("fare") > 0).all()), [False, False, False, False]),
        (selecting(pl.col("fare") <= pl.col("fare").mean().over("code")), [True, True, True, True]),
        (selecting(True), [True, True, True, True]),
        (selecting(pl.col("miles") > 0, ignore_na=False), [True, False, False, True]),
    ],
    ids=range(10),
)
def test_checks_of_the_row_are_what_they_select(check: pa.Check, expected: list[bool]) -> None:
    assert kept(check) == expected


def test_a_check_may_look_at_the_schema_and_its_key() -> None:
    def positive_if_float(data: pa.PolarsData) -> pl.LazyFrame:
        assert data.lazyframe.collect_schema()[data.key] == pl.Float64
        return data.lazyframe.select(kept=pl.col(data.key) > 0)

    assert kept(pa.Check(positive_if_float), "miles") == [True, False, True, True]


def test_a_registered_check_is_a_rule() -> None:
    @extensions.register_check_method(statistics=["factor"])
    def multiple_of(data, *, factor):
        return data.lazyframe.select(pl.col(data.key) % factor == 0)

    assert kept(pa.Check.multiple_of(factor=2), "code") == [False, True, False, True]


@pytest.mark.parametrize(
    ("check", "found"),
    [
        (pa.Check(lambda data: True, name="mine"), "returns a bool"),
        (pa.Check(lambda data: data.lazyframe.select(), name="mine"), "not a select"),
        (pa.Check(lambda data: data.lazyframe.filter(pl.col("fare") > 0), name="mine"), "filter"),
        (pa.Check(lambda data: data.lazyframe.select(pl.col("fare") > 0).collect(), name="mine"), "collect"),
        (pa.Check.unique_values_eq([1], name="mine"), "collect"),
        (selecting(pl.col("fair") > 0), "fair"),
        (selecting(pl.col("fare")), "Float64"),
        (selecting(pl.col("fare").is_in(["a"])), "is_in"),
        (selecting(pl.col("fare") > 0, raise_warning=True), "raise_warning"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_check_without_a_usable_expression_is_named(check: pa.Check, found: str) -> None:
    with pytest.raises(ConfigError, match="mine") as raised:
        rule_of_check(check, "code", SCHEMA, "T.code")
    assert found in str(raised.value)
    assert "T.code" in raised.value.thing


def test_names_and_words() -> None:
    assert words(pa.Check.isin([2, 1])) == ("isin", "one of 2, 1")
    assert words(pa.Check.isin(range(1, 264)))[1].endswith("12, … (263 values)")
    assert words(pa.Check.str_length(2, None)) == ("str_length", "has length min 2")
    assert words(pa.Check.str_matches(re.compile("a+")))[1] == "starts with a match of a+"
    assert words(pa.Check.in_range(0, 1, include_min=False))[1] == "> 0 and ≤ 1"
    assert rule_of_check(pa.Check.gt(0), "miles", SCHEMA, "T") == Rule("miles_gt", "check", ("miles",), "miles > 0")
    row = rule_of_check(selecting(pl.col("fare") > pl.col("miles")), None, SCHEMA, "T")
    assert (row.name, row.columns) == ("mine", ("miles", "fare"))
