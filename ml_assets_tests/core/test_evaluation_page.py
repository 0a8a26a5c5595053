"""The page of an evaluation: whole, self-contained, the same bytes for the same record, and safe whatever it says."""

import base64
import re
from datetime import datetime, timedelta
from html.parser import HTMLParser

import numpy as np
import polars as pl
import pytest

from ml_assets.core.classification_metrics import Costs
from ml_assets.core.evaluation import evaluate
from ml_assets.core.evaluation_page import METRICS, figure, headline, render

ROWS = 300
RNG = np.random.default_rng(0)
LABEL, CHANCE = RNG.gamma(2, 5, ROWS), RNG.beta(1, 2, ROWS)
HOLDOUT = pl.DataFrame(
    {
        "row_number": np.arange(ROWS),
        "event_at": [datetime(2018, 3, 15) + timedelta(hours=i) for i in range(ROWS)],
        "label": LABEL,
        "miles": LABEL * RNG.random(ROWS),
        "slice_hour": [float(i % 5) for i in range(ROWS)],
        "@partition": ["2018-03"] * ROWS,
    }
)
PICTURES = {"contenders": b"\x89PNG one", "error_by_hour": b"\x89PNG two"}
CHECKLIST = [
    {"item": "Almost all labels are known", "passed": True, "evidence": "7 of 307"},
    {"item": "No slice is ruined", "passed": False, "evidence": "hour = 3"},
    {"item": "Probabilities mean what they say", "passed": None, "evidence": "numbers"},
]


def record(task="regression", **changed):
    metric, label, alpha, costs = "mae", LABEL, None, None
    scores = {"candidate": LABEL + RNG.normal(0, 1, ROWS), "champion": LABEL + 2, "naive": np.full(ROWS, 9.0)}
    if task == "binary":
        metric, label, costs = "log_loss", (CHANCE > 0.3).astype(float), Costs(1, 3)
        scores = {"candidate": CHANCE, "naive": np.full(ROWS, 0.4), "linear": CHANCE**2}
    if task == "multiclass":
        metric, label = "brier", (CHANCE > 0.3).astype(float)
        scores = {"candidate": np.column_stack([1 - CHANCE, CHANCE])}
    if task == "quantile":
        metric, alpha = "pinball", 0.9
    task = "regression" if task == "quantile" else task
    frame = HOLDOUT.with_columns(label=label)
    found = evaluate(frame, scores, task=task, metric=metric, alpha=alpha, slices=["hour"], costs=costs, seed=0)
    return {
        "pipeline": "duration", "bundle": "ab" * 32, "as_of": "2018-03", "scores_from": "2018-04-01T00:00:00",
        "rows_trained": 9000, "unit": "minutes", "rows_immature": 7, **found.to_json(),
        "importances": {"miles": 0.8, "hour": 0.2}, "shap": {"miles": 2.5, "hour": 0.1}, "permutation": None,
        "champion": {"bundle": "cd" * 32, "as_of": "2018-02", "sequence": 3}, "champion_learnt_holdout": False,
        "checklist": CHECKLIST, **changed,
    }  # fmt: skip


class Page(HTMLParser):
    VOID = frozenset({"meta", "link", "br", "img", "wbr"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)
        assert self.open == [], "every element is closed"

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


TASKS = ["regression", "quantile", "binary", "multiclass"]


@pytest.mark.parametrize("task", TASKS)
def test_the_page_is_whole_and_needs_nothing_else(task):
    text = render(record(task), PICTURES)
    page = Page(text)
    assert not {"script", "iframe", "object", "base"} & {tag for tag, _ in page.tags}
    links = [v for _, attrs in page.tags for k, v in attrs.items() if k in ("src", "href", "srcset")]
    assert all(v.startswith(("#", "data:")) for v in links)
    assert not re.search(r"url\(|@import|https?://", text)
    ids = {attrs["id"] for _, attrs in page.tags if "id" in attrs}
    assert {v.removeprefix("#") for v in links if v.startswith("#")} <= ids
    assert "None" not in text
    assert "nan" not in re.sub(r"<style>.*?</style>", "", text, flags=re.DOTALL)


def test_the_same_record_is_the_same_page():
    one = record()
    assert render(one, PICTURES) == render(one, PICTURES)


def test_what_it_says():
    told = record()
    text = render(told, PICTURES)
    for said in ("duration", "2018-03", "ab" * 32, "cd" * 32, told["holdout"]["sha256"], "9,000", headline(told)):
        assert said in text
    assert text.count("<th") > 40
    for name in told["metrics"]["candidate"]:
        assert METRICS[name] in text
        assert figure(told["metrics"]["candidate"][name]) in text
    for item in CHECKLIST:
        assert item["item"] in text
        assert item["evidence"] in text
    assert all(word in text for word in ("✓ yes", "✕ no", "yes, 1 no, 1 open"))
    for s in told["worst_slices"]:
        assert s["rule"].replace("<", "&lt;").replace(">", "&gt;") in text
    for png in PICTURES.values():
        assert base64.b64encode(png).decode() in text


def test_every_metric_has_a_title():
    for task in TASKS:
        assert record(task)["metrics"]["candidate"].keys() <= METRICS.keys()


def test_what_belongs_to_the_task():
    assert "coverage" in render(record("quantile"), {}).lower()
    binary = render(record("binary"), {})
    assert "above a probability of 0.2500" in binary
    assert "Calibration</dt>" in binary
    assert "Calibration</dt>" not in render(record(), {})


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"champion_learnt_holdout": True}, "can’t be compared"),
        ({"champion": None}, "<dt>Champion</dt><dd>none"),
        ({"checklist": []}, "No checklist was filled in"),
        ({"importances": {}, "shap": None}, "tells nothing of its features"),
        ({"shap": None, "permutation": {"miles": 0.4}}, "Shuffled"),
        ({"worst_slices": []}, "No slices were found"),
    ],
)
def test_what_may_be_missing(changed, said):
    text = render(record(**changed), {})
    Page(text)
    assert said in text
    assert said not in render(record(), PICTURES)


def test_names_from_outside_are_text():
    hostile = '<img src=x onerror="alert(1)"><script>'
    told = record(pipeline=hostile, importances={hostile: 1.0}, shap={hostile: 1.0})
    told["slices"] = {hostile: {hostile: {"rows": 1, "candidate": 1.0, "champion": 1.0, "naive": 1.0}}}
    told["checklist"] = [{"item": hostile, "passed": None, "evidence": hostile}]
    text = render(told, {hostile: b"png"})
    assert "<script" not in text
    assert [attrs for tag, attrs in Page(text).tags if tag == "img" and "onerror" in attrs] == []


@pytest.mark.parametrize(
    ("x", "text"),
    [
        (0, "0.000"),
        (-0.0004, "−0.0004000"),
        (12.3456, "12.35"),
        (123456.7, "123,457"),
        (None, "–"),
        (-1e-12, "0.00000000"),
    ],
)
def test_figures(x, text):
    assert figure(x) == text
