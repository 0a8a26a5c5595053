"""Pictures of training, data and monitoring, as PNG bytes: the same input gives the same bytes.

What is pictured is computed elsewhere; pictures of an evaluation are in `evaluation_pictures`, paper and ink in
`drawing`. Where pictures are kept is in `ml_assets.resources.reports`.
"""

from collections.abc import Mapping, Sequence

from ml_assets.core.drawing import ACCENT, COLORS, MOST_BARS, png, sheet, shortened, with_unit


def learning_curve(train: Sequence[float], validation: Sequence[float], best: int, *, loss: str) -> bytes:
    """Loss after each tree on both sets, with the tree at which training stopped."""
    figure, axes = sheet(f"Learning curve: {loss} after each tree")
    for name, curve in (("train", train), ("validation", validation)):
        axes.plot(range(1, len(curve) + 1), curve, color=COLORS[name], label=name)
    axes.axvline(best, color=ACCENT, linewidth=1, linestyle="--", label=f"{best} trees kept")
    axes.set(xlabel="trees", ylabel=loss)
    axes.legend(frameon=False)
    return png(figure)


def error_over_time(
    partitions: Sequence[str],
    series: Mapping[str, Sequence[float | None]],
    trained: Sequence[str],
    expected: Mapping[str, Mapping[str, float]] | None = None,
    *,
    metric: str,
    unit: str,
) -> bytes:
    """The metric per partition and contender, with a mark after each partition as of which a champion was trained.

    Args:
        partitions: their keys.
        series: contender -> metric of each partition; None where no label is known.
        trained: partitions as of which a champion was trained.
        expected: partition that lacks labels -> `estimate`, `low` and `high` of the champion's metric on all its rows.
        metric: its name.
        unit: its unit.
    """
    figure, axes = sheet(f"{metric} per partition")
    at = range(len(partitions))
    for who, values in series.items():
        known = [float("nan") if value is None else value for value in values]
        axes.plot(at, known, marker="o", markersize=3, color=COLORS.get(who, ACCENT), label=who.replace("_", " "))
    if expected:
        found = [(partitions.index(key), of["estimate"], of["low"], of["high"]) for key, of in expected.items()]
        places, middle, low, high = (list(column) for column in zip(*found, strict=True))
        ends = [[m - x for m, x in zip(middle, low, strict=True)], [x - m for m, x in zip(middle, high, strict=True)]]
        axes.errorbar(
            places, middle, yerr=ends, fmt="D", markersize=4, capsize=3, color=ACCENT, label="champion, estimated"
        )
    for i, key in enumerate(key for key in trained if key in partitions):
        name = None if i else "new champion"
        axes.axvline(partitions.index(key) + 0.5, color=ACCENT, linewidth=1, linestyle=":", label=name)
    step = max(1, len(partitions) // 12)
    axes.set_xticks(list(at)[::step], partitions[::step], rotation=45, ha="right")
    axes.set(ylabel=with_unit(unit, metric))
    axes.set_ylim(bottom=0)
    if series or expected:
        figure.legend(loc="outside lower center", ncols=len(series) + 1 + bool(expected), frameon=False)
    return png(figure)


def quarantine_reasons(rows_by_rule: Mapping[str, int], rows: int) -> bytes:
    """How many rows broke each rule, and their share of the partition."""
    rules = sorted(rows_by_rule, key=lambda rule: -rows_by_rule[rule])[:MOST_BARS]
    figure, axes = sheet(f"Rows in quarantine, of {rows:,}", height=1.4 + 0.26 * len(rules))
    # At numbers, not at names: two rules that are shortened to the same text would share a bar.
    axes.barh(range(len(rules)), [rows_by_rule[r] for r in rules], color=ACCENT)
    axes.set_yticks(range(len(rules)), [shortened(r) for r in rules])
    for i, rule in enumerate(rules):
        share = rows_by_rule[rule] / max(rows, 1)
        axes.annotate(f" {rows_by_rule[rule]:,} ({share:.2%})", (rows_by_rule[rule], i), va="center", fontsize=8)
    axes.invert_yaxis()
    axes.margins(x=0.25)
    figure.supxlabel("rows (a row that breaks several rules counts for each)", fontsize=10)
    return png(figure)


def importance(shares: Mapping[str, float]) -> bytes:
    """Each feature's share of the loss that the trees took away (gain)."""
    names = sorted(shares, key=lambda name: -shares[name])[:MOST_BARS]
    figure, axes = sheet("Importance of features", height=1.4 + 0.26 * len(names))
    axes.barh(range(len(names)), [100 * shares[n] for n in names], color=COLORS["candidate"])
    axes.set_yticks(range(len(names)), [shortened(n) for n in names])
    axes.invert_yaxis()
    axes.set(xlabel="share of gain, %")
    return png(figure)
