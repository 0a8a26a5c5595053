"""Trips as a store holds them, their features as the batch computes them, and a model of each pipeline."""

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

import polars as pl

from ml_assets.core.assignment import PartCounts
from ml_assets.core.bundle import Bundle
from ml_assets.core.cadences import newest_in_a_row, window_of_key
from ml_assets.core.features import LABEL, build_features
from ml_assets.core.history import Earlier
from ml_assets.core.manifest import Manifest
from ml_assets.core.models.kinds import fit_model
from ml_assets.core.models.spec import ModelSpec
from ml_assets.core.parameters import ModelParams
from ml_assets.core.raw_fields import RawFields
from ml_assets.core.time_split import TimeRange, TimeSplit
from ml_assets.core.validation import judge, split
from ml_assets.served import raw_fields_of

LABELS = {"trip_duration": ("trip_minutes", "regression"), "high_tip": ("high_tip", "binary")}
KNOWN_AT = "dropoff_at"
SPLIT = TimeSplit(
    TimeRange(datetime(2019, 1, 1), datetime(2019, 2, 1)), TimeRange(datetime(2019, 2, 1), datetime(2019, 2, 20)),
    TimeRange(datetime(2019, 2, 20), datetime(2019, 3, 1)), datetime(2019, 3, 1),
)  # fmt: skip


class Stored:
    """A store of validated trips.

    Args:
        root: of the store.
        files: TLC files, a month each.
    """

    def __init__(self, root: Path, files: Iterable[Path] = ()) -> None:
        self.root = root
        self.folder = root / "trips" / "validated"
        self.folder.mkdir(parents=True)
        for file in files:
            self.land(file)

    def land(self, file: Path) -> None:
        """Validate the month of a file and put it in its place."""
        month, fields = file.stem.rsplit("_", 1)[-1], raw_fields_of("trip_duration")
        window = window_of_key("monthly", month)
        judged = judge(pl.scan_parquet(file), fields.contract, event_time=fields.event_time, window=window)
        scratch = self.folder / ".being_written"
        split(judged)[0].collect().write_parquet(scratch)
        scratch.replace(self.folder / f"{month}.parquet")

    def rows(self, month: str) -> pl.LazyFrame:
        return pl.scan_parquet(self.folder / f"{month}.parquet")

    def features(self, fields: RawFields, month: str) -> pl.DataFrame:
        """`<p>/features` of a month."""
        stored = [p.stem for p in self.folder.glob("*.parquet") if p.stem <= month]
        windows = newest_in_a_row(fields.cadence, stored, fields.partitions_before)
        return build_features(
            self.rows(month),
            fields.features,
            label=LABELS[fields.pipeline][0],
            event_time=fields.event_time,
            known_at=KNOWN_AT,
            known_late=fields.known_late,
            earlier=Earlier([self.rows(w.key) for w in windows[:-1]], windows[0].start),
        ).collect()

    def records(self, fields: RawFields, month: str, rows: list[int] | None = None) -> list[dict]:
        """The raw fields of a month's rows, as a client has them."""
        names = [c.name for c in fields.online.rules.fields]
        table = self.rows(month).select(names).collect()
        table = table if rows is None else table[rows]
        return table.with_columns(pl.col(pl.Datetime).dt.to_string("iso:strict")).rows(named=True)


def bundle_of(fields: RawFields, features: pl.DataFrame) -> Bundle:
    """A small model that has learnt from these rows."""
    label, task = LABELS[fields.pipeline]
    params = ModelParams(
        trees=30, leaves=15, min_rows_per_leaf=20, objective="l1" if task == "regression" else "binary"
    )
    spec = ModelSpec("model", "lightgbm", task, params)
    rows = features.filter(pl.col(LABEL).is_not_null())
    train, validation = rows[: rows.height * 3 // 4], rows[rows.height * 3 // 4 :]
    parts = PartCounts(
        rows={"train": train.height, "validation": validation.height, "holdout": 0},
        immature=dict.fromkeys(("train", "validation", "holdout"), 0),
    )
    return Bundle.of(
        fit_model(spec, train, validation, features=fields.features, seed=0, threads=1),
        pipeline=fields.pipeline,
        label={"name": label, "unit": None, "task": task, "classes": None},
        spec=spec,
        seed=0,
        manifest=Manifest("2019-02", {"2019-02": "ab" * 32}, SPLIT, parts),
        train=train,
        learning={"window": None, "half_life": None, "rows": train.height, "refit": False},
    )
