"""What a release was worth so far, from the scores and labels of the partitions of its account.

Which partitions these are is in `replaced`, how sure a difference is in `attribution`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from ml_assets.core.errors import ContractError
from ml_assets.core.features import EVENT_AT, LABEL, ROW_NUMBER
from ml_assets.core.maturity import is_mature
from ml_assets.core.measures import Floats
from ml_assets.core.metrics import losses
from ml_assets.core.performance import CHAMPION, scored_rows
from ml_assets.core.promises import USUAL, Bound
from ml_assets.core.retraining.attribution import Attribution, attribute
from ml_assets.core.retraining.replaced import Account
from ml_assets.core.scoring import CONTENDERS, REPLACED_PREDICTION, REPLACED_VERSION, VERSION

Tables = tuple[pl.LazyFrame, pl.LazyFrame]
"""A partition's features table and its predictions table."""


@dataclass(frozen=True)
class Counting:
    """How accounts are counted.

    Args:
        metric: the deciding metric, whose loss is compared row by row.
        alpha: the quantile that is predicted, 0 to 1.
        bound: `min_coverage` of the labels to come must be known for a partition to be in.
        seed: of the resampling.
    """

    metric: str
    alpha: float | None = None
    bound: Bound = USUAL
    seed: int = 0

    def count(
        self, account: Account, tables: Mapping[str, Tables], *, known_by: datetime, labelled_share: float
    ) -> Attribution:
        """What the release is worth on the labels known by an instant.

        A partition that another champion answered, or that was scored before the replaced champion scored on, adds
        nothing and is not waited for.

        Args:
            account: of the release.
            tables: partition -> its tables; without those that are not scored yet.
            known_by: the instant; a label known later does not count.
            labelled_share: of rows that get a label at all, as it was when the champion was judged.

        Raises:
            ContractError: scores are none of the metric's.
        """
        replaced, replacing = account.replacement.replaced.bundle, account.replacement.replacing.bundle
        found, is_complete = {}, account.is_final
        for window in account.partitions:
            rows = _scored_by_both(tables.get(window.key), replaced, replacing)
            if rows is None:
                is_complete = False
            elif not rows.is_empty():
                mature = rows.filter(is_mature(known_by))
                is_complete &= mature.height >= self.bound.min_coverage * labelled_share * rows.height
                found[window.key] = (self._loss(mature, REPLACED_PREDICTION), self._loss(mature, CONTENDERS[CHAMPION]))
        return attribute(replaced, replacing, found, wanted=account.wanted, seed=self.seed, is_complete=is_complete)

    def _loss(self, mature: pl.DataFrame, column: str) -> Floats:
        return losses(self.metric, mature[LABEL].to_numpy(), mature[column].to_numpy(), alpha=self.alpha)


def _scored_by_both(tables: Tables | None, replaced: str, replacing: str) -> pl.DataFrame | None:
    """The rows that both have scored, beside their labels; None where the partition is still to be scored.

    A table that was written before replaced champions scored on has no column of theirs.
    """
    if tables is None:
        return None
    features, predictions = tables
    if REPLACED_VERSION not in predictions.collect_schema():
        return pl.DataFrame()
    needed = [ROW_NUMBER, EVENT_AT, CONTENDERS[CHAMPION], REPLACED_PREDICTION, VERSION, REPLACED_VERSION]
    try:
        rows = scored_rows(features, predictions.select(needed))
    except ContractError:
        # Its features were made anew and its scores not yet; its own performance says so.
        return None
    return rows.filter((pl.col(VERSION) == replacing) & (pl.col(REPLACED_VERSION) == replaced))
