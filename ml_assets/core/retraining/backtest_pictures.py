"""The picture of a backtest, as PNG bytes: the same input gives the same bytes.

What is pictured is computed in `backtest` and `backtest_report`; paper and ink are in `drawing`.
"""

from typing import Any

from ml_assets.core.drawing import ACCENT, COLORS, apart, as_text, panels, png, with_unit
from ml_assets.core.retraining.backtest_run import Backtested

ACROSS = 2
MOST_TICKS = 4
PANEL_INCHES = 0.95
THIN: dict[str, Any] = {"linewidth": 1, "antialiased": False}
"""With few colours and small panels the asset's page shows the picture itself and not only a link."""


def error_of_policies(done: Backtested, *, loss: str, unit: str) -> bytes:
    """Each policy's loss over time beside the lowest of all, with a mark on each partition as of which it trained.

    A filled mark is a training whose candidate was released, a hollow one any other. Partitions without a label are
    gaps.

    Args:
        done: the policies.
        loss: what is shown.
        unit: its unit.
    """
    report, histories = done.report, done.histories
    figure, every = panels(f"{loss} under each policy", len(histories), ACROSS, PANEL_INCHES, legend=True)
    keys = report.partitions
    best = [low if rows else float("nan") for low, rows in zip(report.hindsight, report.rows, strict=True)]
    values = [x for o in report.outcomes for x, rows in zip(o.losses, report.rows, strict=True) if rows]
    low, high = apart(min(values), max(values))
    room = 0.08 * (high - low)
    for number, (axes, history, outcome) in enumerate(zip(every, histories, report.outcomes, strict=True)):
        own = [x if rows else float("nan") for x, rows in zip(outcome.losses, report.rows, strict=True)]
        taken = history.policy == report.recommended
        axes.plot(range(len(keys)), best, color=COLORS["train"], label="best in hindsight", **THIN)
        axes.plot(range(len(keys)), own, color=COLORS["champion"], label="this policy", **THIN)
        for outcomes, face, label in ((True, ACCENT, "trained, released"), (False, "none", "trained, not released")):
            at = [keys.index(t.plan.as_of) for t in history.trainings if (t.outcome == "promoted") is outcomes]
            axes.scatter(at, [own[i] for i in at], s=12, edgecolors=ACCENT, facecolors=face, label=label, zorder=3)
        name = f"{history.policy}{' (recommended)' if taken else ''}: {outcome.error:.4g}, {outcome.trainings} trained"
        axes.set_title(as_text(name), fontsize=8)
        axes.tick_params(labelleft=number % ACROSS == 0)
        axes.set_ylim(low - room, high + room)
        step = max(1, -(-len(keys) // MOST_TICKS))
        lowest = number >= len(histories) - ACROSS
        axes.set_xticks(range(len(keys))[::step], keys[::step] if lowest else [], rotation=30, ha="right")
    figure.supylabel(with_unit(unit, loss), fontsize=9)
    handles, labels = every[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False, fontsize=8)
    return png(figure)
