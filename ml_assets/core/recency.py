"""What of the past a model learns from, and how much each row of it counts: the learning window and the half-life.

Both are hyperparameters; how they are chosen is in `tuning`. How rows are divided into training, validation and
holdout is in `split`.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from math import isfinite
from typing import TYPE_CHECKING, Any, Self

from ml_assets.core.errors import ConfigError

if TYPE_CHECKING:
    # A pipeline's YAML is checked with it, before anything is computed.
    import polars as pl

    from ml_assets.core.encoding import Floats


@dataclass(frozen=True)
class Recency:
    """The learning window and the half-life, in lengths of the as-of partition.

    Args:
        window: rows older than this are not learnt from; None for all there are.
        half_life: age at which a row counts half as much as a new one; None where all count the same.

    Raises:
        ConfigError: a length is not positive; lists all.
    """

    window: int | None = None
    half_life: float | None = None

    def __post_init__(self) -> None:
        wrong = []
        if self.window is not None and (type(self.window) is not int or self.window < 1):
            wrong.append(f"window: {self.window!r}, not a whole number of partitions, 1 or more")
        if self.half_life is not None and not _positive(self.half_life):
            wrong.append(f"half_life: {self.half_life!r}, not a number of partitions above 0")
        if wrong:
            raise ConfigError(
                "recency of what is learnt",
                found=wrong,
                expected="a window of at least 1 partition and a half-life above 0 partitions, or null",
                cure="correct model.window, or window and half_life of tuning.space",
            )

    def learnt(self, frame: "pl.DataFrame", *, until: datetime, length: timedelta) -> "pl.DataFrame":
        """The rows that are not older than the window, in their order.

        Args:
            frame: rows with `event_at`, all before `until`.
            until: the instant that ages are counted from.
            length: of one partition.
        """
        import polars as pl

        from ml_assets.core.features import EVENT_AT

        if self.window is None:
            return frame
        return frame.filter(pl.col(EVENT_AT) >= until - self.window * length)

    def weights(self, frame: "pl.DataFrame", *, until: datetime, length: timedelta) -> "Floats | None":
        """How much each row counts, 1 for a row of age 0, float64 `[rows]`; None where all count the same."""
        import numpy as np

        from ml_assets.core.features import EVENT_AT

        if self.half_life is None:
            return None
        partition = length / timedelta(microseconds=1)
        ages: Floats = (until - frame[EVENT_AT]).dt.total_microseconds().to_numpy() / partition
        return np.exp2(-ages / self.half_life)

    def effective(self, window: int) -> float:
        """How many partitions of rows that count fully would weigh as much, were there rows of `window` partitions.

        The integral of the weights over the ages that are learnt from: without a half-life the window itself.

        >>> Recency(12, None).effective(12), round(Recency(12, 2.0).effective(12), 2)
        (12.0, 2.84)
        """
        import numpy as np

        kept = float(min(window, self.window or window))
        if self.half_life is None:
            return kept
        return float(self.half_life / np.log(2) * (1 - np.exp2(-kept / self.half_life)))

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote."""
        return cls(record["window"], record["half_life"])


def _positive(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value) and value > 0
