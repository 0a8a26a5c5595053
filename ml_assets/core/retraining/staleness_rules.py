"""Bounds of staleness, as a pipeline's YAML says them. How they are applied is in `staleness`."""

from dataclasses import dataclass
from datetime import timedelta

from ml_assets.core.errors import ConfigError


@dataclass(frozen=True)
class KOfN:
    """How many of the last results must be bad.

    Args:
        k: bad ones.
        n: results looked at, those without a verdict not counted.

    Raises:
        ConfigError: not 1 <= k <= n.
    """

    k: int
    n: int

    def __post_init__(self) -> None:
        if not 1 <= self.k <= self.n:
            raise ConfigError(
                "k of the last n", found=f"k {self.k}, n {self.n}", expected="1 <= k <= n", cure="correct k or n"
            )


@dataclass(frozen=True)
class StalenessRules:
    """When the drift asset is stale.

    Args:
        drift: drifted reports that make the reference outdated; None: they never do.
        performance: partitions beyond their bound that do; None: they never do.
        after: time without a report after which the monitor is blind; None: never.
        empty: reports in a row with too few rows that make it blind.
        grace: time that a partition is given to be judged by itself before it is `unjudged` or `superseded`.
        retries: partitions before the newest for which a failed drift run is asked for again when another lands.
    """

    drift: KOfN | None = KOfN(2, 3)
    performance: KOfN | None = KOfN(1, 1)
    after: timedelta | None = timedelta(days=7)
    empty: int = 3
    grace: timedelta = timedelta(0)
    retries: int = 3
