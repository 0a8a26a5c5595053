"""The rows that training and tuning are measured on, as the pipeline stores them and as other libraries take them.

Simulated trips go through the pipeline's own functions, or stored feature partitions are taken as they are. Other
libraries get the matrices that LightGBM gets from us, as NumPy arrays: the same rows, categories as codes.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.contenders import ours_learning as ours
from benchmarks.files import ARRAYS, FACTS, MONTHS_LATER, MONTHS_LEARNT, PARTITIONS
from ml_assets.assets.features import with_earlier
from ml_assets.core.encoding import learn_specs, matrix
from ml_assets.core.features import LABEL, build_features, columns_among
from ml_assets.core.folds import make_folds, rows_before_holdout
from ml_assets.core.target_encoding import divided
from ml_assets.core.validation import judge, split
from ml_assets.resources.sources.config import FilesSourceConfig
from ml_assets.resources.sources.files import FilesSource
from ml_assets.resources.sources.simulated import FILE_NAME, write_tlc_files
from ml_assets.resources.storage import Store

MONTHS = [*MONTHS_LEARNT, *MONTHS_LATER]


def make(folder: Path, rows: int, features: Path | None = None) -> None:
    """Fill the folder with feature partitions, and with the arrays of them that other libraries start from.

    Args:
        folder: to fill.
        rows: simulated trips a month, before the broken ones among them are put into quarantine.
        features: folder of stored feature partitions `YYYY-MM.parquet`, taken in place of simulated ones.
    """
    stored = folder / PARTITIONS
    stored.mkdir()
    if features is None:
        _simulate(folder, stored, rows)
    else:
        for month in MONTHS:
            shutil.copy(features / f"{month}.parquet", stored)
    _write_arrays(folder)


def described(folder: Path) -> str:
    """How many rows there are in which part."""
    counts = json.loads((folder / FACTS).read_text())["rows"]
    months = f"{MONTHS_LEARNT[0]} to {MONTHS_LEARNT[-1]}"
    return (
        f"{counts['train']:,} rows to learn from and {counts['validation']:,} to stop by of {months}, divided as the "
        f"newest fold is; {counts['later']:,} later rows, to the end of {MONTHS_LATER[-1]}, on which each is judged"
    )


def _simulate(folder: Path, stored: Path, rows: int) -> None:
    table, label = ours.PIPELINE.table, ours.PIPELINE.config.label
    list(write_tlc_files(folder, MONTHS, rows, 0))
    source = FilesSource(FilesSourceConfig(kind="files", path=str(folder / FILE_NAME)), folder)
    contract, event_time = table.contract, table.config.event_time
    store, validated = Store(root=str(folder / "store")), {}
    for month in MONTHS:
        raw = folder / f"raw_{month}.parquet"
        source.fetch(table.window(month), raw, contract.source_schema, optional=contract.optional_sources)
        judged = judge(pl.scan_parquet(raw), contract, event_time=event_time, window=table.window(month))
        [good, _] = store.stage(*split(judged))
        validated[month] = good.path.rename(folder / f"validated_{month}.parquet")
        frames = {m: pl.scan_parquet(path) for m, path in validated.items()}
        reached = [w.key for w in table.windows_before(month, ours.PIPELINE.partitions_before)]
        nearby, earlier = with_earlier(
            ours.PIPELINE, month, {m: f for m, f in frames.items() if m in {*reached, month}}
        )
        built = build_features(
            nearby[month],
            columns_among(divided(ours.PIPELINE.features)[0]),
            label=label.column,
            event_time=event_time,
            known_at=label.known_at,
            keep=ours.PIPELINE.kept_columns,
            known_late=ours.PIPELINE.known_late,
            earlier=earlier,
        )
        [staged] = store.stage(built)
        staged.path.rename(stored / f"{month}.parquet")


def _write_arrays(folder: Path) -> None:
    manifest, history = ours.training_set(folder)
    before = rows_before_holdout(history, manifest.split)
    [newest] = make_folds(before, manifest.split, 1)
    parts = {"train": newest.train, "validation": newest.validation, "later": ours.later(folder, manifest)}
    inputs, _ = divided(ours.PIPELINE.features)
    specs = learn_specs(parts["train"], inputs, max_categories=ours.PARAMS.max_categories)
    arrays: dict[str, Any] = {}
    for part, rows in parts.items():
        arrays[f"{part}_x"] = matrix(rows, specs, [])
        arrays[f"{part}_y"] = rows[LABEL].to_numpy()
    np.savez(folder / ARRAYS, **arrays)
    facts = {
        "names": [s.name for s in specs],
        "categories": [i for i, s in enumerate(specs) if s.kind == "category"],
        "rows": {part: rows.height for part, rows in parts.items()},
    }
    (folder / FACTS).write_text(json.dumps(facts))
