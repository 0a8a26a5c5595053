"""The two charts of the report, as coordinates and words: errors by partition, rows by partition.

Drawing them as SVG, and their colours, are in `report.html.j2`; axes and ticks are in `report_scale`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ml_assets.core.report_scale import Bands, Panel, Tick, labelled, panel, path, spread
from ml_assets.core.summary import PartitionSummary, Summary

WIDTH = 1120
_LEFT, _RIGHT = 56, 968  # of the plot; right of it are the names of the lines
_NAME_GAP = 17

Figure = Callable[[float | None], str]


@dataclass(frozen=True)
class Mark:
    """Something at a place of the x axis: its kind picks the shape, its title is what a pointer reads."""

    x: float
    y: float
    height: float
    kind: str
    title: str


@dataclass(frozen=True)
class Line:
    """One series: `kind` is `live`, `never` or `naive`; the name stands at its right end."""

    kind: str
    name: str
    path: str
    points: tuple[Mark, ...]
    name_y: float


@dataclass(frozen=True)
class ErrorChart:
    """Errors of champion, first champion and naive baseline; below, drift and what retraining saved."""

    bands: Bands
    height: float
    panel: Panel
    lines: tuple[Line, ...]
    trainings: tuple[Mark, ...]
    drift_y: float
    drift: tuple[Mark, ...]
    saved: Panel | None
    saved_bars: tuple[Mark, ...]
    columns: tuple[Mark, ...]
    labels: tuple[Tick, ...]
    radius: float


@dataclass(frozen=True)
class RowsChart:
    """Validated and quarantined rows, stacked; below, the quarantined share."""

    bands: Bands
    height: float
    panel: Panel
    validated: tuple[Mark, ...]
    quarantined: tuple[Mark, ...]
    share: Panel
    shares: tuple[Mark, ...]
    columns: tuple[Mark, ...]
    labels: tuple[Tick, ...]


def error_chart(summary: Summary, *, naive: str, figure: Figure) -> ErrorChart:
    """Lay out the errors.

    Args:
        summary: the replay; no partitions and no metrics at all are fine.
        naive: what the naive baseline is called.
        figure: writes a metric, "–" for None.
    """
    parts = summary.partitions
    bands = Bands(_LEFT, _RIGHT, len(parts))
    series = {
        "live": ("live champion", [p.metric for p in parts]),
        "never": ("never retrained", [p.metric_never_retrained for p in parts]),
        "naive": (naive, [p.metric_naive for p in parts]),
    }
    known = [v for _, values in series.values() for v in values if v is not None]
    main = panel(known, top=36, height=300, ticks=6)
    lines = _lines(parts, bands, main, series, figure)
    drift_y = main.bottom + 12
    saved = [p.saved for p in parts]
    shown = [v for v in saved if v is not None]
    below = panel(shown, top=drift_y + 52, height=84, ticks=2) if any(shown) else None
    bottom = below.bottom if below else drift_y + 14
    columns = tuple(
        Mark(bands.start(i), main.top, bottom - main.top, "column", _error_title(p, naive, figure))
        for i, p in enumerate(parts)
    )
    return ErrorChart(
        bands=bands,
        height=bottom + 30,
        panel=main,
        lines=lines,
        trainings=_trainings(summary, bands, main, figure),
        drift_y=drift_y,
        drift=tuple(
            Mark(bands.start(i), drift_y, 12, p.drift_verdict, f"{p.partition}: {_drift(p)}")
            for i, p in enumerate(parts)
            if p.drift_verdict is not None
        ),
        saved=below,
        saved_bars=_bars(bands, below, saved) if below else (),
        columns=columns,
        labels=_labels(parts, bands),
        radius=min(3.4, max(1.2, bands.width * 0.3)),
    )


def rows_chart(summary: Summary) -> RowsChart:
    """Lay out the rows; a partition whose rows don't add up is drawn as it was counted."""
    parts = summary.partitions
    bands = Bands(_LEFT, _RIGHT, len(parts))
    rows = panel([p.rows_validated + p.rows_quarantined for p in parts], top=30, height=130, ticks=3)
    shares = [p.quarantined_share for p in parts]
    share = panel([s for s in shares if s is not None], top=rows.bottom + 44, height=64, ticks=2, percent=True)
    validated, quarantined, columns = [], [], []
    for i, p in enumerate(parts):
        x, top = bands.start(i), rows.y(p.rows_validated)
        validated.append(Mark(x, top, rows.bottom - top, "validated", ""))
        above = rows.y(p.rows_validated + p.rows_quarantined)
        quarantined.append(Mark(x, above, top - above, "quarantined", ""))
        title = f"{p.partition}\n{p.rows_validated:,} rows validated\n{p.rows_quarantined:,} quarantined"
        of_all = "" if p.quarantined_share is None else f" ({100 * p.quarantined_share:.1f} %)"
        columns.append(Mark(x, rows.top, share.bottom - rows.top, "column", title + of_all))
    return RowsChart(
        bands=bands,
        height=share.bottom + 30,
        panel=rows,
        validated=tuple(validated),
        quarantined=tuple(quarantined),
        share=share,
        shares=_bars(bands, share, shares),
        columns=tuple(columns),
        labels=_labels(parts, bands),
    )


def _lines(
    parts: Sequence[PartitionSummary],
    bands: Bands,
    on: Panel,
    series: dict[str, tuple[str, list[float | None]]],
    figure: Figure,
) -> tuple[Line, ...]:
    known = {kind: s for kind, s in series.items() if any(v is not None for v in s[1])}
    ends = [next(on.y(v) for v in reversed(values) if v is not None) for _, values in known.values()]
    lines = []
    for (kind, (name, values)), name_y in zip(known.items(), spread(ends, _NAME_GAP), strict=True):
        places = [None if v is None else (bands.middle(i), on.y(v)) for i, v in enumerate(values)]
        points = tuple(
            Mark(place[0], place[1], 0, kind, f"{parts[i].partition}: {name} {figure(values[i])}")
            for i, place in enumerate(places)
            if place is not None
        )
        lines.append(Line(kind, name, path(places), points, name_y))
    return tuple(lines)


def _trainings(summary: Summary, bands: Bands, on: Panel, figure: Figure) -> tuple[Mark, ...]:
    """A vertical mark at the end of the partition as of whose end a model was trained."""
    place = {p.partition: bands.start(i + 1) for i, p in enumerate(summary.partitions)}
    return tuple(
        Mark(
            place[t.as_of],
            on.top,
            on.height,
            t.decision,
            f"trained as of {t.as_of}: {t.decision}\nwhy: {t.reason}\nbundle {t.bundle[:10]}, "
            f"holdout {figure(t.holdout_metric)}, naive {figure(t.holdout_metric_naive)}",
        )
        for t in summary.trainings
        if t.as_of in place
    )


def _bars(bands: Bands, on: Panel, values: Sequence[float | None]) -> tuple[Mark, ...]:
    zero = on.y(0)
    return tuple(
        Mark(bands.start(i), min(zero, on.y(v)), abs(on.y(v) - zero), "gain" if v >= 0 else "loss", "")
        for i, v in enumerate(values)
        if v is not None
    )


def _labels(parts: Sequence[PartitionSummary], bands: Bands) -> tuple[Tick, ...]:
    keys = [p.partition for p in parts]
    cut = [key if len(key) <= 24 else f"{key[:23]}…" for key in keys]
    return tuple(Tick(bands.middle(i), cut[i]) for i in labelled(keys, bands.width))


def _drift(p: PartitionSummary) -> str:
    features = f" in {', '.join(p.drifted_features)}" if p.drifted_features else ""
    return f"{(p.drift_verdict or 'not judged').replace('_', ' ')}{features}"


def _error_title(p: PartitionSummary, naive: str, figure: Figure) -> str:
    champion = p.champion[:10] if p.champion else "none yet"
    return (
        f"{p.partition}\nlive champion {figure(p.metric)}\n"
        f"never retrained {figure(p.metric_never_retrained)}\n"
        f"{naive} {figure(p.metric_naive)}\nchampion: {champion}\ndrift: {_drift(p)}"
    )
