"""Pictures of a study, as PNG bytes: the same trials give the same bytes.

What a trial is, is in `trials`; paper and ink are in `drawing`.
"""

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from ml_assets.core.drawing import ACCENT, COLORS, apart, as_text, png, sheet, shortened
from ml_assets.core.search_range import Between, Choice
from ml_assets.core.search_space import SearchSpace
from ml_assets.core.trials import TrialRecord, ranked

IN_A_ROW = 3
ORIGINS = {
    "untuned": ACCENT,
    "warm start": "#E69F00",
    "recency": "#CC79A7",
    "preset": "#56B4E9",
    "search": COLORS["candidate"],
}


def optimisation_history(trials: Sequence[TrialRecord], *, metric: str) -> bytes:
    """The loss of each trial in the order they were made, the best so far, and those that were given up.

    Args:
        trials: of a study that may still be running, at least one.
        metric: whose loss it is.
    """
    done = [(t.number, t.value, t) for t in trials if t.value is not None]
    last = max((t.number for t in trials), default=0)
    figure, axes = sheet(f"Tuning: {len(trials)} trials, {len(done)} of them complete")
    for origin, color in ORIGINS.items():
        if of_origin := [(n, v) for n, v, t in done if t.origin == origin]:
            axes.scatter(*zip(*of_origin, strict=True), s=18, color=color, label=origin)
    if done:
        best = list(accumulate((v for _, v, _ in done), min))
        numbers = [*(n for n, _, _ in done), last]
        axes.step(numbers, [*best, best[-1]], where="post", color=COLORS["validation"], label="best so far")
    if ended := [t.number for t in trials if t.state != "complete"]:
        # Below the points, since they have no loss: the axis' own transform takes heights from 0 to 1.
        axes.scatter(
            ended, [0.02] * len(ended), s=18, marker="x", color=COLORS["train"], label="pruned or failed",
            transform=axes.get_xaxis_transform(),
        )  # fmt: skip
    if trials:
        # Those that were given up count for the width, too.
        axes.set_xlim(-0.5, last + 0.5)
    axes.set(xlabel="trial", ylabel=as_text(f"mean loss over the folds ({metric})"))
    axes.xaxis.get_major_locator().set_params(integer=True)
    if trials:
        figure.legend(loc="outside lower center", ncols=4, frameon=False)
    return png(figure)


def slices(trials: Sequence[TrialRecord], space: SearchSpace, *, metric: str) -> bytes:
    """The loss of the complete trials by each parameter: where the good values lie, and where none were tried.

    Args:
        trials: of one study.
        space: that they are from.
        metric: whose loss it is.
    """
    from matplotlib.figure import Figure

    from ml_assets.core.drawing import DPI

    done, rows = ranked(trials), -(-len(space.names) // IN_A_ROW)
    figure = Figure(figsize=(7.2, 0.6 + 2.0 * rows), dpi=DPI, layout="constrained")
    figure.suptitle("Loss by parameter; the best trial is marked", fontsize=11)
    every: list[Any] = list(figure.subplots(rows, IN_A_ROW, squeeze=False, sharey=True).flat)
    for axes, (name, part) in zip(every, space.names.items(), strict=False):
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=7)
        axes.set_xlabel(shortened(name), fontsize=9)
        _one_slice(axes, name, part, done)
    for axes in every[len(space.names) :]:
        axes.set_axis_off()
    figure.supylabel(as_text(f"mean loss ({metric})"), fontsize=9)
    return png(figure)


def _one_slice(axes: Any, name: str, part: Choice | Between, done: Sequence[TrialRecord]) -> None:
    where: list[float]
    if isinstance(part, Choice):
        at = {text: i for i, text in enumerate(part.values)}
        where = [at.get(part.stored(t.params[name]) or "", len(at)) for t in done]
        axes.set_xticks(range(len(at)), [shortened(text.strip('"').replace("null", "none")) for text in at])
        axes.set_xlim(-0.5, len(at) - 0.5)
    else:
        where = [part.stored(t.params[name]) for t in done]
        if part.log:
            # Matplotlib's own marks of a logarithmic axis overlap where it spans less than a decade.
            axes.set_xscale("log")
            axes.minorticks_off()
            marks = [part.low, (part.low * part.high) ** 0.5, part.high]
            axes.set_xticks(marks, [f"{mark:.3g}" for mark in marks])
        axes.set_xlim(*apart(part.low, part.high))
    losses = [t.value for t in done]
    axes.scatter(where, losses, s=10, color=COLORS["candidate"], clip_on=False)
    axes.scatter(where[:1], losses[:1], s=26, color=ACCENT, clip_on=False)
