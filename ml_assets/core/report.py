"""The report of a replay as one HTML page that needs nothing else: no network, no script, no font.

What the page says and how numbers are written is here; its look is in `report.html.j2` and `report.css`, the
coordinates of its charts in `report_chart`, the figures in `summary`. The same summary always gives the same
bytes.
"""

import math
import re
from collections.abc import Mapping, Sequence
from importlib import resources
from statistics import median
from typing import Any

from ml_assets.core.report_chart import WIDTH, Figure, error_chart, rows_chart
from ml_assets.core.summary import Summary, TrainingSummary

NOTHING = "–"


def render(summary: Summary, *, graph_url_hint: str) -> str:
    """The page, as HTML text to be written as UTF-8.

    Args:
        summary: the replay; a young one, without trainings or metrics or even partitions, is fine.
        graph_url_hint: where the UI is once `make dev` runs, e.g. `http://127.0.0.1:3000`; a link if it is an
            http or https URL, plain text otherwise.
    """
    import jinja2
    import markupsafe

    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    figure = _figures(summary)
    environment.filters |= {"count": _count, "figure": figure, "percent": _percent, "signed": _signed}
    environment.filters |= {"short": _short, "duration": _duration}
    template = _beside("report.html.j2")
    naive = _naive(summary)
    reasons = summary.quarantine_reasons()
    facts: dict[str, Any] = {
        "summary": summary,
        "css": markupsafe.Markup(_beside("report.css")),  # noqa: S704 - our own file
        "headline": headline(summary),
        "comparison": summary.comparison(),
        "naive": naive,
        "period": _period(summary),
        "promoted": sum(t.decision == "promote" for t in summary.trainings),
        "rejected": sum(t.decision == "reject" for t in summary.trainings),
        "live": _live(summary),
        "attributed": any(t.worth for t in summary.trainings),
        "trained": {t.bundle: t for t in summary.trainings},
        "reasons": reasons,
        "heat": _heat([(p.rows_raw, p.quarantine_reasons) for p in summary.partitions]),
        "by_reason": [(p.partition, p.rows_quarantined, p.quarantine_reasons) for p in summary.partitions],
        "missing": summary.missing_values(),
        "by_column": [(p.partition, p.rows_validated, p.missing_values) for p in summary.partitions],
        "missing_heat": _heat([(p.rows_validated, p.missing_values) for p in summary.partitions]),
        "changes": [(p.partition, change) for p in summary.partitions for change in p.schema_changes],
        "minor": any(p.drift_verdict == "stable" and p.drifted_features for p in summary.partitions),
        "errors": error_chart(summary, naive=naive, figure=figure),
        "rows": rows_chart(summary),
        "width": WIDTH,
        "url": graph_url_hint,
        "url_is_link": re.match(r"https?://", graph_url_hint) is not None,
        "nothing": NOTHING,
    }
    return environment.from_string(template).render(facts)


def _beside(name: str) -> str:
    """Text of a file of this package."""
    return resources.files("ml_assets.core").joinpath(name).read_text(encoding="utf-8")


def headline(summary: Summary) -> str:
    """The replay in a sentence, with the numbers that matter."""
    figure, means = _figures(summary), summary.comparison()
    unit = f" {summary.unit}" if summary.unit else ""
    if not summary.partitions:
        return "No data has landed yet."
    if means.live is None:
        landed = f"{_count(summary.rows_validated)} of {_count(summary.rows_raw)} rows kept their contract"
        if any(p.champion for p in summary.partitions):
            return f"A champion is live, but its error is not known yet; {landed}."
        if any(t.decision == "promote" for t in summary.trainings):
            return f"A champion was released, but has scored nothing yet; {landed}."
        return f"No model has been released yet; over {_period(summary)}, {landed}."
    over = _plural(means.partitions, _cadence(summary))
    if summary.metric == "mae":
        said = f"Over {over} the live champion was off by {figure(means.live)}{unit} on average"
    else:
        metric = summary.metric.upper()
        said = f"Over {over} the live champion had {metric} {figure(means.live)}{unit}"
    never, naive = figure(means.never_retrained), figure(means.naive)
    if means.never_retrained is not None and means.naive is not None:
        return f"{said}; never retraining would have cost {never}, the {_naive(summary)} {naive}."
    if means.never_retrained is not None:
        return f"{said}; never retraining would have cost {never}."
    if means.naive is not None:
        return (
            f"{said}, the {_naive(summary)} by {naive}."
            if summary.metric == "mae"
            else (f"{said}, the {_naive(summary)} {naive}.")
        )
    return f"{said}."


def _figures(summary: Summary) -> Figure:
    """How metrics are written: as many decimals as give the usual one of them three digits."""
    live = [p.metric for p in summary.partitions if p.metric]
    others = [t.holdout_metric for t in summary.trainings if t.holdout_metric]
    others += [p.metric_naive for p in summary.partitions if p.metric_naive]
    usual = median(live or others or [1.0])
    decimals = min(6, max(0, 2 - math.floor(math.log10(usual))))
    # + 0.0 turns the −0.0 that rounding may leave into 0.0
    return lambda x: NOTHING if x is None else f"{round(x, decimals) + 0.0:,.{decimals}f}".replace("-", "−")


def _live(summary: Summary) -> TrainingSummary | None:
    """The training that made the champion which is live when the replay ends."""
    return next((t for t in reversed(summary.trainings) if t.decision == "promote"), None)


def _heat(partitions: Sequence[tuple[int, Mapping[str, int]]]) -> dict[tuple[int, str], str]:
    """Shade of (partition, name), 0 to 1: root of its share of the rows, relative to the greatest share.

    Args:
        partitions: rows of each, and name → how many of them.
    """
    share = {
        (i, name): n / rows for i, (rows, counts) in enumerate(partitions) for name, n in counts.items() if n and rows
    }
    greatest = max(share.values(), default=1.0)
    return {place: f"{math.sqrt(s / greatest):.2f}" for place, s in share.items()}


def _naive(summary: Summary) -> str:
    """The naive baseline's name: the constant with the least mean absolute error is the median."""
    return "naive median" if summary.metric == "mae" else "naive baseline"


def _cadence(summary: Summary) -> str:
    months = all(re.fullmatch(r"\d{4}-(0[1-9]|1[0-2])", p.partition) for p in summary.partitions)
    return "month" if months else "partition"


def _period(summary: Summary) -> str:
    return _plural(len(summary.partitions), _cadence(summary))


def _plural(n: int, noun: str) -> str:
    return f"{_count(n)} {noun}{'' if n == 1 else 's'}"


def _count(n: int) -> str:
    return f"{n:,}"


def _percent(share: float | None) -> str:
    return NOTHING if share is None else f"{100 * share:.1f}\u00a0%".replace("-", "−")


def _signed(text: str) -> str:
    """A written figure with its sign, unless it is zero as written."""
    return f"+{text}" if re.match(r"[0-9]", text) and re.search(r"[1-9]", text) else text


def _short(digest: str) -> str:
    return digest if len(digest) <= 12 else f"{digest[:10]}…"


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return NOTHING
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
