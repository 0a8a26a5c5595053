"""Pictures of an evaluation, as PNG bytes: the same input gives the same bytes.

What is pictured is computed in `evaluation`, `calibration`, `found_slices` and `explanation`; paper and ink are in
`drawing`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ml_assets.core.drawing import ACCENT, COLORS, MOST_BARS, apart, as_text, png, sheet, sheets, shortened, with_unit
from ml_assets.core.explanation import Explanation
from ml_assets.core.measures import Floats

MOST_FEATURES = 12
MOST_DOTS = 130
CURVE_POINTS = 400
BELOW_BARS = "outside lower center"


def pictures_of(
    record: Mapping[str, Any],
    label: Floats,
    contenders: Mapping[str, Floats],
    *,
    name: str,
    unit: str,
    explanation: Explanation | None = None,
) -> dict[str, bytes]:
    """Every picture that says something of an evaluation: its name -> PNG.

    Args:
        record: the evaluation record.
        label: `[rows]` of the holdout.
        contenders: contender -> its predictions of these rows; the first is the candidate.
        name, unit: of the label.
        explanation: what the candidate's scores come from.
    """
    candidate, task, metric = next(iter(contenders.values())), record["task"], record["metric"]
    drawn = {"contenders": intervals(record["intervals"], metric=metric, unit=record["unit"])}
    if task == "regression":
        drawn["residuals"] = residuals(label, candidate, name=name, unit=unit)
    if task == "binary" and 0 < label.sum() < label.size:
        drawn["roc_and_precision"] = roc_and_precision(label, contenders)
    if record["calibration"] is not None:
        drawn["calibration"] = reliability(record["calibration"])
    for column, values in record["slices"].items():
        drawn[f"error_by_{column}"] = error_by_slice(values, column=column, metric=metric, unit=record["unit"])
    if record["worst_slices"]:
        drawn["worst_slices"] = worst(record["worst_slices"], metric=metric, unit=record["unit"])
    if explanation is not None:
        drawn["explanation"] = explained(explanation)
    return drawn


def residuals(label: Floats, prediction: Floats, *, name: str, unit: str) -> bytes:
    """The distribution of errors, and predictions against true values; both cut at the outer 0.5 %."""
    figure, (left, right) = sheets(f"Residuals of {name}", 2)
    error = prediction - label
    low, high = apart(*np.percentile(error, [0.5, 99.5]))
    left.hist(error, bins=60, range=(low, high), color=COLORS["candidate"])
    left.axvline(0, color=ACCENT, linewidth=1)
    left.set(xlabel=with_unit(unit, "predicted − true"), ylabel="rows")
    ends = np.percentile(np.stack([label, prediction]), [0.5, 99.5], axis=1)
    bottom, top = apart(min(ends[0].min(), 0.0), ends[1].max())
    shown = (label >= bottom) & (label <= top) & (prediction >= bottom) & (prediction <= top)
    extent = (bottom, top, bottom, top)
    right.hexbin(label[shown], prediction[shown], gridsize=40, mincnt=1, bins="log", cmap="Blues", extent=extent)
    right.plot([bottom, top], [bottom, top], color=ACCENT, linewidth=1)
    right.set(xlabel=with_unit(unit, "true"), ylabel=with_unit(unit, "predicted"))
    return png(figure)


def error_by_slice(slices: Mapping[str, Mapping[str, float]], *, column: str, metric: str, unit: str) -> bytes:
    """The metric of each contender per value of a slice column; the largest slices if there are many."""
    largest = set(sorted(slices, key=lambda value: -slices[value]["rows"])[:MOST_BARS])
    values = [v for v in slices if v in largest]
    contenders = [k for k in next(iter(slices.values()), {}) if k != "rows"]
    which = f", the {len(values)} largest of {len(slices):,} slices" if len(values) < len(slices) else ""
    figure, axes = sheet(f"Error by {column}{which}", height=1.6 + 0.28 * len(values))
    thickness = 0.8 / max(len(contenders), 1)
    for i, who in enumerate(contenders):
        at = [row + i * thickness for row in range(len(values))]
        axes.barh(at, [slices[v][who] for v in values], thickness, color=COLORS.get(who, ACCENT), label=who)
    centre = 0.4 - thickness / 2
    axes.set_yticks(
        [r + centre for r in range(len(values))], [f"{shortened(v)}  ({slices[v]['rows']:,.0f})" for v in values]
    )
    axes.invert_yaxis()
    axes.margins(y=0.02)
    axes.set(xlabel=with_unit(unit, metric), ylabel=f"{as_text(column)} (rows)")
    if contenders:
        figure.legend(loc="outside lower center", ncols=len(contenders), frameon=False)
    return png(figure)


def intervals(found: Mapping[str, Mapping[str, Mapping[str, float]]], *, metric: str, unit: str) -> bytes:
    """The deciding metric of each contender with its 95 % interval, on the same resamples of the same rows."""
    shown = {who: of[metric] for who, of in found.items() if metric in of}
    figure, axes = sheet(f"{metric} of the contenders, 95 % intervals", height=1.3 + 0.34 * len(shown))
    for row, (who, of) in enumerate(shown.items()):
        color = COLORS.get(who, ACCENT)
        axes.plot([of["low"], of["high"]], [row, row], color=color, linewidth=2)
        axes.plot(of["estimate"], row, "o", color=color, markersize=6)
        axes.annotate(f"{of['estimate']:.4g}", (of["estimate"], row), (0, 6), textcoords="offset points", fontsize=8)
    axes.set_yticks(range(len(shown)), [as_text(who.replace("_", " ")) for who in shown])
    axes.set_ylim(len(shown) - 0.4, -0.7)
    axes.set(xlabel=with_unit(unit, f"{metric} (lower is better)"))
    return png(figure)


def reliability(calibration: Mapping[str, Any]) -> bytes:
    """How often what was predicted came true, by bins of about equal numbers of rows; on the line is calibrated."""
    bins: Sequence[Mapping[str, float]] = calibration["bins"]
    error, chance = calibration["error"], calibration["expected_by_chance"]
    figure, axes = sheet(f"Calibration: error {error:.4f}, by chance up to {chance:.4f}", height=4.4)
    predicted, observed = ([b[which] for b in bins] for which in ("predicted", "observed"))
    half = [1.96 * np.sqrt(max(b["predicted"] * (1 - b["predicted"]), 0.0) / b["rows"]) for b in bins]
    top = 1.05 * max([*predicted, *observed, 1e-6])
    axes.plot([0, top], [0, top], color=ACCENT, linewidth=1, label="calibrated")
    axes.errorbar(predicted, predicted, half, fmt="none", color="#999999", label="95 % of chance")
    axes.plot(predicted, observed, "o", color=COLORS["candidate"], label="candidate")
    axes.set(xlabel="predicted probability", ylabel="share observed", xlim=(0, top), ylim=(0, None))
    axes.legend(frameon=False)
    return png(figure)


def roc_and_precision(label: Floats, contenders: Mapping[str, Floats]) -> bytes:
    """Rows of class 1 found against rows asked in vain, and against how many of those asked are right."""
    figure, (left, right) = sheets("Ranking of rows", 2, height=4.0)
    points = np.unique(np.linspace(0, label.size - 1, min(CURVE_POINTS, label.size)).astype(np.intp))
    for who, scores in contenders.items():
        if scores.min() == scores.max():
            continue
        order = np.argsort(-scores, kind="stable")
        last_of_score = np.r_[scores[order][1:] != scores[order][:-1], True]
        found, asked = np.cumsum(label[order])[last_of_score], np.flatnonzero(last_of_score) + 1
        kept = points[points < asked.size] if asked.size > CURVE_POINTS else np.arange(asked.size)
        kept = np.union1d(kept, [asked.size - 1])
        recall, vain = found / label.sum(), (asked - found) / (label.size - label.sum())
        color = COLORS.get(who, ACCENT)
        left.plot(np.r_[0, vain[kept]], np.r_[0, recall[kept]], color=color, label=who.replace("_", " "), linewidth=1.2)
        right.plot(recall[kept], (found / asked)[kept], color=color, linewidth=1.2)
    left.plot([0, 1], [0, 1], color="#999999", linewidth=0.8, linestyle=":")
    right.axhline(float(label.mean()), color="#999999", linewidth=0.8, linestyle=":")
    left.set(xlabel="share of class 0 asked", ylabel="share of class 1 found (recall)", title="ROC")
    right.set(xlabel="share of class 1 found (recall)", ylabel="share of those asked (precision)", ylim=(0, 1.02))
    right.set_title("precision and recall")
    figure.legend(loc=BELOW_BARS, ncols=3, frameon=False)
    return png(figure)


def worst(slices: Sequence[Mapping[str, Any]], *, metric: str, unit: str) -> bytes:
    """The deciding metric of each contender where the candidate is at its worst, the rule over its bars."""
    contenders = [k for k in slices[0] if k not in ("rule", "rows", "share_of_rows", "share_of_loss")]
    figure, axes = sheet(
        "Where the candidate is at its worst", height=1.6 + (0.3 + 0.13 * len(contenders)) * len(slices)
    )
    thickness = 0.66 / len(contenders)
    for i, who in enumerate(contenders):
        at = [row + i * thickness for row in range(len(slices))]
        axes.barh(at, [s[who] for s in slices], thickness, color=COLORS.get(who, ACCENT), label=who.replace("_", " "))
    for row, s in enumerate(slices):
        words = f"{s['rule']}: {s['share_of_rows']:.0%} of rows, {s['share_of_loss']:.0%} of loss"
        axes.text(0, row - thickness / 2 - 0.05, as_text(words), fontsize=8, va="bottom")
    axes.set_yticks([])
    axes.set_ylim(len(slices) - 0.3, -0.6)
    axes.set(xlabel=with_unit(unit, metric))
    figure.legend(loc=BELOW_BARS, ncols=min(len(contenders), 6), frameon=False, fontsize=8)
    return png(figure)


def explained(explanation: Explanation) -> bytes:
    """What moves the scores: a dot per row and input, coloured by the input's value; bars where there are no dots."""
    names = list(explanation.shares)[:MOST_FEATURES]
    dots, values = explanation.contributions, explanation.values
    height = 1.4 + 0.32 * len(names)
    if dots is None or values is None:
        what = "mean |SHAP|" if explanation.kind == "shap" else "growth of the loss when shuffled"
        figure, axes = sheet(f"What the scores come from: {what}", height)
        axes.barh(range(len(names)), [explanation.shares[n] for n in names], color=COLORS["candidate"])
        axes.set(xlabel=what)
    else:
        figure, axes = sheet("What the scores come from: SHAP values by row", height)
        shades = None
        for i in range(len(names)):
            shades = _swarm(axes, dots[:MOST_DOTS, i], values[:MOST_DOTS, i], i)
        axes.axvline(0, color="#999999", linewidth=0.8, zorder=0)
        axes.set(xlabel="moves the raw score by")
        if shades is not None:
            bar = figure.colorbar(shades, ax=axes, ticks=[0, 1], aspect=30)
            bar.set_ticklabels(["low", "high"], fontsize=8)
    axes.set_yticks(range(len(names)), [f"{shortened(n)}  {explanation.shares[n]:.3g}" for n in names])
    axes.invert_yaxis()
    return png(figure)


def _swarm(axes: Any, contributions: Floats, values: Floats, row: int) -> Any:
    """Dots beside each other where they are many; grey where the value is no number. Returns what has colours."""
    order = np.argsort(contributions, kind="stable")
    low, high = apart(contributions.min(), contributions.max())
    places = np.floor(40 * (contributions[order] - low) / (high - low))
    first = np.searchsorted(places, places)
    nth = np.arange(len(order)) - first
    offset = np.minimum((nth + 1) // 2, 8) * np.where(nth % 2, 1, -1) * 0.045
    x, y, shade = contributions[order], row + offset, values[order]
    known = np.isfinite(shade)
    axes.scatter(x[~known], y[~known], s=4, color="#999999", linewidths=0)
    return axes.scatter(x[known], y[known], s=4, c=shade[known], cmap="coolwarm", vmin=0, vmax=1, linewidths=0)
