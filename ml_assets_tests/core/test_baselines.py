"""What is fitted beside every candidate: as asked for, from training rows alone, and a linear model that learns."""

from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest

from ml_assets.core.baselines import fit_baselines
from ml_assets.core.features import Feature
from ml_assets.core.metrics import losses, require_scores

ROWS = 900
FEATURES = [
    Feature("zone", pl.col("zone"), kind="category"),
    Feature("miles", pl.col("miles"), kind="number", unit="miles"),
]


def rides(start: int, task: str) -> pl.DataFrame:
    rng = np.random.default_rng(start)
    zone, miles = rng.integers(0, 4, ROWS), rng.gamma(2, 2, ROWS)
    raw = 3 + 4 * miles + 3 * zone + rng.normal(0, 1, ROWS)
    label = {"regression": raw, "binary": (raw > 25) * 1.0, "multiclass": (raw > 15) + (raw > 30) * 1.0}[task]
    event = [datetime(2018, 1, 1) + timedelta(minutes=start + i) for i in range(ROWS)]
    return pl.DataFrame(
        {
            "row_number": np.arange(ROWS),
            "event_at": event,
            "label": label,
            "label_known_at": [e + timedelta(minutes=5) for e in event],
            "zone": [f"z{z}" for z in zone],
            "miles": miles,
            "@unit": pl.Series(np.arange(start, start + ROWS), dtype=pl.UInt64),
            "@partition": "2018-01",
        }
    )


def fitted(task="regression", metric="mae", **changed):
    given = {"by": ["zone"], "features": FEATURES, "classes": 3 if task == "multiclass" else 2, **changed}
    return fit_baselines(rides(0, task), rides(1000, task), task=task, metric=metric, **given)


@pytest.mark.parametrize(
    ("task", "metric"), [("regression", "mae"), ("regression", "rmse"), ("binary", "log_loss"), ("multiclass", "brier")]
)
def test_all_score_and_the_linear_model_learns(task, metric):
    holdout = rides(2000, task)
    label = holdout["label"].to_numpy()
    found = {who: of.scores(holdout) for who, of in fitted(task, metric).items()}
    assert list(found) == ["naive_by_key", "last_value", "linear"]
    for who, scores in found.items():
        require_scores(task, label, scores, who)
    loss = {who: losses(metric, label, scores).mean() for who, scores in found.items()}
    assert loss["linear"] < 0.7 * min(loss["naive_by_key"], loss["last_value"])


def test_a_quantile_is_learnt_as_one():
    found = fitted(metric="pinball", alpha=0.9)
    holdout = rides(2000, "regression")
    covered = (holdout["label"].to_numpy() <= found["linear"].scores(holdout)).mean()
    assert covered == pytest.approx(0.9, abs=0.05)


def test_only_what_is_asked_for():
    assert list(fitted(by=[])) == ["linear"]
    assert list(fitted(features=[])) == ["naive_by_key", "last_value"]
    assert fitted(by=[], features=[]) == {}


def test_labels_of_the_rows_scored_teach_nothing_but_the_last_value():
    found, holdout = fitted(), rides(2000, "regression")
    changed = holdout.with_columns(label=pl.lit(1e6))
    for who in ("naive_by_key", "linear"):
        assert found[who].scores(changed).tolist() == found[who].scores(holdout).tolist(), who
