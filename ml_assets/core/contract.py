"""A table's contract: what a pandera model in `schema.py` says, as plain data that needs no pandera to use.

What one column says is in `columns`, the rules themselves are in `rules`, applying them is in `validation`,
how a source's value becomes a column's dtype is in `conversion`.
"""

import inspect
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from ml_assets.core.columns import (
    ContractColumn,
    column,
    in_order_of_derivation,
    read_column,
    refuse_unfit_derivations,
)
from ml_assets.core.errors import ConfigError
from ml_assets.core.rules import Rule, rule_of_check

if TYPE_CHECKING:
    from pandera.polars import Column, DataFrameModel

__all__ = ["BROKEN_RULES", "ROW_NUMBER", "Contract", "ContractColumn", "column"]

ROW_NUMBER = "row_number"
BROKEN_RULES = "broken_rules"


@dataclass(frozen=True)
class Contract:
    """What every row of a validated table keeps.

    Args:
        name: the model's name.
        description: the model's docstring.
        columns: in the order of the model.
        rules: in the order in which `broken_rules` lists them; without `in_partition`, see `rules_for`.
        unique: keys, each a tuple of columns, that no two rows may share.
    """

    name: str
    description: str
    columns: tuple[ContractColumn, ...]
    rules: tuple[Rule, ...]
    unique: tuple[tuple[str, ...], ...]

    @property
    def schema(self) -> pl.Schema:
        """Columns and dtypes of the validated table."""
        return pl.Schema({column.name: column.dtype for column in self.columns})

    @property
    def source_schema(self) -> dict[str, pl.DataType]:
        """Columns wanted of the source, and the dtype each will be converted to."""
        return {column.source: column.dtype for column in self.columns if column.source is not None}

    @property
    def optional_sources(self) -> frozenset[str]:
        """Those columns of `source_schema` that the source need not have."""
        return frozenset(c.source for c in self.columns if c.source is not None and not c.required)

    def known_after(self, event_time: str) -> dict[str, str]:
        """Columns whose values are not known at the event's time -> the time column that says when they are."""
        return {c.name: c.known_at for c in self.columns if c.known_at is not None and c.known_at != event_time}

    def rules_for(self, event_time: str) -> tuple[Rule, ...]:
        """All rules of a table whose event time is in this column, `<event_time>_in_partition` included.

        Raises:
            ConfigError: there is no such column, it is no Datetime, or it may be null.
        """
        event = next((column for column in self.columns if column.name == event_time), None)
        if event is None or event.dtype != pl.Datetime or event.nullable:
            raise ConfigError(
                f"event_time {event_time!r}",
                found="no such column" if event is None else f"{event.dtype}, nullable={event.nullable}",
                expected=f"a Datetime column of {self.name} that is not nullable",
                cure=f"name one of {', '.join(c.name for c in self.columns if c.dtype == pl.Datetime)}",
            )
        description = f"{event_time} lies in the partition's window"
        return (*self.rules, Rule(f"{event_time}_in_partition", "in_partition", (event_time,), description))

    def in_order_of_derivation(self) -> list[tuple[ContractColumn, pl.Expr]]:
        """The derived columns with their expressions, each after those it is computed from."""
        return in_order_of_derivation(self.name, self.columns)

    @classmethod
    def from_model(cls, model: "type[DataFrameModel]") -> "Contract":
        """The contract that a `pandera.polars.DataFrameModel` states.

        Raises:
            ConfigError: the model can't be built, or says something a contract can't hold.
        """
        schema = _pandera_schema(model)
        name = str(schema.name or model.__name__)
        columns = tuple(read_column(name, one) for one in schema.columns.values())
        dtypes = pl.Schema({c.name: c.dtype for c in columns})
        unique = _unique_keys(schema)
        _refuse_impossible(name, columns, unique)
        refuse_unfit_derivations(name, columns, dtypes)
        rules = [
            rule
            for c, one in zip(columns, schema.columns.values(), strict=True)
            for rule in _rules_of_column(name, c, one, dtypes)
        ]
        rules += [rule_of_check(check, None, dtypes, name) for check in schema.checks]
        rules += _unique_rules(schema, unique)
        repeated = [rule for rule, n in Counter(rule.name for rule in rules).items() if n > 1]
        if repeated:
            raise ConfigError(
                name,
                found=[f"two rules named {rule}" for rule in repeated],
                expected="one rule per name",
                cure="rename the check's function, or give it a name",
            )
        return cls(name, _own_docstring(model), columns, tuple(rules), unique)


def _pandera_schema(model: Any) -> Any:
    import pandera.polars as pa

    is_model = isinstance(model, type) and issubclass(model, pa.DataFrameModel)
    if not is_model:
        raise ConfigError(
            f"schema {getattr(model, '__name__', model)!r}",
            found=f"{type(model).__name__}",
            expected="a class derived from pandera.polars.DataFrameModel",
            cure="`import pandera.polars as pa` and derive the class from `pa.DataFrameModel`",
        )
    try:
        return model.to_schema()
    except (pa.errors.SchemaInitError, pa.errors.SchemaDefinitionError, TypeError) as error:
        raise ConfigError(
            f"schema {model.__name__}",
            found=str(error),
            expected="a pandera.polars model",
            cure="see https://pandera.readthedocs.io/en/stable/polars.html",
        ) from error


def _own_docstring(model: type) -> str:
    return inspect.cleandoc(model.__dict__.get("__doc__") or "")


def _rules_of_column(table: str, c: ContractColumn, one: "Column", dtypes: pl.Schema) -> list[Rule]:
    rules: list[Rule] = []
    value = pl.col(c.name)
    if c.derived is None:
        rules.append(Rule(f"{c.name}_type", "type", (c.name,), f"{c.name} can be read as {c.dtype}"))
    if not c.nullable:
        rules.append(Rule(f"{c.name}_not_null", "not_null", (c.name,), f"{c.name} is there", value.is_not_null()))
    if c.dtype.is_float():
        finite = value.is_finite().fill_null(True)
        rules.append(Rule(f"{c.name}_finite", "finite", (c.name,), f"{c.name} is a finite number", finite))
    return rules + [rule_of_check(check, c.name, dtypes, f"{table}.{c.name}") for check in one.checks]


def _unique_columns(schema: Any) -> list[tuple[str, ...]]:
    return [(str(name),) for name, one in schema.columns.items() if one.unique]


def _unique_keys(schema: Any) -> tuple[tuple[str, ...], ...]:
    given = schema.unique or []
    given = [given] if isinstance(given, str) else list(given)
    keys = [tuple(given)] if given and all(isinstance(k, str) for k in given) else [tuple(k) for k in given]
    return tuple(dict.fromkeys([*_unique_columns(schema), *keys]))


def _unique_rules(schema: Any, keys: tuple[tuple[str, ...], ...]) -> list[Rule]:
    of_columns = _unique_columns(schema)
    several = len(keys) - len(of_columns) > 1
    rules = []
    for key in keys:
        joint = "unique_" + "_".join(key) if several else "unique"
        name = f"{key[0]}_unique" if key in of_columns else joint
        rules.append(Rule(name, "unique", key, f"no two rows share {', '.join(key)}"))
    return rules


def _refuse_impossible(table: str, columns: tuple[ContractColumn, ...], unique: tuple[tuple[str, ...], ...]) -> None:
    names = {c.name for c in columns}
    found = [f"a column named {name}: the judge adds it" for name in (ROW_NUMBER, BROKEN_RULES) if name in names]
    found += [f"unique names {name}, which is no column" for key in unique for name in key if name not in names]
    read = Counter(c.source for c in columns if c.source is not None)
    found += [f"{source} is the source of {n} columns" for source, n in read.items() if n > 1]
    times = {c.name for c in columns if c.dtype == pl.Datetime}
    found += [
        f"{c.name} is known at {c.known_at}, which is no time column"
        for c in columns
        if c.known_at not in (None, *times)
    ]
    if found:
        raise ConfigError(
            table,
            found=found,
            expected="columns with names of their own, each read from a source column of its own",
            cure="rename, or compute the second one with derived=…",
        )
