"""Pictures of drift, as PNG bytes: the same input gives the same bytes.

What is pictured is computed in `profile` and `verdict`; paper and ink are in `drawing`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ml_assets.core.drawing import ACCENT, COLORS, apart, as_text, panels, png, shortened
from ml_assets.core.drift.bins import Floats
from ml_assets.core.drift.column import ColumnDrift
from ml_assets.core.drift.counts import ColumnCounts

ACROSS = 3
MOST_PANELS = 18
"""Columns in one picture, the most important ones."""
BARS = 30
MOST_TICKED = 12
MOST_DATED = 3
_EDGE_SHARE = 0.005
_SHOWN_LETTERS = 9
NOW, NOW_DRIFTED, REFERENCE = "#56B4E9", ACCENT, "#333333"


@dataclass(frozen=True)
class Pair:
    """A column's counts on both sides, and what came of the comparison.

    Args:
        reference: all partitions of the reference profile.
        current: the partition.
        drift: of the column.
    """

    reference: ColumnCounts
    current: ColumnCounts
    drift: ColumnDrift


def distributions(pairs: Sequence[Pair], partition: str) -> bytes:
    """Each column's distribution in the reference, as an outline, and in the partition, filled.

    Columns come in the order of their weight in the verdict; the title of each has its distance and then the
    threshold, and those that drifted are in another colour.
    """
    shown = sorted(pairs, key=lambda pair: -pair.drift.weight)[:MOST_PANELS]
    across = min(ACROSS, max(len(shown), 1))
    figure, every = panels(f"{partition} (filled) and what the champion was trained on (outline)", len(shown), across)
    for axes, pair in zip(every, shown, strict=True):
        _panel(axes, pair)
    figure.supylabel("share of rows, %", fontsize=9)
    return png(figure)


@dataclass(frozen=True)
class Judgement:
    """One column in one report.

    Args:
        partition: key of what was judged.
        distance: Jensen-Shannon distance from the reference, 0 to 1.
        threshold: its threshold then; it differs with the rows, and with the champion.
        drifted: whether the column had drifted.
    """

    partition: str
    distance: float
    threshold: float
    drifted: bool


def distances_over_time(columns: Mapping[str, Sequence[Judgement]]) -> bytes:
    """Jensen-Shannon distance of each column from the reference, partition by partition, beside its threshold.

    Args:
        columns: name -> what reports said of it, in the order of time; at most `MOST_PANELS` are shown.
    """
    shown = dict(list(columns.items())[:MOST_PANELS])
    across = min(ACROSS, max(len(shown), 1))
    figure, every = panels("distance from what the champion was trained on, and threshold (dashed)", len(shown), across)
    for axes, (name, line) in zip(every, shown.items(), strict=True):
        _trend(axes, name, line)
    figure.supylabel("Jensen-Shannon distance, 0 to 1", fontsize=9)
    return png(figure)


def _trend(axes: Any, name: str, line: Sequence[Judgement]) -> None:
    at, distances = np.arange(len(line)), [j.distance for j in line]
    axes.plot(at, distances, color=COLORS["champion"], marker="o", markersize=2, linewidth=1)
    axes.step(at, [j.threshold for j in line], where="mid", color=REFERENCE, linestyle="--", linewidth=0.8)
    marked = [i for i, j in enumerate(line) if j.drifted]
    axes.plot(marked, [distances[i] for i in marked], "o", color=ACCENT, markersize=4)
    step = max(1, -(-len(line) // MOST_DATED))
    axes.set_xticks(at[::step], [j.partition for j in line][::step])
    axes.set_ylim(0, 1.1 * max([0.01, *distances, *(j.threshold for j in line)]))
    drifted = bool(line) and line[-1].drifted
    axes.set_title(shortened(name), fontsize=7.2, color=ACCENT if drifted else "black", loc="left")


def _panel(axes: Any, pair: Pair) -> None:
    color = NOW_DRIFTED if pair.drift.drifted else NOW
    if pair.reference.bins.column.kind == "category":
        names, before, now = _categories(pair)
    elif len(pair.reference.bins.values) and len(pair.reference.bins.values) <= BARS:
        names, before, now = _values(pair)
    else:
        names, before, now = [], *_histogram(axes, pair, color)
    if len(pair.reference.bins.values) > BARS and names:
        axes.set_xlabel(f"the {BARS - 2} most frequent", fontsize=7)
    if names:
        at = np.arange(len(names))
        axes.bar(at, now, width=0.8, color=color, alpha=0.75)
        axes.bar(at, before, width=0.8, fill=False, edgecolor=REFERENCE, linewidth=1)
        step = max(1, -(-len(names) // MOST_TICKED))
        axes.set_xticks(at[::step], names[::step], rotation=60 if max(map(len, names)) > 2 else 0, ha="center")
    axes.set_ylim(0, 1.1 * max(1e-9, *before, *now))
    weight = pair.drift.weight
    told = f"{weight:.{0 if weight >= 0.01 else 1}%} of the verdict" if weight else pair.drift.role
    axes.set_title(
        f"{shortened(pair.drift.name)}, {told}\n{pair.drift.distance:.3f}, "
        f"threshold {pair.drift.threshold:.3f}" + (": drifted" if pair.drift.drifted else ""),
        fontsize=7.2,
        color=ACCENT if pair.drift.drifted else "black",
        loc="left",
    )


def _histogram(axes: Any, pair: Pair, color: str) -> tuple[Floats, Floats]:
    """Bars of equal width; rows inside an interval of the profile are spread evenly, those outside are at the ends."""
    whole = pair.reference.total()
    points = whole.bins.points
    before, now = (_shares_at_or_below(c) for c in (whole, pair.current))
    low, high = np.interp([_EDGE_SHARE, 1 - _EDGE_SHARE], before, points)
    edges = np.linspace(*apart(float(low), float(high)), BARS + 1)
    bars = []
    for cumulative in (before, now):
        inner = np.interp(edges[1:-1], points, cumulative)
        bars.append(100 * np.diff(np.r_[0.0, inner, 1.0]))
    axes.stairs(bars[1], edges, fill=True, color=color, alpha=0.75)
    axes.stairs(bars[0], edges, color=REFERENCE, linewidth=1)
    return bars[0], bars[1]


def _shares_at_or_below(counts: ColumnCounts) -> Floats:
    summed = np.cumsum(counts.ordered[0])
    at = np.arange(1, counts.bins.cells + 1) if counts.bins.edges else np.arange(1, 2 * counts.bins.cells, 2)
    shares: Floats = summed[at] / max(float(summed[-1]), 1.0)
    return shares


def _values(pair: Pair) -> tuple[list[str], Floats, Floats]:
    before, now = _percent(pair.reference.total()), _percent(pair.current)
    return _without_empty([*(f"{v:g}" for v in pair.reference.bins.values), "new", "missing"], before, now, keep=-2)


def _categories(pair: Pair) -> tuple[list[str], Floats, Floats]:
    """The most frequent on either side: all others as one bar would be the largest, and say nothing."""
    before, now = _percent(pair.reference.total()), _percent(pair.current)
    known = before.size - 2
    top = np.argsort(-np.maximum(before[:known], now[:known]), kind="stable")[: BARS - 2]
    names = [*(_cut(str(pair.reference.bins.values[i])) for i in top), "new", "missing"]
    before, now = (np.r_[side[top], side[known:]] for side in (before, now))
    return _without_empty(names, before, now, keep=-2)


def _percent(counts: ColumnCounts) -> Floats:
    """Of each cell, of what is unseen, of what is missing or infinite."""
    apart_rows = int(counts.apart[0].sum())
    rows = np.r_[counts.cells[0], counts.unseen[0].sum(), apart_rows]
    return np.asarray(100 * rows / max(int(rows.sum()), 1), dtype=np.float64)


def _without_empty(names: list[str], before: Floats, now: Floats, keep: int) -> tuple[list[str], Floats, Floats]:
    """Without those of the last cells (new, missing) that are empty on both sides."""
    kept = (before > 0) | (now > 0)
    kept[:keep] = True
    return [as_text(name) for name, k in zip(names, kept, strict=True) if k], before[kept], now[kept]


def _cut(name: str) -> str:
    return name if len(name) <= _SHOWN_LETTERS else f"{name[: _SHOWN_LETTERS - 1]}…"
