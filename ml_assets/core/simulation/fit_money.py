"""Measuring fares, payments and dirt for the table of figures. Nothing is simulated here."""

from typing import Any

import numpy as np
import polars as pl

from ml_assets.core.simulation.dirt import UNKNOWN_PATTERNS
from ml_assets.core.simulation.figures import ZONES
from ml_assets.core.simulation.fit_zones import CLUSTERS
from ml_assets.core.simulation.sampling import Floats, Ints, quantiles_of

TIP_FARE_BANDS = (7.0, 12.0, 20.0, 40.0, 1e6)
CARD_MILES_BANDS = (0.75, 1.25, 2.0, 3.5, 7.0, 14.0, 1e3)
_JFK = 132
_PRIOR = 20.0
Figures = dict[str, Any]


def fit_money(trips: pl.DataFrame, cluster: Ints, card_by_miles: Floats) -> Figures:
    """Measure the section `money` on `trips` as prepared by `fit_table.prepare`; `cluster` is by zone."""
    metered = trips.filter(pl.col("clean") & (pl.col("RatecodeID") == 1) & pl.col("fare").is_between(2.5, 100))
    lost = trips.filter(pl.col("clean") & pl.col("VendorID").is_null() & pl.col("fare").is_between(2.5, 150))
    meter, noise = _meter(metered)
    lost_meter, lost_noise = _meter(lost)
    cards = trips.filter((pl.col("payment_type") == 1) & (pl.col("fare") > 0))
    tip_share = cards["tip"].to_numpy() / (cards["total"] - cards["tip"]).to_numpy()
    band, regime = np.searchsorted(TIP_FARE_BANDS[:-1], cards["fare"].to_numpy()), cards["regime"].to_numpy()
    own = (cards["VendorID"] == 1).fill_null(value=False).to_numpy().astype(np.int64)
    tolled = trips.filter(pl.col("clean") & (pl.col("tolls") >= 0))
    ends = cluster[tolled["pu"].to_numpy()] * CLUSTERS + cluster[tolled["do"].to_numpy()]
    paid = np.bincount(ends, (tolled["tolls"] > 0).to_numpy().astype(float), CLUSTERS**2)
    others = trips.filter((pl.col("tolls") > 0) & ~pl.col("tolls").is_in([5.76, 6.12]))
    negotiated = trips.filter((pl.col("RatecodeID") == 5) & (pl.col("fare") > 0))
    ordinary = trips.filter("clean")["RatecodeID"]
    short = trips.filter((pl.col("minutes") < 1) & pl.col("RatecodeID").is_not_null())
    return {
        "meter": meter,
        "meter_noise": noise,
        "tip_fare_bands": list(TIP_FARE_BANDS),
        "tip_share": [
            [
                [quantiles_of(tip_share[(own == v) & (band == b) & (regime == r)]) for b in range(len(TIP_FARE_BANDS))]
                for r in (0, 1)
            ]
            for v in (0, 1)
        ],
        "toll_share": (paid / (np.bincount(ends, minlength=CLUSTERS**2) + 2)).round(3).reshape(CLUSTERS, -1).tolist(),
        "toll_other": quantiles_of(others["tolls"].to_numpy(), 2),
        "negotiated_fare": quantiles_of(negotiated["fare"].to_numpy(), 2),
        "negotiated": [_share(ordinary == 5), _share(short["RatecodeID"] == 5)],
        **_surcharges(trips),
        "unrecorded_tip": quantiles_of(lost.filter(pl.col("tip") > 0)["tip"].to_numpy(), 2),
        "card_miles_bands": list(CARD_MILES_BANDS),
        "card_log_odds": card_by_miles.tolist(),
        "unrecorded_meter": lost_meter,
        "unrecorded_meter_noise": lost_noise,
    }


def _meter(trips: pl.DataFrame) -> tuple[list[float], list[float]]:
    """Regress the fare on miles and minutes; return the coefficients and the quantiles around them."""
    inputs = np.column_stack([np.ones(trips.height), trips["miles"], trips["minutes"]])
    fare = trips["fare"].to_numpy()
    weight = np.ones(len(fare))
    for _ in range(15):  # least absolute deviations by reweighting: fixed fares among them must not bend it
        found = np.linalg.lstsq(inputs * weight[:, None], fare * weight, rcond=None)[0]
        weight = 1 / np.sqrt(np.maximum(np.abs(fare - inputs @ found), 0.25))
    return [round(float(c), 4) for c in found], quantiles_of(fare - inputs @ found)


def _surcharges(trips: pl.DataFrame) -> Figures:
    charged = _charged(trips)
    ends = charged.select(
        ends=surcharged_zones(trips)[charged["pu"].to_numpy()] + surcharged_zones(trips)[charged["do"].to_numpy()],
        due=pl.col("congestion_surcharge") > 0,
    )
    lost = trips.filter(pl.col("VendorID").is_null())
    return {
        "surcharge_share": [_share(ends.filter(pl.col("ends") == n)["due"]) for n in (0, 1, 2)],
        "unrecorded_surcharge": [_share(lost.filter(regime=r)["congestion_surcharge"] > 0) for r in (0, 1)],
    }


def _charged(trips: pl.DataFrame) -> pl.DataFrame:
    later = (pl.col("month") >= "2019-03") & pl.col("VendorID").is_not_null()
    return trips.filter(later & pl.col("clean") & (pl.col("congestion_surcharge") >= 0))


def surcharged_zones(trips: pl.DataFrame) -> Ints:
    """Return, per zone, 1 where nine trips in ten that start or end there pay the congestion surcharge."""
    charged = _charged(trips)
    due = (charged["congestion_surcharge"] > 0).to_numpy().astype(float)
    zone = np.concatenate([charged["pu"].to_numpy(), charged["do"].to_numpy()])
    share = np.bincount(zone, np.tile(due, 2), ZONES) / (np.bincount(zone, minlength=ZONES) + 1)
    return (share > 0.9).astype(np.int64)


def flat_fare_zones(trips: pl.DataFrame) -> Ints:
    """Return, per zone, 1 where most trips to or from JFK pay the flat fare (rate code 2)."""
    airport = trips.filter(((pl.col("PULocationID") == _JFK) | (pl.col("DOLocationID") == _JFK)) & pl.col("clean"))
    other = np.where(airport["PULocationID"] == _JFK, airport["do"], airport["pu"])
    flat = (airport["RatecodeID"] == 2).fill_null(value=False).to_numpy().astype(float)
    share = np.bincount(other, flat, ZONES) / (np.bincount(other, minlength=ZONES) + 1)
    return (share > 0.5).astype(np.int64)


def card_log_odds(trips: pl.DataFrame) -> tuple[Floats, Floats]:
    """Return the log-odds of card against cash by pick-up zone and by band of distance, relative to the whole.

    Additive logistic regression, by Newton steps on one group of indicators after the other, shrunk.
    """
    paid = trips.filter(pl.col("clean") & pl.col("payment_type").is_in([1, 2]))
    card = (paid["payment_type"] == 1).to_numpy().astype(float)
    keys = (paid["pu"].to_numpy(), miles_band(paid))
    odds = [np.zeros(ZONES), np.zeros(len(CARD_MILES_BANDS))]
    level = float(np.log(card.mean() / (1 - card.mean())))
    for _ in range(30):
        for key, values in zip(keys, odds, strict=True):
            share = 1 / (1 + np.exp(-(level + odds[0][keys[0]] + odds[1][keys[1]])))
            slope = np.bincount(key, card - share, len(values)) - _PRIOR / 4 * values
            values += slope / (np.bincount(key, share * (1 - share), len(values)) + _PRIOR / 4)
    return odds[0].round(3), odds[1].round(3)


def miles_band(trips: pl.DataFrame) -> Ints:
    """Return the band of `CARD_MILES_BANDS` of each distance, (n,)."""
    return np.asarray(np.searchsorted(CARD_MILES_BANDS[:-1], trips["miles"].to_numpy()), dtype=np.int64)


def fit_dirt(trips: pl.DataFrame) -> Figures:
    """Measure the section `dirt` on `trips` as prepared by `fit_table.prepare`."""
    recorded = trips.filter(pl.col("VendorID").is_not_null())
    short = recorded.filter(pl.col("minutes") < 1)
    unknown = recorded.filter((pl.col("minutes") >= 1) & pl.col("unknown"))
    zero = recorded.filter((pl.col("minutes") >= 1) & (pl.col("miles") <= 0))
    refund = recorded.filter(pl.col("fare") < 0)
    outer = trips.filter(
        (pl.col("minutes") > 1) & (pl.col("miles") > 0) & (pl.max_horizontal("PULocationID", "DOLocationID") == 265)
    )
    lost = trips.filter(pl.col("VendorID").is_null())
    hidden = trips.filter("unknown").select(
        a=pl.when(pl.col("PULocationID") >= 264).then("PULocationID").otherwise(0),
        b=pl.when(pl.col("DOLocationID") >= 264).then("DOLocationID").otherwise(0),
    )
    patterns = [hidden.filter((pl.col("a") == a) & (pl.col("b") == b)).height for a, b in UNKNOWN_PATTERNS[1:].tolist()]
    pairs = trips.filter("again")
    return {
        "short_seconds": quantiles_of(short["minutes"].to_numpy().clip(0, 1) * 60, 1),
        "short_miles": quantiles_of(short["miles"].to_numpy().clip(0, 50), 2),
        "short_same_zone": [_share(short["PULocationID"] == short["DOLocationID"])],
        "short_unknown": [_share(short["unknown"])],
        "short_payment": _codes(short["payment_type"]),
        "long_minutes": quantiles_of(trips.filter(pl.col("minutes") > 180)["minutes"].to_numpy().clip(0, 1440), 1),
        "unknown_patterns": [round(n / max(sum(patterns), 1), 4) for n in patterns],
        "outer_miles": quantiles_of(outer["miles"].to_numpy(), 2),
        "refund_payment": _codes(refund["payment_type"]),
        "zero_vendor_one": [_share(zero["VendorID"] == 1)],
        "unknown_vendor_one": [_share(unknown["VendorID"] == 1)],
        "unrecorded_to_the_minute": [_share(lost["pickup_at"].dt.second() == 0)],
        "twice_vendor_one": [_share(pairs["VendorID"].is_null() | (pairs["VendorID"] == 1))],
    }


def _share(mask: pl.Series) -> float:
    return round(float(mask.cast(pl.Float64).mean() or 0.0), 4)  # type: ignore[arg-type]


def _codes(payment: pl.Series) -> list[float]:
    return [_share(payment == code) for code in (1, 2, 3, 4)]
