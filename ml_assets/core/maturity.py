"""When labels are known: how many are, how long they take, and when it is worth measuring once more.

That a label counts only from when it was known is applied where rows are chosen: in `assignment`, `folds` and
`performance`. What is measured on known labels is in `performance`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from ml_assets.core.features import EVENT_AT, LABEL, LABEL_KNOWN_AT
from ml_assets.core.measures import Floats

QUANTILES = (0.5, 0.9, 0.99)
REFRESH_SHARE = 0.005
"""Share of a partition's rows whose labels must newly be known before it is worth measuring again."""

_HOUR_US = 3_600_000_000
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Maturity:
    """The labels of some rows as of an instant.

    Args:
        rows: of events.
        rows_mature: whose label was known by then.
        known_by: the instant.
        delay_hours: quantile, as `0.5` -> hours from an event by which that share of labels is known; None where so
            many are not known yet. Rows that wait for a label count as known later than now (Kaplan and Meier 1958,
            Nonparametric estimation from incomplete observations): quantiles of the known labels alone would make a
            young partition look fast. Rows that had none when it should have been known don't wait.
        refresh_at: the first instant as of which so many more labels are known that measuring again is worth it, of
            the labels that are stored; None where it never is.
    """

    rows: int
    rows_mature: int
    known_by: datetime
    delay_hours: Mapping[str, float | None]
    refresh_at: datetime | None

    @property
    def coverage(self) -> float | None:
        """Share of the rows whose label is known, 0 to 1; None without rows."""
        return self.rows_mature / self.rows if self.rows else None

    def to_json(self) -> dict[str, Any]:
        """As JSON, times in ISO 8601."""
        return {
            "known_by": self.known_by.isoformat(),
            "coverage": self.coverage,
            "label_delay_hours": dict(self.delay_hours),
            "refresh_at": None if self.refresh_at is None else self.refresh_at.isoformat(),
        }


def is_mature(known_by: datetime) -> pl.Expr:
    """Whether a row's label was known by an instant; never null."""
    known = pl.col(LABEL).is_not_null() & (pl.col(LABEL_KNOWN_AT) <= known_by)
    return known.fill_null(value=False)


def maturity_of(rows: pl.DataFrame, *, known_by: datetime, refresh_share: float = REFRESH_SHARE) -> Maturity:
    """The labels of some rows as of an instant.

    Args:
        rows: `event_at`, `label`, `label_known_at`.
        known_by: the instant.
        refresh_share: share of the rows whose labels must newly be known before measuring again is worth it.
    """
    told = rows.select(
        mature=is_mature(known_by),
        counted=~(pl.col(LABEL).is_null() & (pl.col(LABEL_KNOWN_AT) <= known_by)).fill_null(value=False),
        # What is known before its own event is known at once; of rows without a label, how long it has been missing.
        us=(pl.when(is_mature(known_by)).then(pl.col(LABEL_KNOWN_AT)).otherwise(pl.lit(known_by)) - pl.col(EVENT_AT))
        .dt.total_microseconds()
        .clip(0),
    )
    mature, counted = told["mature"].to_numpy(), told["counted"].to_numpy()
    pending = rows.filter(pl.col(LABEL).is_not_null() & (pl.col(LABEL_KNOWN_AT) > known_by))[LABEL_KNOWN_AT].sort()
    needed = max(1, math.ceil(refresh_share * rows.height))
    return Maturity(
        rows=rows.height,
        rows_mature=int(mature.sum()),
        known_by=known_by,
        delay_hours=delay_quantiles(told["us"].to_numpy()[counted] / _HOUR_US, mature[counted]),
        refresh_at=pending[needed - 1] if len(pending) >= needed else None,
    )


def delay_quantiles(hours: Floats, known: npt.NDArray[np.bool_]) -> dict[str, float | None]:
    """How long labels take, from rows some of which have none yet: the product-limit estimate.

    Args:
        hours: `[rows]`, from the event until the label was known, or until now where it is not.
        known: `[rows]`.

    >>> delay_quantiles(np.array([1.0, 2.0, 3.0, 9.0]), np.array([True, True, False, False]))
    {'0.5': 2.0, '0.9': None, '0.99': None}
    """
    # Of equal times, known ones come first: a row that is looked at just then was still without a label before.
    order = np.lexsort((~known, hours))
    at_risk = np.arange(len(hours), 0, -1)
    unknown = np.cumprod(np.where(known[order], 1 - 1 / at_risk, 1.0))
    found: dict[str, float | None] = {}
    for share in QUANTILES:
        reached = np.flatnonzero(unknown <= 1 - share + _ROUNDING)
        found[f"{share:g}"] = round(float(hours[order][reached[0]]), 4) if reached.size else None
    return found


def due(refresh_at: Mapping[str, datetime | None], known_by: datetime) -> list[str]:
    """Partitions that are worth measuring again as of an instant, in their order.

    Args:
        refresh_at: partition -> what its last measurement said, see `Maturity`.
        known_by: the instant.
    """
    return [partition for partition, at in refresh_at.items() if at is not None and at <= known_by]
