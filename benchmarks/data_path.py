"""A month of 3,000,000 rows from its Parquet file to features: raw, validated and quarantined, features.

Contenders do the same work, each in a process of its own: read, check every rule, split, compute the features,
write three files. All must find the same rows. Aim: at most 1.5 GB of memory.
"""

import argparse
import sys
import tempfile
from datetime import datetime
from pathlib import Path

from benchmarks.measure import compare, table

FILE = "yellow_tripdata_2019-03.parquet"
KEY = ["pickup_at", "dropoff_at", "pickup_zone", "dropoff_zone", "trip_miles"]
CHARGES = ["extra", "mta_tax", "tip_amount", "tolls_amount", "improvement_surcharge", "total_amount"]
MONTH = datetime(2019, 3, 1), datetime(2019, 4, 1)


def ours(folder: Path, out: Path) -> tuple[int, int]:
    """The code of the assets, without Dagster around it."""
    from ml_assets.core.features import build_features
    from ml_assets.core.validation import judge, split
    from ml_assets.core.windows import Window
    from ml_assets.project import pipeline_named
    from ml_assets.resources.sources.config import FilesSourceConfig
    from ml_assets.resources.sources.interface import make_source
    from ml_assets.resources.sources.simulated import FILE_NAME
    from ml_assets.resources.storage import Store

    pipeline = pipeline_named("trip_duration")
    table_, label = pipeline.table, pipeline.config.label
    window = Window("2019-03", *MONTH)
    raw = out / "raw.parquet"
    source = make_source(FilesSourceConfig(kind="files", path=str(folder / FILE_NAME)), folder)
    source.fetch(window, raw, table_.contract.source_schema, optional=table_.contract.optional_sources)
    import polars as pl

    store = Store(root=str(out))
    judged = judge(pl.scan_parquet(raw), table_.contract, event_time="pickup_at", window=window)
    good, bad = store.stage(*split(judged))
    built = build_features(
        good.scan(), pipeline.features, label=label.column, event_time="pickup_at", known_at=label.known_at
    )
    [features] = store.stage(built)
    return features.rows, bad.rows


def plain_pandas(folder: Path, out: Path) -> tuple[int, int]:
    """The same by hand in pandas, as a notebook would."""
    import pandas as pd

    raw = pd.read_parquet(folder / FILE)
    raw.to_parquet(out / "raw.parquet", compression="zstd")
    names = {
        "VendorID": "vendor", "tpep_pickup_datetime": "pickup_at", "tpep_dropoff_datetime": "dropoff_at",
        "passenger_count": "passengers", "trip_distance": "trip_miles", "PULocationID": "pickup_zone",
        "DOLocationID": "dropoff_zone", "RatecodeID": "rate_code",
    }  # fmt: skip
    trips = raw.rename(columns=names)
    trips["row_number"] = range(len(trips))
    trips["trip_minutes"] = (trips["dropoff_at"] - trips["pickup_at"]).dt.total_seconds() / 60
    from ml_assets.defs.trips import schema

    rules = {
        "vendor_isin": trips["vendor"].isin(schema.VENDORS) | trips["vendor"].isna(),
        "passengers_in_range": trips["passengers"].between(0, 9) | trips["passengers"].isna(),
        "trip_miles_gt": trips["trip_miles"] > 0,
        "trip_miles_lt": trips["trip_miles"] < 100,
        "trip_minutes_in_range": trips["trip_minutes"].between(1, 180),
        "pickup_zone_in_range": trips["pickup_zone"].between(1, schema.LAST_KNOWN_ZONE),
        "dropoff_zone_in_range": trips["dropoff_zone"].between(1, schema.LAST_KNOWN_ZONE),
        "rate_code_isin": trips["rate_code"].isin(schema.RATE_CODES) | trips["rate_code"].isna(),
        "payment_type_isin": trips["payment_type"].isin(schema.PAYMENT_TYPES) | trips["payment_type"].isna(),
        "fare": trips["fare_amount"].between(0, 1000),
        "dropoff_after_pickup": trips["dropoff_at"] > trips["pickup_at"],
        "in_partition": (trips["pickup_at"] >= MONTH[0]) & (trips["pickup_at"] < MONTH[1]),
        **{name: trips[name] >= 0 for name in CHARGES},
        "congestion_surcharge": (trips["congestion_surcharge"] >= 0) | trips["congestion_surcharge"].isna(),
    }
    keeps = pd.DataFrame(rules)
    best_first = trips.assign(broken=~keeps.all(axis=1)).sort_values(["broken", "row_number"])
    keeps["unique"] = ~best_first.duplicated(KEY)
    good = keeps.all(axis=1)
    quarantine = trips[~good].copy()
    broken = (~keeps[~good]).to_numpy()
    quarantine["broken_rules"] = [list(keeps.columns[row]) for row in broken]
    quarantine.to_parquet(out / "quarantine.parquet", compression="zstd")
    valid = trips[good]
    valid.to_parquet(out / "validated.parquet", compression="zstd")
    at = valid["pickup_at"].dt
    features = pd.DataFrame(
        {
            "row_number": valid["row_number"],
            "event_at": valid["pickup_at"],
            "label": valid["trip_minutes"],
            "label_known_at": valid["dropoff_at"],
            "pickup_zone": valid["pickup_zone"].astype(str),
            "dropoff_zone": valid["dropoff_zone"].astype(str),
            "trip_miles": valid["trip_miles"],
            "passengers": valid["passengers"],
            "vendor": valid["vendor"].astype(str),
            "pickup_hour": at.hour,
            "pickup_weekday": at.dayofweek + 1,
            "pickup_hour_of_week": at.dayofweek * 24 + at.hour,
            "pickup_minute_of_day": at.hour * 60 + at.minute,
            "pickup_month": at.month,
        }
    )
    features.to_parquet(out / "features.parquet", compression="zstd")
    return len(features), len(quarantine)


CONTENDERS = {"ml_assets": ours, "pandas by hand": plain_pandas}


def main(rows: int = 3_000_000, repetitions: int = 5) -> str:
    """Measure, check that all found the same rows, and return the table."""
    from ml_assets.resources.sources.simulated import write_tlc_files

    with tempfile.TemporaryDirectory() as scratch:
        list(write_tlc_files(Path(scratch), ["2019-03"], rows, 0))
        commands = {name: ["-m", "benchmarks.data_path", scratch, "--only", name] for name in CONTENDERS}
        runs = compare(commands, repetitions)
    found = {name: {r.printed for r in of} for name, of in runs.items()}
    if len(set().union(*found.values())) != 1:
        raise RuntimeError(f"the contenders found different rows: {found}")
    return f"{rows:,} rows; {found['ml_assets'].pop()}\n\n{table(runs, base='pandas by hand')}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--only", choices=CONTENDERS)
    parser.add_argument("--rows", type=int, default=3_000_000)
    parser.add_argument("--repetitions", type=int, default=5)
    arguments = parser.parse_args()
    if arguments.only:
        with tempfile.TemporaryDirectory() as out:
            kept, quarantined = CONTENDERS[arguments.only](arguments.folder, Path(out))
        sys.stdout.write(f"{kept} kept, {quarantined} quarantined\n")
    else:
        sys.stdout.write(main(arguments.rows, arguments.repetitions) + "\n")
