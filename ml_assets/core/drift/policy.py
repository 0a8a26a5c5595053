"""When a partition counts as drifted, as a pipeline's YAML says it. How that is judged is in `verdict`."""

import math
from dataclasses import asdict, dataclass

from ml_assets.core.errors import ConfigError


@dataclass(frozen=True)
class DriftPolicy:
    """The bounds of a verdict.

    Args:
        false_alarm_rate: share of partitions without drift that may be called drifted. One in a hundred: with daily
            partitions four a year, of which two within three days, the usual reason to retrain, come once in ten.
        false_discovery_rate: of the columns that are named as drifted, the share that may have not.
        min_rows: rows below which a partition is not judged.
        min_importance: share of the mean importance of features below which a feature can't alarm alone, whatever
            its values do.
        prediction_weight: share of the verdict that the champion's predictions have; features share the rest by
            importance. Labels have none: they come late, and what they say of the champion is measured as its error.
        domain_classifier: whether a classifier is asked, too, and half of the false-alarm rate is its; `both_tests`.

    Raises:
        ConfigError: a bound is out of range; lists all.
    """

    false_alarm_rate: float = 0.01
    false_discovery_rate: float = 0.05
    min_rows: int = 200
    min_importance: float = 0.5
    prediction_weight: float = 0.25
    domain_classifier: bool = False

    def __post_init__(self) -> None:
        wrong = [
            f"{name}: {value}, not between 0 and 0.5"
            for name, value in (
                ("false_alarm_rate", self.false_alarm_rate), ("false_discovery_rate", self.false_discovery_rate),
            )
            if not 0 < value < 0.5
        ]  # fmt: skip
        wrong += [f"min_rows: {self.min_rows}, not at least 50"] if self.min_rows < _FEWEST_ROWS else []
        wrong += [
            f"{name}: {value}, not from 0 to below 1"
            for name, value in (("min_importance", self.min_importance), ("prediction_weight", self.prediction_weight))
            if not 0 <= value < 1 or math.isnan(value)
        ]
        if wrong:
            raise ConfigError(
                "monitoring of drift",
                found=wrong,
                expected="rates between 0 and 0.5, shares from 0 to below 1, at least 50 rows",
                cure="correct them in the section `monitoring`",
            )

    def to_json(self) -> dict[str, float]:
        """As JSON."""
        return asdict(self)


_FEWEST_ROWS = 50
"""Five rows in each of ten cells, below which no approximation here holds."""
