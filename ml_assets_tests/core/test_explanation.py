"""SHAP values where a model has them, permutation importance elsewhere, and which it is."""

from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from ml_assets.core.encoding import FeatureSpec
from ml_assets.core.explanation import explain

ROWS = 400
RNG = np.random.default_rng(0)
FRAME = pl.DataFrame(
    {
        "miles": pl.Series(RNG.gamma(2, 2, ROWS)).set(pl.Series(np.arange(ROWS) % 10 == 0), None),
        "zone": RNG.choice(["a", "b"], ROWS),
        "noise": RNG.random(ROWS),
        "label": np.zeros(ROWS),
    }
)
SPECS = (
    FeatureSpec("noise", "number", None),
    FeatureSpec("zone", "category", None, ("a", "b")),
    FeatureSpec("miles", "number", "miles"),
)


def shares_of(frame) -> np.ndarray:
    miles, zone = frame["miles"].fill_null(0).to_numpy(), (frame["zone"] == "b").to_numpy()
    return np.column_stack([np.zeros(frame.height), np.where(zone, 2.0, -2.0), 3 * miles])


class Plain:
    """Scores 3 miles, 2 more in zone b; it knows no contributions."""

    def scores(self, frame, specs, *, threads):
        assert frame.columns == [s.name for s in specs]
        return shares_of(frame).sum(axis=1)


class Additive(Plain):
    def contributions(self, frame, specs, *, threads):
        return tuple(s.name for s in specs), shares_of(frame)


class ByClass(Plain):
    def contributions(self, frame, specs, *, threads):
        shares = shares_of(frame)
        return tuple(s.name for s in specs), np.stack([shares, -3 * shares], axis=1)


LABEL = shares_of(FRAME).sum(axis=1)


def explained(model, **changed):
    return explain(model, SPECS, FRAME, LABEL, **{"metric": "mae", "seed": 0, **changed})


def test_shap_values_are_averaged_by_size():
    found = explained(Additive())
    assert found.kind == "shap"
    assert list(found.shares) == ["miles", "zone", "noise"]
    expected = np.abs(shares_of(FRAME)).mean(axis=0)
    assert list(found.shares.values()) == pytest.approx(expected[[2, 1, 0]])
    assert found.contributions == pytest.approx(shares_of(FRAME)[:, [2, 1, 0]])
    assert found.to_json() == {"kind": "shap", "shares": dict(found.shares), "rows": ROWS}


def test_values_are_ranks_of_numbers():
    values = explained(Additive()).values
    missing = FRAME["miles"].is_null().to_numpy()
    assert np.isnan(values[missing, 0]).all()
    assert (values[~missing, 0].min(), values[~missing, 0].max()) == (0, 1)
    assert np.isnan(values[:, 1]).all(), "categories have no order"


def test_of_several_classes_the_mean_is_taken():
    found = explained(ByClass())
    assert found.shares["miles"] == pytest.approx(2 * explained(Additive()).shares["miles"])
    assert found.contributions is None


def test_all_others_are_explained_by_shuffling_and_say_so():
    found = explained(Plain())
    assert found.kind == "permutation"
    assert list(found.shares)[:2] == ["miles", "zone"]
    assert found.shares["noise"] == 0
    assert found.shares["zone"] == pytest.approx(2, abs=0.4), "half of the shuffled rows are off by 4"
    assert explained(Plain()) == found
    assert explained(Plain(), seed=1) != found


def test_a_feature_that_misleads_has_less_than_no_importance():
    wrong = SimpleNamespace(scores=lambda frame, specs, *, threads: -shares_of(frame).sum(axis=1))
    assert explained(wrong).shares["zone"] < 0.1


def test_many_rows_are_sampled_by_the_seed():
    found = explained(Additive(), sample=50)
    assert (found.rows, found.contributions.shape) == (50, (50, 3))
    assert explained(Additive(), sample=50).shares == found.shares
    assert explained(Additive(), sample=50, seed=1).shares != found.shares
