"""What the other model would have answered: the same as if it had been asked, of a sample that only grows."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest

from ml_assets.core.encoding import FeatureSpec
from ml_assets.core.errors import PredictionLogError
from ml_assets.core.history import HistoryFeature
from ml_assets.core.metrics import losses
from ml_assets.core.prediction_log import frame_of, unpacked
from ml_assets.core.rollout import afterwards
from ml_assets.core.rollout.afterwards import ALL_UP_TO, in_sample, possible, sample_of, scored_by_the_other
from ml_assets.core.rollout.reading import AFTERWARDS, legs_of
from ml_assets_tests.core.rollout.test_reading import ROLLOUT, A, B, row

NUMBER, TEXT = FeatureSpec("miles", "number", "miles"), FeatureSpec("zone", "category", None, ("a", "b"))


class Model(SimpleNamespace):
    """Predicts some times its first feature, and refuses others than its own."""

    def predict(self, frame: pl.DataFrame, *, threads: int) -> Any:
        assert frame.columns == [s.name for s in self.specs]
        found = self.times * frame["miles"].to_numpy()
        return np.column_stack([found, -found]) if self.classes == 2 else found


def model(sha256: str, times: float, *specs: FeatureSpec, classes: int = 1) -> Any:
    return Model(sha256=sha256, times=times, specs=specs or (NUMBER,), classes=classes)


def test_who_is_in_the_sample_stays_in_and_it_grows_ever_more_slowly():
    rng = np.random.default_rng(0)
    lots = rng.integers(0, 2**63, 64 * ALL_UP_TO).astype(np.uint64)
    every = in_sample(np.arange(len(lots)), lots)
    assert (in_sample(np.arange(5_000), lots[:5_000]) == every[:5_000]).all()
    assert every[:ALL_UP_TO].all()
    for times in (1, 2, 4, 8, 16, 32):
        taken = every[times * ALL_UP_TO : 2 * times * ALL_UP_TO].sum()
        assert taken == pytest.approx(ALL_UP_TO / 2, rel=0.15), times


def test_requests_of_every_period_in_which_one_answers_are_scored(monkeypatch):
    monkeypatch.setattr(afterwards, "ALL_UP_TO", 10)
    entries = [row(f"shadow {i}", 1, A, "answered", 1.0) for i in range(5)]
    entries += [row(f"canary {i}", 11, A if i % 4 else B, "answered", 1.0) for i in range(1_000)]
    entries += [row(f"later {i}", 21, B, "answered", 1.0) for i in range(3)]
    entries += [row("failed", 21, B, "failed", None), row("pinned", 21, B, "answered", 1.0, variant="pinned")]
    told = sample_of(ROLLOUT, frame_of(entries)).to_list()
    assert [name for name in told if name.startswith("canary")][:10] == [f"canary {i}" for i in range(10)]
    assert 20 < len(told) < 100
    assert [name for name in told if not name.startswith("canary")] == ["later 0", "later 1", "later 2"]


def test_the_other_model_is_given_the_features_that_were_used():
    entries = [row("1", 11, A, "answered", 3.0, values=(3.0, "a")), row("2", 11, B, "answered", 8.0, values=(4.0,))]
    rows = frame_of([*entries, row("3", 11, A, "failed", None)])
    champion, candidate = model(A, 1.0, NUMBER, TEXT), model(B, 2.0)
    [made] = scored_by_the_other(rows, champion, candidate, threads=1).to_dicts()
    assert (made["request_id"], made["bundle"], made["role"], made["prediction"]) == ("1", B, AFTERWARDS, [6.0])
    assert unpacked(made["values"]) == (3.0,)
    assert scored_by_the_other(rows, candidate, champion, threads=1).is_empty(), "there is no zone in its features"
    assert scored_by_the_other(rows, candidate, candidate, threads=1)["prediction"].to_list() == [[8.0]]
    two = scored_by_the_other(rows, champion, model(B, 2.0, classes=2), threads=1)
    assert two["prediction"].to_list() == [[6.0, -6.0]]
    with pytest.raises(PredictionLogError, match="1 values of 2 features"):
        scored_by_the_other(frame_of([row("1", 11, A, "answered", 3.0)]), champion, candidate, threads=1)


def test_what_means_something_else_is_no_common_feature():
    history = HistoryFeature("miles", by=("zone",), value="miles", window="1h", how="mean")
    for other in (FeatureSpec("miles", "number", "km"), FeatureSpec("miles", "category", "miles"),
                  FeatureSpec("miles", "number", "miles", history=history)):  # fmt: skip
        assert not possible([other], [NUMBER])
    assert possible([TEXT, NUMBER], [NUMBER])
    assert possible([TEXT], [FeatureSpec("zone", "category", None, ("b", "c"))]), "each has a vocabulary of its own"


def test_it_makes_pairs_and_nobody_was_asked():
    entries = [row("1", 11, A, "answered", 10.0), row("2", 11, B, "answered", 7.0)]
    made = [
        row("1", 11, B, AFTERWARDS, 12.0, variant="champion"),
        row("2", 11, A, AFTERWARDS, 9.0, variant="candidate"),
    ]
    frame = frame_of([*entries, *made]).with_columns(label=pl.lit(8.0))
    [_, leg, _] = legs_of(ROLLOUT, frame, lambda label, p: losses("mae", label, p))
    assert (leg.champion.tried, leg.candidate.tried) == (1, 1)
    assert (leg.champion.latencies.sum(), leg.candidate.latencies.sum()) == (1, 1)
    assert (leg.losses.rows, leg.losses.champion.total, leg.losses.candidate.total) == (2, 3.0, 5.0)
    assert leg.predictions.rows == 2
    assert (leg.champion.losses.total, leg.candidate.losses.total) == (2.0, 1.0), "each of what it answered"
