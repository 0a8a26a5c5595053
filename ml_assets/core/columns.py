"""Columns of a contract: how `schema.py` states one, and what is known of it without pandera.

What a table's columns promise together is in `contract`; the rules of each are in `rules`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import polars as pl

from ml_assets.core.conversion import conversion
from ml_assets.core.errors import ConfigError
from ml_assets.core.rules import limits, words

if TYPE_CHECKING:
    from pandera.polars import Column

_METADATA = "ml_assets"


@dataclass(frozen=True, eq=False)
class _Origin:
    """Where `column()` says that values come from. Not compared: an expression has no truth value."""

    source: str | None
    derived: pl.Expr | None
    unit: str | None
    known_at: str | None


def column(
    *,
    source: str | None = None,
    derived: pl.Expr | None = None,
    unit: str | None = None,
    description: str | None = None,
    known_at: str | None = None,
    **pandera_field: Any,
) -> Any:
    """One column of a contract: `pandera.polars.Field` and where its values come from.

    Args:
        source: the source's name of the column; its own name where left out.
        derived: or how to compute it from other columns of the contract; its dtype must be the declared one.
        unit: unit of the values, for people: `miles`, `minutes`, `USD`.
        description: what it is, in the words of the source's data dictionary.
        known_at: the time column that says when the value is known, where that is not the event's time; features
            that read the column are refused then.
        pandera_field: everything else that `pandera.polars.Field` takes: `nullable`, `gt`, `ge`, `lt`, `le`,
            `in_range`, `isin`, `str_matches`, `unique`, …

    Raises:
        ConfigError: both `source` and `derived` are given.
    """
    import pandera.polars as pa

    if source is not None and derived is not None:
        raise ConfigError(
            f"column(source={source!r}, derived=…)",
            found="both source and derived",
            expected="a column that is either read from the source or computed",
            cure="leave one of them out",
        )
    metadata = {**(pandera_field.pop("metadata", None) or {}), _METADATA: _Origin(source, derived, unit, known_at)}
    return pa.Field(description=description, metadata=metadata, **pandera_field)


@dataclass(frozen=True)
class ContractColumn:
    """One column of the validated table.

    Args:
        name: its name in the validated table.
        dtype: its polars dtype there.
        nullable: whether a missing value is information and not a fault.
        required: whether the source must have the column; if not, it is null where the source lacks it.
        unit: unit of its values, if any.
        description: what it is.
        source: its name in the source; None if derived.
        constraints: its checks in words: `> 0`, `one of 1, 2`.
        derived: how it is computed from other columns; None if read from the source.
        known_at: the time column that says when it is known; None: at the event's time.
        limits: its checks in keywords of JSON Schema, where they can say them.
    """

    name: str
    dtype: pl.DataType
    nullable: bool
    required: bool
    unit: str | None
    description: str
    source: str | None
    constraints: tuple[str, ...]
    derived: pl.Expr | None = field(default=None, compare=False, repr=False)
    known_at: str | None = None
    limits: Mapping[str, Any] = field(default_factory=dict, compare=False)


def read_column(table: str, one: "Column") -> ContractColumn:
    """What a column of a pandera schema says.

    Raises:
        ConfigError: it says something that a contract can't hold.
    """
    origin: _Origin = (one.metadata or {}).get(_METADATA, _Origin(None, None, None, None))
    refused = [
        what
        for what, there in {
            "regex=True: a contract names its columns": one.regex,
            "default=…: a missing value is information, it is not made up": one.default is not None,
            "no dtype": one.dtype is None,
            "optional but not nullable: null is what it holds where the source lacks it": (
                not one.required and not one.nullable and origin.derived is None
            ),
        }.items()
        if there
    ]
    if refused:
        raise ConfigError(
            f"{table}.{one.name}",
            found=refused,
            expected="a named column with a dtype and no default",
            cure="change its annotation or its field",
        )
    return ContractColumn(
        name=str(one.name),
        dtype=pl.Series([], dtype=one.dtype.type).dtype,
        nullable=bool(one.nullable),
        required=bool(one.required),
        unit=origin.unit,
        description=" ".join((one.description or "").split()),
        source=None if origin.derived is not None else origin.source or str(one.name),
        constraints=tuple(words(check)[1] for check in one.checks),
        derived=origin.derived,
        known_at=origin.known_at,
        limits={keyword: value for check in one.checks for keyword, value in limits(check).items()},
    )


def refuse_unfit_derivations(table: str, columns: Sequence[ContractColumn], dtypes: pl.Schema) -> None:
    """Refuse expressions that can't be computed or give another dtype than the declared one.

    Raises:
        ConfigError: with all of them.
    """
    found = []
    for c, derived in in_order_of_derivation(table, columns):
        if derived.meta.has_multiple_outputs():
            found.append(f"{c.name}: names its columns by a pattern or all at once")
            continue
        try:
            given = pl.LazyFrame(schema=dtypes).select(derived.alias(c.name)).collect_schema()[c.name]
        except pl.exceptions.PolarsError as error:
            found.append(f"{c.name}: {str(error).splitlines()[0]}")
            continue
        fit = conversion(c.name, given, c.dtype)
        if fit is None or fit.can_fail:
            found.append(f"{c.name} is declared {c.dtype}, its expression gives {given}")
    if found:
        raise ConfigError(
            f"{table}: derived columns",
            found=found,
            expected="expressions over columns of the contract that give the declared dtype",
            cure="cast in the expression, or change the annotation",
        )


def in_order_of_derivation(table: str, columns: Sequence[ContractColumn]) -> list[tuple[ContractColumn, pl.Expr]]:
    """The derived columns with their expressions, each after those it is computed from.

    Raises:
        ConfigError: some are computed from each other.
    """
    waiting = {c.name: (c, c.derived) for c in columns if c.derived is not None}
    order: list[tuple[ContractColumn, pl.Expr]] = []
    while waiting:
        ready = [name for name, (_, derived) in waiting.items() if not waiting.keys() & derived.meta.root_names()]
        if not ready:
            raise ConfigError(
                f"{table}: derived columns",
                found=f"{', '.join(waiting)} are computed from each other",
                expected="columns computed from columns that the source has, directly or by steps",
                cure="give one of them a source",
            )
        order += [waiting.pop(name) for name in ready]
    return order
