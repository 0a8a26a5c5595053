"""What a model of generous tips is given: only what is known when the ride is agreed.

How the ride is paid is known at its end. Trips not paid by card have no label: their tips are not recorded, so that
nothing is learnt from them and nothing judged by them; their score says what would be if they were paid by card.
"""

import polars as pl

from ml_assets.core.features import Feature
from ml_assets.core.history import HistoryFeature

PICKUP = pl.col("pickup_at").dt

FEATURES = [
    Feature("vendor", pl.col("vendor"), kind="category", description="provider of the meter, which suggests the tips"),
    Feature("pickup_zone", pl.col("pickup_zone"), kind="category", description="TLC taxi zone where the ride starts"),
    Feature("dropoff_zone", pl.col("dropoff_zone"), kind="category", description="TLC taxi zone of the destination"),
    Feature(
        "trip_miles",
        pl.col("trip_miles"),
        kind="number",
        unit="miles",
        description="stands for the planned distance of the route",
    ),
    Feature(
        "passengers",
        pl.col("passengers"),
        kind="number",
        unit="persons",
        description="as the driver enters it when the meter starts; missing for some providers",
    ),
    Feature("pickup_hour", PICKUP.hour(), kind="number", unit="hours since midnight", description="0 to 23"),
    Feature("pickup_weekday", PICKUP.weekday(), kind="number", unit="ISO weekday", description="1 Monday to 7 Sunday"),
    Feature("pickup_month", PICKUP.month(), kind="number", unit="month of the year", description="1 to 12"),
    HistoryFeature(
        "zone_tip_share_14d",
        by=("pickup_zone",),
        value="tip_share",
        window="14d",
        how="mean",
        known_at="dropoff_at",
        delay="3h",
        unit="share of the charge before the tip",
        description="tips of card-paid trips out of the pick-up zone that ended in the last 14 days",
    ),
    HistoryFeature(
        "city_tip_share_7d",
        by=(),
        value="tip_share",
        window="7d",
        how="mean",
        known_at="dropoff_at",
        delay="3h",
        unit="share of the charge before the tip",
        description="tips of all card-paid trips that ended in the last 7 days",
    ),
]
