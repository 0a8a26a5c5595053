"""Pictures of training, evaluation and monitoring, as PNG bytes: the same input gives the same bytes.

What is pictured is computed elsewhere; where pictures are kept is in `ml_assets.resources.reports`.
"""

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Floats = npt.NDArray[np.float64]

# Okabe and Ito's palette: told apart with any kind of colour vision.
COLORS = {
    "candidate": "#009E73", "champion": "#0072B2", "train": "#999999", "validation": "#0072B2",
    "never_retrained": "#E69F00", "naive": "#999999",
}  # fmt: skip
ACCENT = "#D55E00"
DPI = 80
MOST_BARS = 24
"""As many as a day has hours."""
MOST_LETTERS = 40


def learning_curve(train: Sequence[float], validation: Sequence[float], best: int, *, loss: str) -> bytes:
    """Loss after each tree on both sets, with the tree at which training stopped."""
    figure, axes = _figure(f"Learning curve: {loss} after each tree")
    for name, curve in (("train", train), ("validation", validation)):
        axes.plot(range(1, len(curve) + 1), curve, color=COLORS[name], label=name)
    axes.axvline(best, color=ACCENT, linewidth=1, linestyle="--", label=f"{best} trees kept")
    axes.set(xlabel="trees", ylabel=loss)
    axes.legend(frameon=False)
    return _png(figure)


def residuals(label: Floats, prediction: Floats, *, name: str, unit: str) -> bytes:
    """The distribution of errors, and predictions against true values; both cut at the outer 0.5 %."""
    figure, (left, right) = _figures(f"Residuals of {name}", 2)
    error = prediction - label
    low, high = _apart(*np.percentile(error, [0.5, 99.5]))
    left.hist(error, bins=60, range=(low, high), color=COLORS["candidate"])
    left.axvline(0, color=ACCENT, linewidth=1)
    left.set(xlabel=_with(unit, "predicted − true"), ylabel="rows")
    ends = np.percentile(np.stack([label, prediction]), [0.5, 99.5], axis=1)
    bottom, top = _apart(min(ends[0].min(), 0.0), ends[1].max())
    shown = (label >= bottom) & (label <= top) & (prediction >= bottom) & (prediction <= top)
    extent = (bottom, top, bottom, top)
    right.hexbin(label[shown], prediction[shown], gridsize=40, mincnt=1, bins="log", cmap="Blues", extent=extent)
    right.plot([bottom, top], [bottom, top], color=ACCENT, linewidth=1)
    right.set(xlabel=_with(unit, "true"), ylabel=_with(unit, "predicted"))
    return _png(figure)


def error_by_slice(slices: Mapping[str, Mapping[str, float]], *, column: str, metric: str, unit: str) -> bytes:
    """The metric of each contender per value of a slice column; the largest slices if there are many."""
    largest = set(sorted(slices, key=lambda value: -slices[value]["rows"])[:MOST_BARS])
    values = [v for v in slices if v in largest]
    contenders = [k for k in next(iter(slices.values()), {}) if k != "rows"]
    which = f", the {len(values)} largest of {len(slices):,} slices" if len(values) < len(slices) else ""
    figure, axes = _figure(f"Error by {column}{which}", height=1.6 + 0.28 * len(values))
    thickness = 0.8 / max(len(contenders), 1)
    for i, who in enumerate(contenders):
        at = [row + i * thickness for row in range(len(values))]
        axes.barh(at, [slices[v][who] for v in values], thickness, color=COLORS.get(who, ACCENT), label=who)
    centre = 0.4 - thickness / 2
    axes.set_yticks(
        [r + centre for r in range(len(values))], [f"{_short(v)}  ({slices[v]['rows']:,.0f})" for v in values]
    )
    axes.invert_yaxis()
    axes.margins(y=0.02)
    axes.set(xlabel=_with(unit, metric), ylabel=f"{_text(column)} (rows)")
    if contenders:
        figure.legend(loc="outside lower center", ncols=len(contenders), frameon=False)
    return _png(figure)


def error_over_time(
    partitions: Sequence[str],
    series: Mapping[str, Sequence[float]],
    trained: Sequence[str],
    *,
    metric: str,
    unit: str,
) -> bytes:
    """The metric per partition and contender, with a mark after each partition as of which a champion was trained."""
    figure, axes = _figure(f"{metric} per partition")
    at = range(len(partitions))
    for who, values in series.items():
        axes.plot(at, values, marker="o", markersize=3, color=COLORS.get(who, ACCENT), label=who.replace("_", " "))
    for i, key in enumerate(key for key in trained if key in partitions):
        name = None if i else "new champion"
        axes.axvline(partitions.index(key) + 0.5, color=ACCENT, linewidth=1, linestyle=":", label=name)
    step = max(1, len(partitions) // 12)
    axes.set_xticks(list(at)[::step], partitions[::step], rotation=45, ha="right")
    axes.set(ylabel=_with(unit, metric))
    axes.set_ylim(bottom=0)
    if series:
        figure.legend(loc="outside lower center", ncols=len(series) + 1, frameon=False)
    return _png(figure)


def quarantine_reasons(rows_by_rule: Mapping[str, int], rows: int) -> bytes:
    """How many rows broke each rule, and their share of the partition."""
    rules = sorted(rows_by_rule, key=lambda rule: -rows_by_rule[rule])[:MOST_BARS]
    figure, axes = _figure(f"Rows in quarantine, of {rows:,}", height=1.4 + 0.26 * len(rules))
    # At numbers, not at names: two rules that are shortened to the same text would share a bar.
    axes.barh(range(len(rules)), [rows_by_rule[r] for r in rules], color=ACCENT)
    axes.set_yticks(range(len(rules)), [_short(r) for r in rules])
    for i, rule in enumerate(rules):
        share = rows_by_rule[rule] / max(rows, 1)
        axes.annotate(f" {rows_by_rule[rule]:,} ({share:.2%})", (rows_by_rule[rule], i), va="center", fontsize=8)
    axes.invert_yaxis()
    axes.margins(x=0.25)
    figure.supxlabel("rows (a row that breaks several rules counts for each)", fontsize=10)
    return _png(figure)


def importance(shares: Mapping[str, float]) -> bytes:
    """Each feature's share of the loss that the trees took away (gain)."""
    names = sorted(shares, key=lambda name: -shares[name])[:MOST_BARS]
    figure, axes = _figure("Importance of features", height=1.4 + 0.26 * len(names))
    axes.barh(range(len(names)), [100 * shares[n] for n in names], color=COLORS["candidate"])
    axes.set_yticks(range(len(names)), [_short(n) for n in names])
    axes.invert_yaxis()
    axes.set(xlabel="share of gain, %")
    return _png(figure)


def _figure(title: str, height: float = 3.6) -> "tuple[Figure, Any]":
    figure, (axes,) = _figures(title, 1, height)
    return figure, axes


def _figures(title: str, count: int, height: float = 3.6) -> "tuple[Figure, Any]":
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, height), dpi=DPI, layout="constrained")
    axes = figure.subplots(1, count, squeeze=False)[0]
    figure.suptitle(_text(title), fontsize=11)
    for one in axes:
        one.spines[["top", "right"]].set_visible(False)
        one.tick_params(labelsize=8)
    return figure, axes


def _apart(low: float, high: float) -> tuple[float, float]:
    """Ends of an axis, far enough apart to be divided where all values are the same."""
    room = 1e-6 * max(1.0, abs(low), abs(high))
    return (low, high) if high - low > room else (low - room, high + room)


def _short(name: str) -> str:
    """A name's beginning and end where it is long: names in a series often differ in their last letters."""
    half = MOST_LETTERS // 2
    return _text(name if len(name) <= MOST_LETTERS else f"{name[: half - 1]}…{name[-half:]}")


def _with(unit: str, what: str) -> str:
    return _text(f"{what}, {unit}" if unit else what)


def _text(given: str) -> str:
    """Text as it is: between two dollar signs matplotlib would read a formula, and fail on most regular expressions."""
    return given.replace("$", r"\$")


def _png(figure: "Figure") -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    out = io.BytesIO()
    FigureCanvasAgg(figure).print_png(out, metadata={"Software": None})
    return out.getvalue()
