"""What a model of trip duration is given: only what is known when the ride is agreed.

Nothing of the fare and nothing of the drop-off is here: both are the trip's outcome. `rate_code` is left out
too: the driver may set it during the trip. Add a feature by adding an entry; what is valid is in `schema.py` of
the table.
"""

import polars as pl

from ml_assets.core.features import Feature
from ml_assets.core.history import HistoryFeature

PICKUP = pl.col("pickup_at").dt
HOUR_OF_WEEK = (PICKUP.weekday().cast(pl.Int32) - 1) * 24 + PICKUP.hour()
MINUTE_OF_DAY = PICKUP.hour().cast(pl.Int32) * 60 + PICKUP.minute()

FEATURES = [
    Feature(
        "pickup_zone",
        pl.col("pickup_zone"),
        kind="category",
        unit=None,
        description="TLC taxi zone where the ride starts",
    ),
    Feature(
        "dropoff_zone",
        pl.col("dropoff_zone"),
        kind="category",
        unit=None,
        description="TLC taxi zone of the destination, as named when the ride is agreed",
    ),
    Feature(
        "trip_miles",
        pl.col("trip_miles"),
        kind="number",
        unit="miles",
        description="stands for the planned distance of the route; the records hold the driven one only",
    ),
    Feature(
        "passengers",
        pl.col("passengers"),
        kind="number",
        unit="persons",
        description="as the driver enters it when the meter starts; missing for some providers",
    ),
    Feature(
        "vendor",
        pl.col("vendor"),
        kind="category",
        unit=None,
        description="provider of the meter, fixed per vehicle",
    ),
    Feature(
        "pickup_hour",
        PICKUP.hour(),
        kind="number",
        unit="hours since midnight",
        description="hour of the pick-up, 0 to 23",
    ),
    Feature(
        "pickup_weekday",
        PICKUP.weekday(),
        kind="number",
        unit="ISO weekday",
        description="day of the pick-up, 1 Monday to 7 Sunday",
    ),
    Feature(
        "pickup_hour_of_week",
        HOUR_OF_WEEK,
        kind="number",
        unit="hours since Monday 00:00",
        description="weekday and hour in one, 0 to 167: a Friday evening is not a Monday evening",
    ),
    Feature(
        "pickup_minute_of_day",
        MINUTE_OF_DAY,
        kind="number",
        unit="minutes since midnight",
        description="time of the pick-up, 0 to 1439: rush hours start within an hour",
    ),
    Feature(
        "pickup_month",
        PICKUP.month(),
        kind="number",
        unit="month of the year",
        description="season of the pick-up, 1 to 12: trips take longer from September to November than in January",
    ),
    HistoryFeature(
        "city_speed_24h",
        by=(),
        value="speed_mph",
        window="24h",
        how="mean",
        known_at="dropoff_at",
        delay="3h",
        unit="miles per hour",
        description="how fast traffic is: all trips that ended in the last 24 hours",
    ),
    HistoryFeature(
        "zone_speed_7d",
        by=("pickup_zone",),
        value="speed_mph",
        window="7d",
        how="mean",
        known_at="dropoff_at",
        delay="3h",
        unit="miles per hour",
        description="how fast trips out of the pick-up zone were that ended in the last 7 days",
    ),
    HistoryFeature(
        "zone_starts_24h",
        by=("pickup_zone",),
        window="24h",
        how="count",
        unit="trips",
        description="trips that started in the pick-up zone in the last 24 hours",
    ),
]
