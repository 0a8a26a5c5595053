"""Recency: what is too old is not learnt from, and what is older counts less."""

from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest

from ml_assets.core.errors import ConfigError
from ml_assets.core.recency import Recency

UNTIL, LENGTH = datetime(2020, 6, 1), timedelta(days=30)
FRAME = pl.DataFrame({"event_at": [UNTIL - n * LENGTH for n in (3, 2, 1, 0.5)], "row": [0, 1, 2, 3]})


def test_the_window_keeps_what_is_young_enough():
    assert Recency(2).learnt(FRAME, until=UNTIL, length=LENGTH)["row"].to_list() == [1, 2, 3]
    assert Recency(None).learnt(FRAME, until=UNTIL, length=LENGTH).equals(FRAME)


def test_a_row_as_old_as_the_half_life_counts_half():
    weights = Recency(None, 1).weights(FRAME, until=UNTIL, length=LENGTH)
    assert weights == pytest.approx([1 / 8, 1 / 4, 1 / 2, 2**-0.5])
    assert Recency(None, 2.0).weights(FRAME, until=UNTIL, length=LENGTH) == pytest.approx(np.sqrt(weights))
    assert Recency(2, None).weights(FRAME, until=UNTIL, length=LENGTH) is None


def test_the_effective_window_is_what_the_weights_sum_up_to():
    ages = (np.arange(120_000) + 0.5) / 10_000
    for window, half_life in ((12, None), (12, 2.0), (6, 3.0), (None, 1.0)):
        kept = ages < (window or 12)
        weights = np.ones(kept.sum()) if half_life is None else 0.5 ** (ages[kept] / half_life)
        assert Recency(window, half_life).effective(12) == pytest.approx(weights.sum() / 10_000, rel=1e-4)


def test_it_is_read_back():
    for recency in (Recency(), Recency(3, 0.5)):
        assert Recency.from_json(recency.to_json()) == recency


@pytest.mark.parametrize(
    ("window", "half_life"), [(0, None), (1.5, None), (True, None), ("3", None), (None, 0), (None, float("nan"))]
)
def test_a_length_that_is_none_is_refused(window, half_life):
    with pytest.raises(ConfigError, match=r"window: |half_life: "):
        Recency(window, half_life)


def test_all_mistakes_are_told_at_once():
    with pytest.raises(ConfigError) as caught:
        Recency(-1, -1.0)
    assert len(caught.value.found) == 2
