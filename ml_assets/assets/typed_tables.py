"""Small tables that people read: declared once, held to their constraints by dagster-pandas when a step hands one over.

A declaration needs no pandas, which must not be imported when the code location loads; the dagster-pandas type is
built when the first frame is checked. How such a table is stored is in `resources.tables`.
"""

import hashlib
import math
import sys
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

import dagster as dg

from ml_assets.assets.metadata import SHOWN_DIGITS, versioned
from ml_assets.resources.tables import SCHEMA, csv_bytes, pandas_dtype

if TYPE_CHECKING:
    from pandas import DataFrame
else:
    DataFrame = Any

UNIT = "{unit}"
"""Stands in a description for the unit of a pipeline's label, which is known when its schema is imported."""

Kind = Literal["text", "integer", "number"]


@dataclass(frozen=True)
class TypedColumn:
    """One column.

    Args:
        name: its name.
        kind: `text`, `integer`, or `number` (finite).
        nullable: whether a value may be missing.
        unique: whether no two rows may share a value.
        min, max: bounds of a number, inclusive.
        categories: the only texts there may be; none given: any.
        description: what it is, with its unit.
    """

    name: str
    kind: Kind
    nullable: bool = False
    unique: bool = False
    min: float | None = None
    max: float | None = None
    categories: tuple[str, ...] = ()
    description: str = ""

    @property
    def constraints(self) -> list[str]:
        """Its bounds and categories in words."""
        words = [f"one of {', '.join(self.categories)}"] if self.categories else []
        words += [f"≥ {self.min:g}"] if self.min is not None else []
        return words + ([f"≤ {self.max:g}"] if self.max is not None else [])


@dataclass(frozen=True)
class TypedTable:
    """A table: its columns in order, and no others.

    Args:
        name: of its type, in the UI too; a Python identifier, of this table alone.
        columns: its columns.
        description: what it is for.
    """

    name: str
    columns: tuple[TypedColumn, ...]
    description: str

    def schema(self, unit: str = "the label's unit") -> dg.TableSchema:
        """The columns for the UI; `unit` is what stands for `UNIT`."""
        return dg.TableSchema(
            columns=[
                dg.TableColumn(
                    c.name,
                    c.kind,
                    description=c.description.replace(UNIT, unit) or None,
                    constraints=dg.TableColumnConstraints(nullable=c.nullable, unique=c.unique, other=c.constraints),
                )
                for c in self.columns
            ]
        )

    @cached_property
    def dagster_type(self) -> dg.DagsterType:
        """The type of a step's output: a frame that breaks a constraint fails the step and is not stored.

        Always the same object, since a code location refuses two types of one name.
        """
        return dg.DagsterType(
            name=self.name,
            type_check_fn=lambda context, value: self._checked_by_pandas.type_check(context, value),
            description=self.description,
            metadata={"columns": self.schema()},
        )

    @cached_property
    def _checked_by_pandas(self) -> dg.DagsterType:
        with warnings.catch_warnings():
            # All of dagster-pandas is marked beta in Dagster 1.13.
            warnings.simplefilter("ignore", dg.BetaWarning)
            known = _dagster_pandas("constraints")
            column = _dagster_pandas("validation").PandasColumn
            checked: dg.DagsterType = _dagster_pandas("data_frame").create_dagster_pandas_dataframe_type(
                name=self.name,
                description=self.description,
                columns=[column(c.name, constraints=_constraints(c)) for c in self.columns],
                dataframe_constraints=[known.StrictColumnsConstraint([c.name for c in self.columns])],
            )
        return checked

    def frame(self, rows: Iterable[Mapping[str, Any]]) -> DataFrame:
        """Rows as a frame of the declared columns; a value that does not fit its kind stays as it is, for the check."""
        import pandas as pd

        listed = list(rows)
        return pd.DataFrame({c.name: _series([row.get(c.name) for row in listed], c) for c in self.columns})

    def output(self, frame: DataFrame, metadata: Mapping[str, Any], unit: str = "") -> dg.Output[DataFrame]:
        """The output of an asset: the frame, with what the UI shows; the SHA-256 of its file is its data version."""
        digest = hashlib.sha256(csv_bytes(frame)).hexdigest()
        schema = self.schema(unit) if unit else self.schema()
        records = [dg.TableRecord({name: _cell(v) for name, v in row.items()}) for row in frame.to_dict("records")]
        shown = {
            "dagster/row_count": len(frame),
            SCHEMA: schema,
            "table": dg.MetadataValue.table(records=records, schema=schema),
        }
        return versioned(frame, dg.DataVersion(digest), {**shown, **metadata})


def _dagster_pandas(module: str) -> Any:
    # As Any: the package says that it is typed, but its functions are not.
    return import_module(f"dagster_pandas.{module}")


def _constraints(column: TypedColumn) -> list[Any]:
    """In the order in which the first that is broken names what is wrong."""
    from pandas.api import types

    constraints = _dagster_pandas("constraints")
    fits = {"text": types.is_string_dtype, "integer": types.is_integer_dtype, "number": types.is_numeric_dtype}
    found: list[Any] = [constraints.ColumnDTypeFnConstraint(fits[column.kind])]
    if not column.nullable:
        found.append(constraints.NonNullableColumnConstraint())
    if column.kind != "text":
        low = -sys.float_info.max if column.min is None else column.min
        high = sys.float_info.max if column.max is None else column.max
        found.append(constraints.InRangeColumnConstraint(low, high, ignore_missing_vals=column.nullable))
    if column.categories:
        allowed = set(column.categories)
        found.append(constraints.CategoricalColumnConstraint(allowed, ignore_missing_vals=column.nullable))
    if column.unique:
        found.append(constraints.UniqueColumnConstraint(ignore_missing_vals=column.nullable))
    return found


def _series(values: list[Any], column: TypedColumn) -> Any:
    import pandas as pd

    there = [value for value in values if value is not None]
    kinds = {"text": (str,), "integer": (int,), "number": (int, float)}[column.kind]
    fits = all(isinstance(value, kinds) and not isinstance(value, bool) for value in there)
    dtype = pandas_dtype(column.kind, nullable=len(there) < len(values) or column.nullable) if fits else "object"
    return pd.Series(values, dtype=dtype)


def _cell(value: Any) -> str | int | float | bool | None:
    if isinstance(value, float):
        return round(value, SHOWN_DIGITS) if math.isfinite(value) else None
    return value if isinstance(value, str | int) else None


CONTENDERS = ("champion", "naive", "naive_by_key", "last_value", "linear", "candidate")
"""Who is compared; of those equally good the candidate is last: it has to be better to be above."""

DATA_DICTIONARY = TypedTable(
    "DataDictionary",
    (
        TypedColumn("column", "text", unique=True, description="name in the validated table"),
        TypedColumn("type", "text", description="type in words, and the dtype"),
        TypedColumn("unit", "text", nullable=True, description="of its values; empty where it has none"),
        TypedColumn("values", "text", nullable=True, description="ranges and memberships; empty where any value fits"),
        TypedColumn(
            "missing",
            "text",
            categories=(
                "never missing",
                "may be missing",
                "may be missing; the source need not have the column",
            ),
            description="whether a missing value is information or a fault",
        ),
        TypedColumn("source", "text", description="the source's name of the column, or how it is computed"),
        TypedColumn("known_at", "text", description="time column at which a value is known"),
        TypedColumn("description", "text", nullable=True, description="what it is"),
        TypedColumn("rules", "text", nullable=True, description="names of all rules that read it"),
    ),
    "What every column of a table means, and what its rows are held to.",
)

_PLACE = (
    TypedColumn("rank", "integer", unique=True, min=1, description="1 is the best by the metric that decides"),
    TypedColumn("contender", "text", unique=True, categories=CONTENDERS),
)
_ROWS = TypedColumn("rows", "integer", min=1, description="rows of the holdout, the same for all")

LEADERBOARD = TypedTable(
    "Leaderboard",
    (
        *_PLACE,
        TypedColumn("mae", "number", min=0, description=f"mean absolute error, in {UNIT}"),
        TypedColumn("median_ae", "number", min=0, description=f"median absolute error, in {UNIT}"),
        TypedColumn("rmse", "number", min=0, description=f"root of the mean squared error, in {UNIT}"),
        TypedColumn("bias", "number", description=f"mean of prediction minus label, in {UNIT}"),
        TypedColumn("r2", "number", nullable=True, max=1, description="share of the label's variance explained"),
        TypedColumn("mape", "number", nullable=True, min=0, description="mean error as a share of the label"),
        TypedColumn("pinball", "number", nullable=True, min=0, description=f"pinball loss of a quantile, in {UNIT}"),
        _ROWS,
    ),
    "Candidate, champion and baselines on the same rows, which none has seen.",
)

CLASSIFIERS = TypedTable(
    "LeaderboardOfClassifiers",
    (
        *_PLACE,
        TypedColumn("log_loss", "number", min=0, description="mean of minus the log of the true class's probability"),
        TypedColumn("brier", "number", min=0, description="mean squared distance of probabilities from the truth"),
        TypedColumn("auc", "number", nullable=True, min=0, max=1, description="area under the ROC curve"),
        TypedColumn(
            "average_precision", "number", nullable=True, min=0, max=1, description="area under precision-recall"
        ),
        TypedColumn(
            "calibration_error", "number", min=0, max=1, description="mean distance of predicted from observed"
        ),
        TypedColumn("accuracy", "number", min=0, max=1, description="share of rows whose likeliest class is the true"),
        _ROWS,
    ),
    "Candidate, champion and baselines on the same rows, which none has seen.",
)
