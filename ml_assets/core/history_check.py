"""History features once more, by the letter of their definition: one event at a time, a plain filter over rows.

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
    rows: pl.LazyFrame,
    event: Mapping[str, object],
    *,
    event_time: str,
    known_late: Mapping[str, str],
    complete_from: datetime,
) -> float | None:
    """The figure of one event.

    Args:
        feature: what to compute.
        rows: every row of the partition and of those before it, oldest partition first.
        event: the event's row.
        event_time: column of the event's time.
        known_late: columns known later than that -> the time column that says when.
        complete_from: the first instant from which on no row is missing.
    """
    at = event[event_time]
    if not isinstance(at, datetime) or any(event[column] is None for column in feature.by):
        return None
    if at.replace(tzinfo=None) - feature.window_length - feature.delay_length < complete_from:
        return None
    when = pl.col(feature.known_when(event_time, known_late))
    known = pl.max_horizontal(when, event_time)
    counts = [pl.col(column) == pl.lit(event[column]) for column in feature.by]
    counts += [when.is_not_null(), known < at, known >= at - feature.window_length]
    counts.append(known - pl.col(event_time) <= feature.delay_length)
    there = rows.filter(pl.all_horizontal(counts)).with_columns(known.alias("known"))
    if feature.value is None:
        return float(there.select(pl.len()).collect().item())
    values = there.select("known", value=pl.col(feature.value).cast(pl.Float64)).drop_nulls("value").collect()
    if feature.how in ("count", "sum"):
        return float(values.height if feature.how == "count" else values["value"].sum())
    if values.is_empty():
        return None
    if feature.how == "last":
        return float(values.sort("known", maintain_order=True)["value"][-1])
    return float(getattr(values["value"], feature.how)())


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

    Args:
        validated: rows of the partition.
        built: the features table made from it, row by row.
        features: the history features in it.
        sample: events to look at.
        event_time, known_late, earlier: as of `history.history_columns`.
    """
    if not features:
        return []
    needed = {event_time, *(f.known_when(event_time, known_late) for f in features)}
    needed |= {column for f in features for column in (*f.by, f.value) if column is not None}
    wall_clock = pl.col(event_time).dt.replace_time_zone(None)
    before = [f.select(sorted(needed)).filter(wall_clock >= earlier.complete_from) for f in earlier.frames]
    rows = pl.concat([*before, validated.select(sorted(needed))]).collect(engine="streaming").lazy()
    count = built.select(pl.len()).collect().item()
    step = max(1, -(-count // sample))
    events = validated.select(sorted(needed)).gather_every(step, step // 2).collect()
    figures = built.select(f.name for f in features).gather_every(step, step // 2).collect()
    found = []
    for event, figure in zip(events.iter_rows(named=True), figures.iter_rows(named=True), strict=True):
        for feature in features:
            wanted = as_defined(
                feature,
                rows,
                event,
                event_time=event_time,
                known_late=known_late,
                complete_from=earlier.complete_from,
            )
            if not _same(figure[feature.name], wanted):
                found.append(
                    f"{feature.name} of the event at {event[event_time]}: {figure[feature.name]}, not {wanted}"
                )
    return found


def _same(found: float | None, wanted: float | None) -> bool:
    if found is None or wanted is None:
        return found is wanted
    return abs(found - wanted) <= RELATIVE_TOLERANCE * max(abs(found), abs(wanted), 1e-300)
