"""From the named fields of a request to the features of a model: the same expressions and rows as a partition's.

What a field must be is in `requests`, how earlier rows are looked up in `history_snapshot`. How requests travel, and
where a snapshot comes from, is decided elsewhere.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import polars as pl

from ml_assets.core.contract import Contract
from ml_assets.core.features import Feature, row_by_row
from ml_assets.core.history import HistoryFeature
from ml_assets.core.history_snapshot import HistorySnapshot, key_values
from ml_assets.core.quick_requests import QuickRecords
from ml_assets.core.requests import Fault, RequestRules

NOT_COMPUTED = "feature_not_computed"
NOT_FINITE = "feature_not_finite"

Taken = Callable[[Any], Any]


class Online(NamedTuple):
    """The features of a request's records.

    Attributes:
        columns: feature -> its value for each record: text, a finite float, or None where it is missing.
        ages: of each record, seconds from the newest earlier row that its features may count until its event; None
            where no earlier row is known, or no feature asks for one.
    """

    columns: dict[str, list[Any]]
    ages: list[float | None]


class Refused(NamedTuple):
    """A request that is not scored.

    Attributes:
        faults: of each record; empty for those without.
    """

    faults: list[list[Fault]]


@dataclass(frozen=True, eq=False)
class OnlineFeatures:
    """The features of a pipeline for records that arrive one or a few at a time. Made by `of`, once.

    Args:
        rules: what a record is held to.
        names: the features, in the order declared.
        history: those that look at earlier rows.
    """

    rules: RequestRules
    names: tuple[str, ...]
    history: tuple[HistoryFeature, ...]
    _event_time: str
    _quick: QuickRecords
    _taken: Mapping[str, tuple[str, Taken]]
    _computed: tuple[pl.Expr, ...]

    @classmethod
    def of(
        cls,
        contract: Contract,
        features: Sequence[Feature | HistoryFeature],
        *,
        event_time: str,
        known_late: Iterable[str],
        also: Iterable[str] = (),
    ) -> "OnlineFeatures":
        """The features of requests that bring what these features read.

        Args:
            contract: of the table that they are declared on.
            features: the columns of its features table, see `features.columns_among`.
            event_time: the column that says when the event happens.
            known_late: columns that are not known then.
            also: columns that requests bring, too, whether or not a feature reads them.

        Raises:
            ConfigError: a feature can't be computed from a request.
        """
        by_row = [f for f in features if isinstance(f, Feature)]
        history = tuple(f for f in features if isinstance(f, HistoryFeature))
        read = {*also, *(name for f in by_row for name in f.expr.meta.root_names())}
        if history:
            read |= {event_time, *(column for f in history for column in f.by)}
        rules = RequestRules.of(contract, read, event_time=event_time)
        schema = rules.judge([{}]).rows.schema
        expressions = row_by_row(schema, by_row, set(known_late))
        taken = {f.name: found for f in by_row if (found := _taken_as_it_is(f, schema))}
        computed = tuple(expr for name, expr in expressions.items() if name not in taken)
        names = tuple(f.name for f in features)
        return cls(rules, names, history, event_time, QuickRecords(rules), taken, computed)

    def read(self, records: Sequence[Mapping[str, Any]], snapshot: HistorySnapshot | None) -> Online | Refused:
        """The features of each record, or what is wrong with them.

        Args:
            records: what JSON may hold.
            snapshot: earlier rows; None where there are none: history features are missing then.
        """
        rows = self._quick.row(records[0]) if len(records) == 1 else None
        if rows is None:
            judged = self.rules.judge(records)
            if any(judged.faults):
                return Refused(judged.faults)
            rows = judged.rows
        columns: dict[str, list[Any]] = {name: [] for name in self.names}
        for name, (column, taken) in self._taken.items():
            columns[name] = [None if v is None else taken(v) for v in rows[column].to_list()]
        try:
            computed = rows.select_seq(self._computed).rows() if self._computed else []
        except pl.exceptions.PolarsError as error:
            return Refused(self._not_computed(rows, str(error)))
        for i, expr in enumerate(self._computed):
            columns[expr.meta.output_name()] = [row[i] for row in computed]
        infinite = [self._infinite(columns, i) for i in range(rows.height)]
        if any(infinite):
            return Refused(infinite)
        return Online(columns, self._look_back(rows, columns, snapshot))

    def _look_back(
        self, rows: pl.DataFrame, columns: dict[str, list[Any]], snapshot: HistorySnapshot | None
    ) -> list[float | None]:
        """Put the history features beside the others; gives the ages."""
        if snapshot is None or not self.history:
            columns.update({f.name: [None] * rows.height for f in self.history})
            return [None] * rows.height
        times = key_values(_in_microseconds(rows[self._event_time]))
        keys = {column: key_values(rows[column]) for column in {c for f in self.history for c in f.by}}
        for f in self.history:
            own = zip(*(keys[column] for column in f.by), strict=True) if f.by else [()] * rows.height
            columns[f.name] = [snapshot.figure(f.name, key, at) for key, at in zip(own, times, strict=True)]
        return [snapshot.age(at) for at in times]

    def _infinite(self, columns: Mapping[str, list[Any]], at: int) -> list[Fault]:
        return [
            Fault(NOT_FINITE, name, str(value), "a finite number, or none")
            for name, values in columns.items()
            if values and isinstance(value := values[at], float) and math.isinf(value)
        ]

    def _not_computed(self, rows: pl.DataFrame, error: str) -> list[list[Fault]]:
        """An expression that polars gives up on, such as a strict cast, is a fault of the records that it fails on."""
        faults: list[list[Fault]] = []
        for i in range(rows.height):
            found = []
            for expr in self._computed:
                try:
                    rows[i : i + 1].select(expr)
                except pl.exceptions.PolarsError as e:
                    told = str(e).splitlines()[0]
                    found.append(
                        Fault(NOT_COMPUTED, expr.meta.output_name(), told, "a value that it can be computed of")
                    )
            faults.append(found)
        if not any(faults):
            raise pl.exceptions.ComputeError(error)
        return faults


def _in_microseconds(times: pl.Series) -> pl.Series:
    is_already = times.dtype.time_unit == "us"  # type: ignore[attr-defined]
    return times if is_already else times.dt.cast_time_unit("us")


def _taken_as_it_is(feature: Feature, schema: pl.Schema) -> tuple[str, Taken] | None:
    """The column that a feature is, and what Python makes of its values as the feature's dtype does; None: ask polars.

    A cast of one value costs polars as much as ten look-ups of history cost.
    """
    names = feature.expr.meta.root_names()
    if len(names) != 1 or not feature.expr.meta.eq(pl.col(names[0])):
        return None
    dtype = schema[names[0]]
    if feature.kind == "number" and (dtype.is_integer() or dtype == pl.Float64):
        return names[0], _number
    if feature.kind == "category" and (dtype.is_integer() or dtype == pl.String):
        return names[0], str
    return None


def _number(value: float) -> float | None:
    return None if value != value else float(value)
