"""Rules of a contract, one at a time: names, words, and the pandera checks as polars expressions.

What a table's contract is as a whole is in `contract`; applying rules to rows is in `validation`.

pandera's own run over a frame is not used: on a LazyFrame it checks the schema only, and it keeps one record
per failure, which costs more memory than the data when much fails. Its checks are used: each is called once,
on a stand-in for the frame that keeps the expression which the check selects.
"""

import re
from collections.abc import Callable, Collection, Iterable, Set
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import polars as pl

from ml_assets.core.errors import ConfigError

if TYPE_CHECKING:
    from pandera.polars import Check

Kind = Literal["type", "not_null", "finite", "check", "unique", "in_partition"]

_WORDS: dict[str, tuple[str, str]] = {
    "equal_to": ("eq", "= {value}"),
    "not_equal_to": ("ne", "≠ {value}"),
    "greater_than": ("gt", "> {min_value}"),
    "greater_than_or_equal_to": ("ge", "≥ {min_value}"),
    "less_than": ("lt", "< {max_value}"),
    "less_than_or_equal_to": ("le", "≤ {max_value}"),
    "isin": ("isin", "one of {allowed_values}"),
    "notin": ("notin", "none of {forbidden_values}"),
    "str_matches": ("str_matches", "starts with a match of {pattern}"),
    "str_contains": ("str_contains", "contains a match of {pattern}"),
    "str_startswith": ("str_startswith", "starts with {string}"),
    "str_endswith": ("str_endswith", "ends with {string}"),
}
_LISTED = 12


@dataclass(frozen=True)
class Rule:
    """One thing that every row of a table must keep.

    Args:
        name: stable and readable; what `broken_rules` lists: `trip_miles_gt`, `dropoff_at_not_null`.
        kind: `type`: the source's value fits the dtype; `not_null`; `finite`: neither NaN nor infinite;
            `check`: a check of the pandera model; `unique`: no other row has the same key; `in_partition`:
            the event time lies in the partition's window.
        columns: the columns of the contract that decide.
        description: a sentence for people.
        keeps: true for a row that keeps the rule, never null; over a frame of the contract's columns. None
            for the kinds that need more than the row's own values: `type`, `unique`, `in_partition`.
    """

    name: str
    kind: Kind
    columns: tuple[str, ...]
    description: str
    keeps: pl.Expr | None = field(default=None, compare=False, repr=False)


def rule_of_check(check: "Check", column: str | None, schema: pl.Schema, owner: str) -> Rule:
    """The rule of one pandera check; `column` is None for a check of the whole row.

    Raises:
        ConfigError: the check has no expression, or the expression does not fit the columns.
    """
    kept = _expression(check, column, schema, owner)
    keeps = kept.fill_null(bool(check.ignore_na))
    try:
        dtypes = pl.DataFrame(schema=schema).select(keeps).schema.dtypes()
    except pl.exceptions.PolarsError as error:
        raise _unfit(check, owner, str(error).splitlines()[0]) from error
    if dtypes != [pl.Boolean()]:
        raise _unfit(check, owner, f"it selects {dtypes}")
    short, text = words(check)
    if column is None:
        columns = tuple(_columns_read(kept, schema))
        return Rule(check.name, "check", columns, check.description or text, keeps)
    description = check.description or f"{column} {text}"
    return Rule(f"{column}_{short}", "check", (column,), " ".join(description.split()), keeps)


def words(check: "Check") -> tuple[str, str]:
    """A check's short name and its constraint in words: `("gt", "> 0")`.

    >>> import pandera.polars as pa
    >>> words(pa.Check.in_range(1, 180, include_max=False))
    ('in_range', '≥ 1 and < 180')
    """
    stats: dict[str, Any] = check.statistics or {}
    if check.name == "in_range":
        low = "≥" if stats.get("include_min", True) else ">"
        high = "≤" if stats.get("include_max", True) else "<"
        return "in_range", f"{low} {stats['min_value']} and {high} {stats['max_value']}"
    if check.name == "str_length":
        known = {k.removesuffix("_value"): v for k, v in stats.items() if v is not None}
        return "str_length", "has length " + ", ".join(f"{k} {v}" for k, v in known.items())
    if check.name in _WORDS:
        short, text = _WORDS[check.name]
        return short, text.format(**{name: _listed(value) for name, value in stats.items()})
    readable = re.sub(r"[_\s]+", " ", str(check.name)).strip()
    return str(check.name), f"keeps the check “{readable}”"


def limits(check: "Check") -> dict[str, Any]:
    """A check in the keywords of JSON Schema, as far as they can say it.

    >>> import pandera.polars as pa
    >>> limits(pa.Check.in_range(1, 180, include_max=False))
    {'minimum': 1, 'exclusiveMaximum': 180}
    """
    stats: dict[str, Any] = check.statistics or {}
    match check.name:
        case "in_range":
            low = "minimum" if stats.get("include_min", True) else "exclusiveMinimum"
            high = "maximum" if stats.get("include_max", True) else "exclusiveMaximum"
            said = {low: stats["min_value"], high: stats["max_value"]}
        case "greater_than" | "greater_than_or_equal_to":
            said = {"exclusiveMinimum" if check.name == "greater_than" else "minimum": stats["min_value"]}
        case "less_than" | "less_than_or_equal_to":
            said = {"exclusiveMaximum" if check.name == "less_than" else "maximum": stats["max_value"]}
        case "isin":
            return {"enum": sorted(stats["allowed_values"], key=str)}
        case _:
            return {}
    # JSON Schema knows no bounds but numbers: a time's are told in words only.
    return {keyword: value for keyword, value in said.items() if isinstance(value, int | float)}


def _listed(value: object) -> str:
    if isinstance(value, str) or not isinstance(value, Collection):
        return str(getattr(value, "pattern", value))
    values = sorted(value, key=str) if isinstance(value, Set) else list(value)
    shown = ", ".join(str(v) for v in values[:_LISTED])
    return shown if len(values) <= _LISTED else f"{shown}, … ({len(values)} values)"


class _Recorded:
    """What a check selected."""

    def __init__(self, selected: list[pl.Expr]) -> None:
        self.selected = selected


class _Recorder:
    """Stands in for the LazyFrame that a check gets, and records what it selects."""

    def __init__(self, schema: pl.Schema) -> None:
        self._schema = schema

    def select(self, *exprs: object, **named: object) -> _Recorded:
        return _Recorded([expr for given in (*exprs, *named.values()) for expr in _as_expressions(given)])

    def collect_schema(self) -> pl.Schema:
        return self._schema


def _as_expressions(given: object) -> list[pl.Expr]:
    if isinstance(given, pl.Expr):
        return [given]
    if isinstance(given, str):
        return [pl.col(given)]
    if isinstance(given, Iterable):
        return [expr for one in given for expr in _as_expressions(one)]
    return [pl.lit(given)]


def _expression(check: "Check", column: str | None, schema: pl.Schema, owner: str) -> pl.Expr:
    from pandera.polars import PolarsData

    if check.raise_warning:
        raise _unfit(check, owner, "raise_warning=True, but a rule can't warn: it quarantines rows")
    function = partial(_function(check), **check._check_kwargs)
    if check.element_wise:
        names = [column] if column else schema.names()
        return pl.all_horizontal(_value_by_value(name, function) for name in names)
    try:
        answer = function(PolarsData(_Recorder(schema), column or "*"))
    except Exception as error:
        # whatever a user's function raises is the user's to read, with the name of the check on it
        raise _unfit(check, owner, f"{type(error).__name__}: {error}") from error
    if not isinstance(answer, _Recorded) or not answer.selected:
        raise _unfit(check, owner, f"it returns a {type(answer).__name__}, not a select of expressions")
    selected = answer.selected
    if any(expr.meta.has_multiple_outputs() for expr in selected):
        return _on_contract_columns(selected, schema)
    return selected[0] if len(selected) == 1 else pl.all_horizontal(selected)


def _function(check: "Check") -> Callable[..., object]:
    # As pandera's own Check.__call__ does: a check made before the polars versions of the built-in ones were
    # registered holds a copy of the registry without them.
    import pandera.backends.polars.builtin_checks  # noqa: F401

    name = getattr(check._check_fn, "__name__", "")
    function: Callable[..., object] = (
        check.get_builtin_check_fn(name) if check.is_builtin_check(name) else check._check_fn
    )
    return function


def _value_by_value(column: str, function: Callable[[Any], object]) -> pl.Expr:
    def judge(values: pl.Series) -> pl.Series:
        return pl.Series([None if v is None else bool(function(v)) for v in values], dtype=pl.Boolean)

    return pl.col(column).map_batches(judge, return_dtype=pl.Boolean, is_elementwise=True)


def _on_contract_columns(selected: list[pl.Expr], schema: pl.Schema) -> pl.Expr:
    # `pl.all()` and its like must mean the contract's columns, wherever the rule is evaluated. This holds the
    # columns in memory at once, since nothing tells whether the expressions need the whole column.
    def judge(rows: pl.Series) -> pl.Series:
        return rows.struct.unnest().select(pl.all_horizontal(selected).alias("kept")).to_series()

    return pl.struct(schema.names()).map_batches(judge, return_dtype=pl.Boolean, is_elementwise=False)


def _columns_read(expr: pl.Expr, schema: pl.Schema) -> list[str]:
    read = set(expr.meta.root_names())
    return [name for name in schema.names() if name in read]


def _unfit(check: "Check", owner: str, found: str) -> ConfigError:
    return ConfigError(
        f"{owner}, check {check.name!r}",
        found=found,
        expected="a check that gives one Boolean per row: a built-in one, an element-wise one, or a function "
        "that returns data.lazyframe.select(expression) over the contract's columns",
        cure="write it as `return data.lazyframe.select(<Boolean expression>)`",
    )
