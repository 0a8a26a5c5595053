"""One evaluation as one HTML page that needs nothing else: no network, no script, no font.

What the page says and how numbers are written is here; its look is in `evaluation_page.html.j2` and `report.css`,
its pictures come from `evaluation_pictures`. The same record and pictures always give the same bytes.
"""

import base64
import math
from collections.abc import Mapping
from importlib import resources
from typing import Any

NOTHING = "–"
NAMES = {
    "naive": "naive baseline",
    "naive_by_key": "naive by key",
    "last_value": "last value known",
    "linear": "linear model",
}
METRICS = {
    "mae": "mean absolute error",
    "median_ae": "median absolute error",
    "rmse": "root mean squared error",
    "bias": "bias: mean of predicted minus true",
    "r2": "share of variance explained (R²)",
    "mape": "mean absolute error as a share of the label",
    "pinball": "pinball loss",
    "coverage": "share of labels at or below the prediction",
    "log_loss": "log loss",
    "brier": "Brier score",
    "calibration_error": "expected calibration error",
    "accuracy": "accuracy",
    "auc": "area under the ROC curve",
    "average_precision": "average precision",
    "cost": "cost per row at the threshold",
    "recall": "recall at the threshold",
    "precision": "precision at the threshold",
}
PICTURES = {
    "contenders": "The deciding metric of each contender with its interval",
    "residuals": "Errors of the candidate",
    "roc_and_precision": "Ranking of rows by the contenders",
    "calibration": "What was predicted and what came true",
    "worst_slices": "Where the candidate is at its worst",
    "explanation": "What the scores come from",
    "learning_curve": "Loss while the model learnt",
    "importance": "Importance of features",
}


def render(record: Mapping[str, Any], pictures: Mapping[str, bytes]) -> str:
    """The page, as HTML text to be written as UTF-8.

    Args:
        record: the evaluation record.
        pictures: name -> PNG, shown in this order.
    """
    import jinja2
    import markupsafe

    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"count": lambda n: f"{n:,}", "figure": figure, "percent": percent, "who": who}
    environment.filters |= {"interval": interval, "signed": signed}
    contenders = list(record["metrics"])
    metrics = [m for m in METRICS if any(m in record["metrics"][c] for c in contenders)]
    verdicts = [item["passed"] for item in record["checklist"]]
    return environment.from_string(_beside("evaluation_page.html.j2")).render(
        record=record,
        css=markupsafe.Markup(_beside("report.css")),  # noqa: S704 - our own file
        headline=headline(record),
        contenders=contenders,
        metrics=metrics,
        titles=METRICS,
        passed=verdicts.count(True),
        failed=verdicts.count(False),
        unknown=verdicts.count(None),
        pictures=[
            (_caption(name), "data:image/png;base64," + base64.b64encode(png).decode())
            for name, png in pictures.items()
        ],
        nothing=NOTHING,
    )


def headline(record: Mapping[str, Any]) -> str:
    """The evaluation in a sentence, with the numbers that matter."""
    metric, unit = record["metric"], f" {record['unit']}" if record["unit"] else ""
    values = {c: of[metric] for c, of in record["metrics"].items()}
    said = f"On {record['rows']:,} rows it has not learnt from, the candidate has {METRICS[metric]} "
    said += f"{figure(values['candidate'])}{unit}"
    others = [f"the {who(c)} {figure(values[c])}" for c in ("champion", "naive") if c in values]
    return f"{said}; {', '.join(others)}." if others else f"{said}."


def who(contender: str) -> str:
    """A contender's name in words."""
    return NAMES.get(contender, contender.replace("_", " "))


def figure(x: float | None) -> str:
    """A number with three or four digits that matter.

    >>> figure(2.58354), figure(-0.030654), figure(1234.5), figure(None)
    ('2.584', '−0.03065', '1,234', '–')
    """
    if x is None:
        return NOTHING
    decimals = 3 if not x else min(8, max(0, 3 - math.floor(math.log10(abs(x)))))
    # + 0.0 turns the −0.0 that rounding may leave into 0.0
    return f"{round(x, decimals) + 0.0:,.{decimals}f}".replace("-", "−")


def interval(found: Mapping[str, float]) -> str:
    """The ends of an interval."""
    return f"{figure(found['low'])} to {figure(found['high'])}"


def percent(share: float) -> str:
    """A share of 1 as a percentage."""
    return f"{100 * share:.1f}\u00a0%".replace("-", "−")


def signed(text: str) -> str:
    """A written figure with its sign, unless it is negative or zero as written."""
    return f"+{text}" if text[:1].isdigit() and any(digit in text for digit in "123456789") else text


def _caption(name: str) -> str:
    if name.startswith("error_by_"):
        return f"Error by {name.removeprefix('error_by_')}"
    return PICTURES.get(name, name.replace("_", " "))


def _embedded(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()


def _beside(name: str) -> str:
    """Text of a file of this package."""
    return resources.files("ml_assets.core").joinpath(name).read_text(encoding="utf-8")
