"""Measuring what differs from month to month, and on which days the rules changed."""

import calendar
from datetime import date
from typing import Any

import numpy as np
import polars as pl

from ml_assets.core.simulation.figures import DIRTY_KINDS
from ml_assets.core.simulation.fit_money import miles_band
from ml_assets.core.simulation.sampling import Floats

_VENDORS = (1, 2, 4)
_PASSENGERS = 8
_DAY_PRIOR = 20.0


def fit_months(trips: pl.DataFrame, card_by_zone: Floats, card_by_miles: Floats) -> dict[str, dict[str, Any]]:
    """Measure the monthly figures on `trips` as prepared by `fit_table.prepare`, given the odds of a card."""
    parts = sorted(trips.group_by("month"), key=lambda part: str(part[0]))
    return {str(key): _month(str(key), part, card_by_zone, card_by_miles) for (key,), part in parts}


def _month(key: str, trips: pl.DataFrame, card_by_zone: Floats, card_by_miles: Floats) -> dict[str, Any]:
    clean = trips.filter("clean")
    recorded = trips.filter(pl.col("VendorID").is_not_null())
    paid = [recorded.filter(pl.col("payment_type") == code).height for code in (1, 2, 3, 4)]
    vendors = [recorded.filter(pl.col("VendorID") == v).height for v in _VENDORS]
    passengers = [
        [
            recorded.filter((pl.col("VendorID") == v) & (pl.col("passenger_count") == p)).height
            for p in range(_PASSENGERS)
        ]
        for v in _VENDORS
    ]
    stored = recorded.filter(pl.col("VendorID") == 1)["store_and_fwd_flag"] == "Y"
    return {
        "days": _days(key, trips),
        "dirty": _dirty(trips),
        "vendors": _shares(vendors),
        "passengers": [_shares(row) if sum(row) else _shares(passengers[1]) for row in passengers],
        "payments": _shares(paid),
        "card_log_odds": [_card_level(recorded, card_by_zone, card_by_miles)],
        "unrecorded_tipped": _tipped(trips.filter("unrecorded")),
        "stored": [round(float(stored.cast(pl.Float64).sum()) / max(len(stored), 1), 4)],
        "clean": [round(clean.height / trips.height, 4)],
        "speed_mph": _quartiles((60 * clean["miles"] / clean["minutes"]).to_numpy()),
        "miles": [*_quartiles(clean["miles"].to_numpy()), *_moments(trips["miles"].to_numpy())],
        "minutes": _quartiles(clean["minutes"].to_numpy()),
        "passenger_count": _moments(recorded["passenger_count"].drop_nulls().to_numpy()),
    }


def _card_level(recorded: pl.DataFrame, by_zone: Floats, by_miles: Floats) -> float:
    """Return the log-odds that, on top of those of zones and distances, give the share of cards of the month."""
    paid = recorded.filter(pl.col("payment_type").is_in([1, 2]))
    known = by_zone[paid["pu"].to_numpy()] + by_miles[miles_band(paid)]
    target = float((paid["payment_type"] == 1).sum())
    low, high = -6.0, 6.0
    for _ in range(40):
        middle = (low + high) / 2
        expected = float((1 / (1 + np.exp(-middle - known))).sum())
        low, high = (middle, high) if expected < target else (low, middle)
    return round(middle, 3)


def _tipped(unrecorded: pl.DataFrame) -> list[float]:
    return [round(unrecorded.filter(pl.col("tip") > 0).height / max(unrecorded.height, 1), 4)]


def _days(key: str, trips: pl.DataFrame) -> list[int]:
    """Return the pick-ups of each day in ten-thousandths of the month, shrunk a little to the mean."""
    last = calendar.monthrange(int(key[:4]), int(key[5:]))[1]
    count = np.bincount(trips["moment"].dt.day().to_numpy(), minlength=last + 1)[1:]
    share = (count + _DAY_PRIOR) / (count.sum() + _DAY_PRIOR * last)
    return [int(n) for n in np.rint(share * 10_000)]


def _dirty(trips: pl.DataFrame) -> list[float]:
    outside = pl.col("pickup_at").dt.truncate("1mo")
    begin = pl.col("month").str.to_datetime("%Y-%m")
    first = ~pl.col("again")
    kinds = {
        "under_a_minute": pl.col("minutes") < 1,
        "over_three_hours": pl.col("minutes") > 180,
        "zero_distance": pl.col("miles") == 0,
        "unknown_zone": pl.col("unknown"),
        "negative_fare": (pl.col("fare") < 0) & first,
        "unrecorded": pl.col("unrecorded") & first,
        "before_month": outside < begin,
        "after_month": outside > begin,
        "recorded_twice": ~first,
    }
    counted = trips.select(**kinds).sum().row(0, named=True)
    return [round(counted[kind] / trips.height, 5) for kind in DIRTY_KINDS]


def _shares(counts: list[int]) -> list[float]:
    return [round(n / max(sum(counts), 1), 4) for n in counts]


def _quartiles(values: "np.ndarray[Any, np.dtype[np.float64]]") -> list[float]:
    return [round(float(q), 3) for q in np.quantile(values, [0.25, 0.5, 0.75])]


def _moments(values: "np.ndarray[Any, np.dtype[np.float64]]") -> list[float]:
    return [round(float(values.mean()), 3), round(float(values.std()), 3)]


def hour_volume(trips: pl.DataFrame) -> list[list[int]]:
    """Return pick-ups by regime and hour of the week, in ten-thousandths of the week."""
    volume = []
    for regime in (0, 1):
        count = np.bincount(trips.filter(regime=regime)["hour_of_week"].to_numpy(), minlength=168)
        volume.append([int(n) for n in np.rint((count + 1) / (count.sum() + 168) * 10_000)])
    return volume


def change_days(trips: pl.DataFrame) -> dict[str, str]:
    """Find the first days on which the surcharge is recorded, is charged, and the toll is the new one.

    A day that the files don't reach is given as 9999-12-31.
    """
    daily = (
        trips.group_by("date")
        .agg(
            filled=pl.col("congestion_surcharge").is_not_null().mean() > 0.5,
            charged=(pl.col("congestion_surcharge") > 0).mean() > 0.3,
            raised=(pl.col("tolls") == 6.12).sum() > (pl.col("tolls") == 5.76).sum(),
        )
        .sort("date")
    )
    names = {"surcharge_column_from": "filled", "surcharge_from": "charged", "toll_raised_on": "raised"}
    return {name: str(daily.filter(pl.col(flag))["date"].min() or date.max) for name, flag in names.items()}
