"""History features once more, by the letter of their definition: for each event a plain filter over all rows.

Slow and simple on purpose: what `history` computes for all events at once is compared with it on a sample, after
every partition. It shares nothing with that computation but the declaration.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

import polars as pl

from ml_assets.core.history import Earlier, HistoryFeature

RELATIVE_TOLERANCE = 1e-9


def as_defined(
    feature: HistoryFeature,
    event: Mapping[str, object],
    *,
    event_time: str,
    known_late: Mapping[str, str],
    complete_from: datetime,
) -> pl.Expr:
    """The figure of one event, as an expression over every row of its partition and of those before.

    Args:
        feature: what to compute.
        event: the event's row.
        event_time: column of the event's time.
        known_late: columns known later than that -> the time column that says when.
        complete_from: the first instant from which on no row is missing.
    """
    at = event[event_time]
    if not isinstance(at, datetime) or any(event[column] is None for column in feature.by):
        return pl.lit(None, pl.Float64)
    if at.replace(tzinfo=None) - feature.window_length - feature.delay_length < complete_from:
        return pl.lit(None, pl.Float64)
    when = pl.col(feature.known_when(event_time, known_late))
    known = pl.max_horizontal(when, event_time)
    counts = [pl.col(column) == pl.lit(event[column]) for column in feature.by]
    counts += [when.is_not_null(), known < at, known >= at - feature.window_length]
    counts.append(known - pl.col(event_time) <= feature.delay_length)
    if feature.value is None:
        return pl.all_horizontal(counts).sum().cast(pl.Float64)
    value = pl.col(feature.value).cast(pl.Float64)
    there = pl.all_horizontal(*counts, value.is_not_null())
    values = value.filter(there)
    if feature.how == "last":
        return values.sort_by(known.filter(there), maintain_order=True).last()
    figure: pl.Expr = getattr(values, feature.how)()
    return figure.cast(pl.Float64)


def disagreements(
    validated: pl.LazyFrame,
    built: pl.LazyFrame,
    features: Sequence[HistoryFeature],
    *,
    sample: int,
    event_time: str,
    known_late: Mapping[str, str],
    earlier: Earlier,
) -> list[str]:
    """Where a features table differs from the definition, on events spread evenly over the partition.

    One pass over the rows for all of them.

    Args:
        validated: rows of the partition.
        built: the features table made from it, row by row.
        features: the history features in it.
        sample: events to look at.
        event_time, known_late, earlier: as of `history.history_columns`.
    """
    count = built.select(pl.len()).collect().item()
    if not features or not count:
        return []
    needed = {event_time, *(f.known_when(event_time, known_late) for f in features)}
    needed |= {column for f in features for column in (*f.by, f.value) if column is not None}
    read = sorted(needed)
    wall_clock = pl.col(event_time).dt.replace_time_zone(None)
    before = [f.select(read).filter(wall_clock >= earlier.complete_from) for f in earlier.frames]
    step = max(1, -(-count // sample))
    events = validated.select(read).gather_every(step, step // 2).collect()
    found = built.select(f.name for f in features).gather_every(step, step // 2).collect()
    asked = {
        (i, feature.name): as_defined(
            feature, event, event_time=event_time, known_late=known_late, complete_from=earlier.complete_from
        )
        for i, event in enumerate(events.iter_rows(named=True))
        for feature in features
    }
    rows = pl.concat([*before, validated.select(read)])
    wanted = rows.select(e.alias(f"{i} {name}") for (i, name), e in asked.items()).collect(engine="streaming")
    return [
        f"{name} of the event at {events[event_time][i]}: {found[name][i]}, not {wanted[f'{i} {name}'][0]}"
        for i, name in asked
        if not _same(found[name][i], wanted[f"{i} {name}"][0])
    ]


def _same(found: float | None, wanted: float | None) -> bool:
    if found is None or wanted is None:
        return found is wanted
    return abs(found - wanted) <= RELATIVE_TOLERANCE * max(abs(found), abs(wanted), 1e-300)
