"""What an event knows of other rows: history features, declared as data and computed for a whole partition.

Row-by-row features, and the table both kinds end up in, are in `features`; how a window becomes an exact sum, least
or last value is in `rolling`; the definition read literally, for checks, is in `history_check`.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal, Self, get_args

import numpy as np
import polars as pl

from ml_assets.core.durations import duration
from ml_assets.core.errors import ConfigError
from ml_assets.core.exact_sums import Floats, Integers
from ml_assets.core.history_facts import facts_among, in_microseconds, keys_among, microseconds, values_among
from ml_assets.core.rolling import Events, Positions, Timeline, Values

How = Literal["count", "sum", "mean", "min", "max", "last"]


@dataclass(frozen=True)
class HistoryFeature:
    """One figure over earlier rows that share a key with the event, as it was known when the event happened.

    For an event at time `t`, exactly those rows count

    - whose columns `by` equal the event's; an event with a missing key has no history, its feature is missing, and a
      row with a missing key counts for no event;
    - whose value is there; without `value`, every row counts;
    - that became known in the half-open window `[t - window, t)`: strictly before `t`. A row known in the same
      microsecond does not count, one known exactly `window` ago does. A row whose `known_at` lies before its own event
      is known at its event, so that no row counts for itself; a row whose `known_at` is missing never counts;
    - that became known at most `delay` after their event. This bounds how far back rows are read: `window + delay`
      before the partition, and no further.

    Rows that repeat each count: which rows are duplicates is the contract's business. Of rows known in the same
    microsecond, the last in the table's order is the `last`. An empty window gives 0 for `count` and `sum`, and a
    missing value for the others. Where the rows of the whole `window + delay` before an event are not stored (at the
    start of the table, or after a missing partition), the feature is missing: a part of a window is no window.

    Declared as data, not code: the same declaration can be computed online from a stream ordered by `known_at`.

    Args:
        name: its column's name, a Python identifier.
        by: columns that make the key, each known at the event's time; empty: all rows share one.
        value: column whose values are summarised, a number or Boolean; None: rows are counted.
        window: length of time before the event: `60m`, `7d`.
        how: `count` of rows with a value, `sum`, `mean`, `min`, `max`, or `last` value that became known.
        known_at: time column that says when a row's value is known; None: as the contract says of `value`, and else
            the event's time.
        delay: longest time from a row's event until it is known; needed where `known_at` is not the event's time.
        unit: of the figure.
        description: what it says about the event.
    """

    name: str
    by: tuple[str, ...] = field(kw_only=True)
    window: str = field(kw_only=True)
    how: How = field(kw_only=True)
    value: str | None = field(kw_only=True, default=None)
    known_at: str | None = field(kw_only=True, default=None)
    delay: str = field(kw_only=True, default="0s")
    unit: str | None = field(kw_only=True, default=None)
    description: str = field(kw_only=True, default="")
    kind: Literal["number"] = field(init=False, default="number")

    def __post_init__(self) -> None:
        by = (self.by,) if isinstance(self.by, str) else tuple(self.by)
        object.__setattr__(self, "by", by)
        wrong = []
        if self.how not in get_args(How):
            wrong.append(f"how {self.how!r} is none of {', '.join(get_args(How))}")
        elif self.value is None and self.how != "count":
            wrong.append(f"{self.how} of no value")
        if not self.window_length:
            wrong.append("a window of no length")
        if wrong:
            raise ConfigError(
                f"history feature {self.name}",
                found=wrong,
                expected="a window and one of the figures, with a value for all but count",
                cure="correct it (in features.py beside defs.yaml)",
            )

    @property
    def window_length(self) -> timedelta:
        """The window."""
        return duration(self.window, f"history feature {self.name}, window")

    @property
    def delay_length(self) -> timedelta:
        """The longest time from an event until it is known."""
        return duration(self.delay, f"history feature {self.name}, delay")

    @property
    def reach(self) -> timedelta:
        """How far before an event the rows that count may have happened."""
        return self.window_length + self.delay_length

    def to_json(self) -> dict[str, Any]:
        """The declaration as JSON, as a model's bundle keeps it."""
        return {**{name: told for name, told in asdict(self).items() if name != "kind"}, "by": list(self.by)}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote."""
        return cls(**{**record, "by": tuple(record["by"])})

    def known_when(self, event_time: str, known_late: Mapping[str, str]) -> str:
        """The time column that says when a row counts.

        Args:
            event_time: column of the event's time.
            known_late: columns known later than that -> the time column that says when.
        """
        return self.known_at or known_late.get(self.value or "", event_time)


@dataclass(frozen=True)
class Earlier:
    """Validated rows before a partition, as far as they are stored.

    Args:
        frames: rows of the stored partitions before, oldest first; of any columns, the table's among them.
        complete_from: the first instant from which on no row is missing up to the partition.
    """

    frames: Sequence[pl.LazyFrame]
    complete_from: datetime


def reach_of(features: Sequence[object]) -> timedelta:
    """How far back the history features among them reach; 0 without any."""
    return max((f.reach for f in features if isinstance(f, HistoryFeature)), default=timedelta(0))


def mistakes_of(
    feature: HistoryFeature, schema: pl.Schema, event_time: str, known_late: Mapping[str, str]
) -> list[str]:
    """What a declaration asks for that the table can't give, or can't give in time."""
    mistakes = [m for column in feature.by for m in _mistakes_of_key(column, schema.get(column), known_late)]
    value = schema.get(feature.value or "")
    if feature.value is not None and value is None:
        mistakes.append(f"reads {feature.value}, which is no column of the validated table")
    elif value is not None and not (value.is_numeric() or value == pl.Boolean):
        mistakes.append(f"reads {feature.value}, which is {value}, not a number")
    when = feature.known_when(event_time, known_late)
    said = known_late.get(feature.value or "")
    if said is not None and when != said:
        mistakes.append(f"reads {feature.value}, which is known at {said}, not at {when}")
    return mistakes + _mistakes_of_time(feature, when, schema, event_time)


def _mistakes_of_key(column: str, dtype: pl.DataType | None, known_late: Mapping[str, str]) -> list[str]:
    if dtype is None:
        return [f"by {column}, which is no column of the validated table"]
    if column in known_late:
        return [f"by {column}, which is not known at the event's time"]
    if dtype.is_float() or dtype.is_nested():
        return [f"by {column}, which is {dtype}; a key is a category, a whole number or a date"]
    return []


def _mistakes_of_time(feature: HistoryFeature, when: str, schema: pl.Schema, event_time: str) -> list[str]:
    known, event = schema.get(when), schema.get(event_time)
    if not isinstance(known, pl.Datetime):
        return [f"known_at {when} is {known or 'missing'}, not a Datetime"]
    if isinstance(event, pl.Datetime) and (known.time_zone is None) != (event.time_zone is None):
        return [f"known_at {when} is {known}, {event_time} is {event}: only one of them has a zone"]
    if when == event_time and feature.delay_length:
        return [f"delay {feature.delay}: a row is known at {event_time}, there is none"]
    if when != event_time and not feature.delay_length:
        return [f"no delay: how long after {event_time} may {when} be, at most? (rows known later don't count)"]
    return []


def history_columns(
    validated: pl.LazyFrame,
    features: Sequence[HistoryFeature],
    *,
    event_time: str,
    known_late: Mapping[str, str],
    earlier: Earlier,
) -> pl.DataFrame:
    """The history features of each row of a partition.

    Args:
        validated: rows of the partition.
        features: what to compute; without mistakes, see `mistakes_of`.
        event_time: Datetime column: when the event happened.
        known_late: columns known later than that -> the time column that says when.
        earlier: rows before the partition.

    Returns:
        one Float64 column per feature, a row per row of `validated`, in its order.

    Raises:
        ConfigError: a value is infinite or NaN.
    """
    columns: dict[str, pl.Series] = {}
    for by in dict.fromkeys(f.by for f in features):
        table = _OneKey(validated, [f for f in features if f.by == by], event_time, known_late, earlier)
        columns.update({column.name: column for column in table.columns()})
    return pl.DataFrame([columns[f.name] for f in features])


class _OneKey:
    """The features that share a key: their events are put in order once."""

    def __init__(
        self,
        validated: pl.LazyFrame,
        features: Sequence[HistoryFeature],
        event_time: str,
        known_late: Mapping[str, str],
        earlier: Earlier,
    ) -> None:
        self.features = features
        self.when = {f.name: f.known_when(event_time, known_late) for f in features}
        rows = _rows_that_may_count(validated, features, event_time, set(self.when.values()), earlier)
        _, self.codes = keys_among(rows, features[0].by)
        read = {event_time, *self.when.values(), *(f.value for f in features if f.value is not None)}
        own = rows["own"].to_numpy()
        self.rows = rows.select(sorted(read))
        self.times = microseconds(self.rows[event_time])
        everything = own.all()  # without a copy then
        self.events = Events(self.codes, self.times) if everything else Events(self.codes[own], self.times[own])
        zone = self.rows[event_time].dtype.time_zone  # type: ignore[attr-defined]
        [self.complete_from] = microseconds(pl.Series([earlier.complete_from]).dt.replace_time_zone(zone))

    def columns(self) -> Iterator[pl.Series]:
        """A column per feature; those that count the same rows together."""
        for when, delay in dict.fromkeys((self.when[f.name], f.delay_length) for f in self.features):
            together = [f for f in self.features if (self.when[f.name], f.delay_length) == (when, delay)]
            values = {f.name: values_among(self.rows, f.value, f.name) if f.value else None for f in together}
            facts, line = self._facts(when, delay, max(in_microseconds(f.window_length) for f in together))
            figures = {f.name: np.empty(self.events.times.size) for f in together}
            for asking in self.events.in_order():
                codes, times = self.events.codes[asking], self.events.times[asking]
                until = line.before(codes, times)
                for feature in together:
                    since = line.before(codes, times - in_microseconds(feature.window_length))
                    first, last = int(since.min()), int(until.max())
                    seen = values[feature.name]
                    inside = np.zeros(last - first) if seen is None else seen[facts[first:last]]
                    figures[feature.name][asking] = _figures(feature, inside, since - first, until - first)
            del facts, line
            for feature in together:
                yield self._column(feature, figures.pop(feature.name))

    def _facts(self, when: str, delay: timedelta, longest: int) -> tuple[Positions, Timeline]:
        """Positions of the rows that count, in the order of their line, and the line."""
        facts, known = facts_among(self.rows, self.times, self.codes, when, delay)
        line = Timeline(self.codes[facts], known, self.events, longest)
        return facts[line.order], line

    def _column(self, feature: HistoryFeature, figures: Floats) -> pl.Series:
        """Missing where the key is, and where the rows of the whole reach are not there."""
        figures[(self.events.codes < 0) | (self.events.times - in_microseconds(feature.reach) < self.complete_from)] = (
            np.nan
        )
        return pl.Series(feature.name, figures, nan_to_null=True)


def _figures(feature: HistoryFeature, values: Floats, since: Integers, until: Integers) -> Floats:
    column = Values(values)
    match feature.how:
        case "count":
            return column.count(since, until).astype(np.float64)
        case "sum":
            return column.total(since, until)
        case "mean":
            count = column.count(since, until)
            mean: Floats = np.divide(
                column.total(since, until), count, out=np.full(count.size, np.nan), where=count > 0
            )
            return mean
        case "min" | "max":
            return column.extreme(since, until, largest=feature.how == "max")
        case "last":
            return column.last(since, until)


def _rows_that_may_count(
    validated: pl.LazyFrame,
    features: Sequence[HistoryFeature],
    event_time: str,
    when: Collection[str],
    earlier: Earlier,
) -> pl.DataFrame:
    """The columns needed of every row that may count or asks, oldest partition first; `own` marks those that ask."""
    values = [f.value for f in features if f.value is not None]
    read = list(dict.fromkeys([event_time, *features[0].by, *values, *sorted(when)]))
    own = validated.select(*read, own=pl.lit(value=True))
    wall_clock = pl.col(event_time).dt.replace_time_zone(None)
    first = validated.select(wall_clock.min()).collect(engine="streaming").item()
    since = earlier.complete_from if first is None else max(earlier.complete_from, first - reach_of(features))
    before = [frame.filter(wall_clock >= since).select(*read, own=pl.lit(value=False)) for frame in earlier.frames]
    return pl.concat([*before, own]).collect(engine="streaming")
