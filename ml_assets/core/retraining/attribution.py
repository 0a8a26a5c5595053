"""What a retraining was worth: the replaced champion keeps scoring for a while, on the rows that the new one answers.

Where both scores come from is outside of `core`; how sure a difference is, in `bootstrap`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ml_assets.core.bootstrap import Interval, paired_bootstrap
from ml_assets.core.errors import ContractError
from ml_assets.core.measures import Floats


@dataclass(frozen=True)
class Attribution:
    """How much error one release saved.

    Args:
        replaced: bundle of the champion before.
        replacing: bundle of the champion since.
        partitions: partition -> mean loss saved per row in it; negative where the release did harm.
        wanted: partitions that a replaced champion keeps scoring.
        rows: rows with a mature label in them.
        worth: mean loss saved per row, with its 95 % interval; None while no label is known.
        closed: whether labels enough are known of all partitions, and none will be added.
    """

    replaced: str
    replacing: str
    partitions: Mapping[str, float]
    wanted: int
    rows: int
    worth: Interval | None
    closed: bool = False

    def words(self, unit: str = "") -> str:
        """`this retraining was worth 0.31 ± 0.04 minutes per row …`.

        Args:
            unit: of the loss.
        """
        if self.worth is None:
            return f"what this retraining is worth is not known yet: no labels in {self.wanted} partitions after it"
        half = (self.worth.high - self.worth.low) / 2
        measure = f"{self.worth.estimate:+.3g} ± {half:.2g}{f' {unit}' if unit else ''} per row"
        judged = (
            "it helped" if self.worth.low > 0 else "it did harm" if self.worth.high < 0 else "not surely either way"
        )
        over = f"{len(self.partitions)} of {self.wanted} partitions, {self.rows:,} rows"
        return f"this retraining was worth {measure} ({over}): {judged}"

    def to_json(self, unit: str = "") -> dict[str, Any]:
        """As JSON: the account, with its worth as `interval`, and `words`.

        Args:
            unit: of the loss.
        """
        interval = None if self.worth is None else self.worth.to_json()
        told = {"interval": interval, "partitions": dict(self.partitions), "words": self.words(unit)}
        return {**{name: value for name, value in vars(self).items() if name != "worth"}, **told}


def attribute(
    replaced: str,
    replacing: str,
    losses: Mapping[str, tuple[Floats, Floats]],
    *,
    wanted: int,
    seed: int,
    is_complete: bool = False,
) -> Attribution:
    """What replacing a champion was worth, on the first `wanted` partitions with mature labels.

    The interval is of the rows of these very partitions. How the two would compare in others, whose conditions
    differ, it can't say; the values by partition show how much that varies.

    Args:
        replaced: bundle of the champion before.
        replacing: bundle of the champion since.
        losses: partition, oldest first -> losses of the replaced and the replacing champion on its rows with a mature
            label, `[rows]` each, in the same order.
        wanted: partitions that count, 1 or more.
        seed: of the resampling.
        is_complete: whether labels enough are known of all partitions that will ever be in; what rests on no label
            at all stays open even so.

    Raises:
        ContractError: the two have not scored the same number of rows of a partition; lists all.
    """
    wrong = [f"{key}: {a.size} and {b.size} losses" for key, (a, b) in losses.items() if a.shape != b.shape]
    wrong += [f"{wanted} partitions wanted"] if wanted < 1 else []
    if wrong:
        raise ContractError(
            f"worth of releasing {replacing[:12]}",
            found=wrong,
            expected="losses of both champions on the same rows, over at least one partition",
            cure="score every partition with both, and measure both on the labels known by one instant",
        )
    counted = {key: pair for key, pair in losses.items() if pair[0].size}
    counted = dict(list(counted.items())[:wanted])
    by_partition = {key: float((before - since).mean()) for key, (before, since) in counted.items()}
    if not counted:
        return Attribution(replaced, replacing, by_partition, wanted, 0, None)
    before, since = (np.concatenate([pair[i] for pair in counted.values()]) for i in (0, 1))
    worth = paired_bootstrap(before, since, seed=seed)
    return Attribution(replaced, replacing, by_partition, wanted, before.size, worth, is_complete)
