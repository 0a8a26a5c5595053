import math

import pytest

from ml_assets.core.errors import ConfigError
from ml_assets.core.policy import Policy


@pytest.mark.parametrize(
    "wrong",
    [{"margin": -0.1}, {"non_inferiority": math.nan}, {"slice_margin": math.inf}, {"min_labels": 0}],
    ids=str,
)
def test_bounds_that_mean_nothing_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        Policy("mae", **wrong)


@pytest.mark.parametrize("share", [-0.3, -0.01, 0.0, 0.01, 0.5])
def test_shares_of_the_metric_and_of_its_loss(share):
    for metric in ("mae", "log_loss"):
        assert Policy(metric).of_loss(share) == Policy(metric).of_metric(share) == share
    rmse = Policy("rmse")
    assert rmse.of_metric(rmse.of_loss(share)) == pytest.approx(share)
    assert rmse.loss(3.0 * (1 + share)) == pytest.approx(rmse.loss(3.0) * (1 + rmse.of_loss(share)))
