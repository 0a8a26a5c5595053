"""ml_assets: the code of the assets, without Dagster around it."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import polars as pl
import pyarrow.parquet  # noqa: F401 - what a source imports when it first reads

from benchmarks.files import END, FEATURES, HISTORY, MONTH, QUARANTINE, RAW, START, VALIDATED
from benchmarks.history_features import SPEED, SPEED_MINUTES, STARTS, STARTS_MINUTES
from ml_assets.core.features import Feature, build_features, columns_among
from ml_assets.core.history import Earlier, HistoryFeature, history_columns
from ml_assets.core.validation import judge, split
from ml_assets.core.windows import Window
from ml_assets.project import pipeline_named
from ml_assets.resources.sources.config import FilesSourceConfig
from ml_assets.resources.sources.files import FilesSource
from ml_assets.resources.sources.simulated import FILE_NAME
from ml_assets.resources.storage import Store

PIPELINE = pipeline_named("trip_duration")
TABLE, LABEL = PIPELINE.table, PIPELINE.config.label
CONTRACT = TABLE.contract
WINDOW = Window(MONTH, datetime.fromisoformat(START), datetime.fromisoformat(END))
BY = ("pickup_zone",)
HISTORY_FEATURES = [
    HistoryFeature(
        SPEED, by=BY, value="speed_mph", window=f"{SPEED_MINUTES}m", how="mean", known_at="dropoff_at", delay="3h"
    ),
    HistoryFeature(STARTS, by=BY, window=f"{STARTS_MINUTES}m", how="count"),
]
PIPELINE_FEATURES: list[Feature | HistoryFeature] = columns_among(PIPELINE.features)
PATH_FEATURES: list[Feature | HistoryFeature] = [
    *(feature for feature in PIPELINE_FEATURES if isinstance(feature, Feature)),
    *HISTORY_FEATURES,
]
"""Those of the pipeline that a row gives by itself, and the two of history that all contenders compute."""

KNOWN_LATE = {LABEL.column: LABEL.known_at, **CONTRACT.known_after("pickup_at")}
ALL_THERE_IS = Earlier([], datetime(1970, 1, 1))


def ingest(month: Path, out: Path) -> None:
    """The published file into the raw partition."""
    source = FilesSource(FilesSourceConfig(kind="files", path=str(month / FILE_NAME)), month)
    source.fetch(WINDOW, out / RAW, CONTRACT.source_schema, optional=CONTRACT.optional_sources)


def validate(month: Path, out: Path) -> None:
    """Raw into validated and quarantine."""
    judged = judge(pl.scan_parquet(month / RAW), CONTRACT, event_time="pickup_at", window=WINDOW)
    good, bad = Store(root=str(out)).stage(*split(judged))
    good.path.rename(out / VALIDATED)
    bad.path.rename(out / QUARANTINE)


def history(month: Path, out: Path) -> None:
    """The two history features of validated rows."""
    trips = pl.scan_parquet(month / VALIDATED)
    figures = history_columns(
        trips, HISTORY_FEATURES, event_time="pickup_at", known_late=KNOWN_LATE, earlier=ALL_THERE_IS
    )
    [staged] = Store(root=str(out)).stage(pl.concat([trips.select("row_number"), figures.lazy()], how="horizontal"))
    staged.path.rename(out / HISTORY)


def features(month: Path, out: Path, declared: Sequence[Feature | HistoryFeature] = PATH_FEATURES) -> None:
    """Features of validated rows."""
    built = build_features(
        pl.scan_parquet(month / VALIDATED),
        declared,
        label=LABEL.column,
        event_time="pickup_at",
        known_at=LABEL.known_at,
        keep=PIPELINE.config.evaluation.slices,
        known_late=KNOWN_LATE,
        earlier=ALL_THERE_IS,
    )
    [staged] = Store(root=str(out)).stage(built)
    staged.path.rename(out / FEATURES)


def features_of_pipeline(month: Path, out: Path) -> None:
    """The features of validated rows that `trip_duration` declares."""
    features(month, out, PIPELINE_FEATURES)


def path(month: Path, out: Path) -> None:
    """Raw into validated, quarantine and features."""
    validate(month, out)
    features(out, out)


STEPS = {
    "ingest": ingest,
    "validate": validate,
    "history": history,
    "features of the pipeline": features_of_pipeline,
    "path": path,
}
