"""The checklist: each item passes on good evidence, fails on bad, and is open where nothing can be said."""

from datetime import datetime, timedelta
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from ml_assets.core.assignment import PartCounts
from ml_assets.core.checklist import checklist
from ml_assets.core.errors import BundleError
from ml_assets.core.evaluation import evaluate
from ml_assets.core.feature_gaps import FeatureGaps
from ml_assets.core.manifest import Manifest
from ml_assets.core.policy import Policy
from ml_assets.core.share_split import ShareSplit
from ml_assets.core.time_split import TimeRange, TimeSplit

ROWS = 800
RNG = np.random.default_rng(0)
LABEL, CHANCE = RNG.gamma(2, 5, ROWS), RNG.beta(1, 2, ROWS)
FLAG = (RNG.random(ROWS) < CHANCE).astype(float)
HOLDOUT = pl.DataFrame(
    {
        "row_number": np.arange(ROWS),
        "event_at": [datetime(2018, 3, 15) + timedelta(minutes=30 * i) for i in range(ROWS)],
        "label": LABEL,
        "slice_hour": [float(i % 5) for i in range(ROWS)],
        "@partition": ["2018-03"] * ROWS,
    }
)
SPLIT = TimeSplit(
    TimeRange(datetime(2018, 1, 1), datetime(2018, 3, 1)),
    TimeRange(datetime(2018, 3, 1), datetime(2018, 3, 15)),
    TimeRange(datetime(2018, 3, 15), datetime(2018, 4, 1)),
    datetime(2018, 4, 1),
)
SHARES = ShareSplit("random", 0.2, 0.2, 0, datetime(2018, 1, 1), datetime(2018, 4, 1))
COUNTS = PartCounts({"train": 900, "validation": 90, "holdout": ROWS}, {"train": 0, "validation": 0, "holdout": 0})
GAPS = FeatureGaps({"miles": (0.1, 0.12), "zone": (0.0, 0.0)}, {"zone": 0.01})
GOOD = LABEL + RNG.normal(0, 1, ROWS)
CONTENDERS = {"candidate": GOOD, "champion": LABEL + 3, "naive": np.full(ROWS, 9.0), "linear": LABEL + 4}
CHANCES = {"candidate": CHANCE, "naive": np.full(ROWS, 0.33)}
ITEMS = [
    "later", "labels", "enough", "naive", "linear", "champion", "slice", "Probabilities", "quantile", "stored",
    "single", "unseen", "missing", "categories",
]  # fmt: skip


def golden_differ():
    raise BundleError("bundle", found="scores [1.0]", expected="[2.0]", cure="train again")


def ticked(**changed) -> dict[str, tuple[bool | None, str]]:
    """Word of each item -> whether it passed, and the evidence."""
    contenders, task = changed.pop("contenders", CONTENDERS), changed.pop("task", "regression")
    metric, alpha = changed.pop("metric", "mae" if task == "regression" else "log_loss"), changed.pop("alpha", None)
    holdout = HOLDOUT.with_columns(label=LABEL if task == "regression" else FLAG)
    holdout = holdout.head(changed.pop("rows", ROWS))
    given = {who: p[: holdout.height] for who, p in contenders.items()}
    slices = changed.pop("slices", ["hour"])
    found = evaluate(holdout, given, task=task, metric=metric, alpha=alpha, slices=slices, seed=0).to_json()
    record = {**found, "rows_immature": 0, "importances": {"miles": 0.6, "zone": 0.4}, "champion_learnt_holdout": False}
    gaps, losses = changed.pop("gaps", GAPS), changed.pop("losses", {"train": 1.0, "validation": 1.2})
    facts = {"golden": {"scores": [1.0] * 8}, "learning": {"refit": changed.pop("refit", False)}}
    bundle = SimpleNamespace(facts=facts, require_golden=changed.pop("golden", lambda: None))
    manifest = Manifest("2018-03", {"2018-03": "ab" * 32}, changed.pop("split", SPLIT), COUNTS)
    policy = Policy(metric, calibration_margin=changed.pop("calibration_margin", 0.02))
    listed = checklist({**record, **changed}, bundle, manifest, policy, gaps=gaps, part_losses=losses)
    assert len(listed) == len(ITEMS)
    for word, item in zip(ITEMS, listed, strict=True):
        assert word in item.item
        assert item.to_json() == {"item": item.item, "passed": item.passed, "evidence": item.evidence}
        assert item.evidence
    return {word: (item.passed, item.evidence) for word, item in zip(ITEMS, listed, strict=True)}


def test_a_good_candidate():
    found = ticked()
    assert {word for word, (passed, _) in found.items() if passed is None} == {"Probabilities", "quantile"}
    assert all(passed is not False for passed, _ in found.values())


EARLY = {"sha256": "", "start": "2018-03-14T23:59:59", "end": "2018-04-01T00:00:00"}
SWAPPED = {**CONTENDERS, "candidate": CONTENDERS["champion"], "champion": GOOD}
ONE_HOUR = {**CONTENDERS, "candidate": np.where(np.arange(ROWS) % 5 == 3, LABEL + 9, GOOD)}
FAILING = {
    "later": {"holdout": EARLY},
    "labels": {"rows_immature": 60},
    "naive": {"contenders": {**CONTENDERS, "candidate": LABEL + 30}},
    "linear": {"contenders": {**CONTENDERS, "linear": LABEL}},
    "champion": {"contenders": SWAPPED},
    "slice": {"contenders": ONE_HOUR},
    "Probabilities": {"task": "binary", "contenders": {"candidate": CHANCE / 3, "naive": CHANCES["naive"]}},
    "quantile": {"alpha": 0.9, "metric": "pinball"},
    "stored": {"golden": golden_differ},
    "single": {"importances": {"miles": 0.95, "zone": 0.05}},
    "unseen": {"losses": {"train": 1.0, "validation": 1.6}},
    "missing": {"gaps": FeatureGaps({"miles": (0.1, 0.3), "zone": (0, 0)}, {})},
    "categories": {"gaps": FeatureGaps({"miles": (0, 0)}, {"zone": 0.2, "vendor": 0.0})},
}


@pytest.mark.parametrize("word", FAILING)
def test_each_item_fails_on_bad_evidence(word):
    assert ticked(**FAILING[word])[word][0] is False


OPEN = {
    "later": {"split": SHARES},
    "enough": {"rows": 190},
    "linear": {"contenders": {w: p for w, p in CONTENDERS.items() if w != "linear"}},
    "champion": {"contenders": {w: p for w, p in CONTENDERS.items() if w != "champion"}},
    "slice": {"slices": []},
    "single": {"importances": {}},
    "unseen": {"losses": {}},
    "missing": {"gaps": FeatureGaps({}, {})},
    "categories": {"gaps": FeatureGaps({"miles": (0, 0)}, {})},
}


@pytest.mark.parametrize("word", OPEN)
def test_each_item_is_open_where_nothing_can_be_said(word):
    assert ticked(**OPEN[word])[word][0] is None


def test_a_champion_that_learnt_the_holdout_is_named():
    without = {w: p for w, p in CONTENDERS.items() if w != "champion"}
    passed, evidence = ticked(contenders=without, champion_learnt_holdout=True)["champion"]
    assert passed is None
    assert "learnt from rows of this holdout" in evidence


def test_not_surely_better_than_linear_is_open():
    close = {**CONTENDERS, "linear": LABEL + np.random.default_rng(1).normal(0, 1, ROWS)}
    assert ticked(contenders=close)["linear"][0] is None


def test_a_calibrated_classifier_and_a_right_quantile():
    assert ticked(task="binary", contenders=CHANCES)["Probabilities"][0] is True
    half = {"candidate": LABEL + RNG.normal(0, 1, ROWS), "naive": CONTENDERS["naive"]}
    passed, evidence = ticked(alpha=0.5, metric="pinball", contenders=half)["quantile"]
    assert passed is True
    assert "50.0% should" in evidence


def test_a_model_refitted_on_validation_rows_is_compared_on_the_holdout():
    passed, evidence = ticked(refit=True, losses={"train": 1.0, "validation": 0.1})["unseen"]
    assert passed is True
    assert "holdout rows" in evidence
    assert ticked(refit=True, losses={"train": 0.4})["unseen"][0] is False


def test_the_worst_feature_is_named():
    gaps = FeatureGaps({"miles": (0.5, 0.1), "zone": (0.0, 0.2)}, {"zone": 0.01, "vendor": 0.3})
    found = ticked(gaps=gaps)
    assert found["missing"][1].startswith("miles changes most: missing in 50.0%")
    assert "vendor: 30.00%" in found["categories"][1]
