"""What a candidate must reach to be released, as a pipeline's YAML says it.

How that is judged is in `promotion_checks` and `promotion`.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any

from ml_assets.core.errors import ConfigError


@dataclass(frozen=True)
class Policy:
    """The bounds of a decision. Shares are of the metric, 0.01 meaning one percent.

    Args:
        metric: the metric that decides, lower is better.
        margin: smallest relative difference that matters: by so much the naive baseline must surely be beaten, and
            a candidate that surely isn't better than the champion by so much is not worth a release.
        non_inferiority: by how much a candidate may be worse than the champion; 0: it must surely be better.
        slice_margin: how much worse than the champion a slice may be.
        calibration_margin: calibration error of a classifier, beyond what chance explains, that is let pass.
        min_labels: holdout rows with a mature label below which nothing is judged.

    Raises:
        ConfigError: a bound is no finite number of at least 0, or fewer than one label is asked for.
    """

    metric: str
    margin: float = 0.01
    non_inferiority: float = 0.0
    slice_margin: float = 0.05
    calibration_margin: float = 0.02
    min_labels: int = 200

    def __post_init__(self) -> None:
        shares = {name: value for name, value in asdict(self).items() if isinstance(value, float | int)}
        wrong = [f"{name}: {value}" for name, value in shares.items() if not 0 <= value < math.inf]
        wrong += [f"min_labels: {self.min_labels}"] if self.min_labels == 0 else []
        if wrong:
            raise ConfigError(
                "policy of promotion",
                found=wrong,
                expected="finite numbers of at least 0, min_labels of at least 1",
                cure="correct them in the section `evaluation`",
            )

    def of_loss(self, share: float) -> float:
        """A share of the metric as a share of the loss whose mean is compared: squared errors where rmse decides.

        >>> Policy("mae").of_loss(0.1), round(Policy("rmse").of_loss(0.1), 4), round(Policy("rmse").of_loss(-0.1), 4)
        (0.1, 0.21, -0.19)
        """
        return (1 + share) ** 2 - 1 if self.metric == "rmse" else share

    def of_metric(self, share: float) -> float:
        """A share of the mean loss as a share of the metric; the inverse of `of_loss`.

        >>> round(Policy("rmse").of_metric(0.21), 4)
        0.1
        """
        return math.sqrt(max(0.0, 1 + share)) - 1 if self.metric == "rmse" else share

    def loss(self, metric: float) -> float:
        """The mean loss behind a value of the metric."""
        return metric**2 if self.metric == "rmse" else metric

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)
