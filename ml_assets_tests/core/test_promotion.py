from datetime import datetime

import pytest

from ml_assets.core.promotion import decide
from ml_assets.core.releases import Champion

LIVE = Champion("x", "2019-06", datetime(2019, 7, 1), 1)


@pytest.mark.parametrize(
    ("candidate", "scores_from", "champion", "verdict"),
    [
        (3.0, "2019-01-01T00:00:00", None, "promote"),
        (7.43, "2019-01-01T00:00:00", None, "reject"),  # better, but by less than the margin
        (7.6, "2019-01-01T00:00:00", None, "reject"),
        (3.0, "2019-10-01T00:00:00", LIVE, "promote"),
        (3.0, "2019-07-01T00:00:00", LIVE, "promote"),  # the same as-of partition, trained again
        (3.0, "2019-04-01T00:00:00", LIVE, "reject"),  # older than the champion
    ],
)
def test_decide(candidate, scores_from, champion, verdict):
    decision = decide(
        metric="mae", candidate=candidate, naive=7.5, margin=0.01, scores_from=scores_from, champion=champion
    )
    assert decision.verdict == verdict
    assert f"{candidate:.4g}" in decision.reasons[0]
    assert "7.425" in decision.reasons[0]


def test_a_nan_metric_is_no_promotion():
    assert (
        decide(
            metric="mae",
            candidate=float("nan"),
            naive=7.5,
            margin=0.0,
            scores_from="2019-01-01",
            champion=None,
        ).verdict
        == "reject"
    )
