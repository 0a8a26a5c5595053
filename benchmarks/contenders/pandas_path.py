"""The whole path by hand in pandas, as a notebook would: masks, history by `merge_asof`, features column by column."""

from pathlib import Path

import pandas as pd

from benchmarks.contenders.pandas_by_hand import validated, write
from benchmarks.contenders.pandas_history import prefix_sums
from benchmarks.files import FEATURES


def path(month: Path, out: Path) -> None:
    """Raw into validated, quarantine and features."""
    trips = validated(month, out)
    at = trips["pickup_at"].dt
    by_row = pd.DataFrame(
        {
            "row_number": trips["row_number"],
            "event_at": trips["pickup_at"],
            "label": trips["trip_minutes"],
            "label_known_at": trips["dropoff_at"],
            "pickup_zone": trips["pickup_zone"].astype("string"),
            "dropoff_zone": trips["dropoff_zone"].astype("string"),
            "trip_miles": trips["trip_miles"],
            "passengers": trips["passengers"],
            "vendor": trips["vendor"].astype("Int64").astype("string"),
            "pickup_hour": at.hour,
            "pickup_weekday": at.dayofweek + 1,
            "pickup_hour_of_week": at.dayofweek * 24 + at.hour,
            "pickup_minute_of_day": at.hour * 60 + at.minute,
            "pickup_month": at.month,
            "slice_pickup_hour": at.hour,
            "slice_passengers": trips["passengers"],
        }
    )
    history = prefix_sums(trips).drop(columns="row_number")
    write(pd.concat([by_row, history], axis=1), out / FEATURES)


STEPS = {"path": path}
