"""Gaps between the features learnt from and those of the holdout, counted by hand."""

import numpy as np
import polars as pl
import pytest

from ml_assets.core.encoding import FeatureSpec
from ml_assets.core.feature_gaps import gaps_of, mean_losses

SPECS = (FeatureSpec("miles", "number", "miles"), FeatureSpec("zone", "category", None, ("a", "b")))
LEARNT = pl.DataFrame({"miles": [1.0, None, 3.0, 4.0], "zone": ["a", "b", "a", "b"], "label": [1.0, 2.0, 3.0, 4.0]})
HOLDOUT = pl.DataFrame({"miles": [None, None, 1.0, None], "zone": ["a", None, "new", "newer"], "label": [0.0] * 4})


@pytest.mark.parametrize("lazy", [False, True])
def test_by_hand(lazy):
    frames = [f.lazy() if lazy else f for f in (LEARNT, HOLDOUT)]
    gaps = gaps_of(*frames, SPECS)
    assert gaps.missing == {"miles": (0.25, 0.75), "zone": (0.0, 0.25)}
    assert gaps.unknown == {"zone": 0.5}


def test_no_categories_no_unknown_ones():
    assert gaps_of(LEARNT, HOLDOUT, SPECS[:1]).unknown == {}


def test_mean_losses_of_parts(monkeypatch):
    parts = {"train": LEARNT, "validation": HOLDOUT}

    def scores(frame):
        return np.full(frame.height, 2.0)

    assert mean_losses(scores, parts, metric="mae") == {"train": 1.0, "validation": 2.0}
    assert mean_losses(scores, parts, metric="rmse") == {"train": 1.5, "validation": 4.0}
    monkeypatch.setattr("ml_assets.core.feature_gaps.SAMPLE", 2)
    asked = []
    mean_losses(lambda f: asked.append(f.height) or scores(f), parts, metric="mae")
    assert asked == [2, 2]
