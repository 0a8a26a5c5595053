"""What `dg scaffold defs` writes for a new table or pipeline: files that load, to be edited."""

from pathlib import Path
from typing import Any

import dagster as dg

SCHEMA = '''\
"""The contract of this table: columns, units and rules of one row. See `ml_assets.core.contract.column`."""

from datetime import datetime

import pandera.polars as pa

from ml_assets.core.contract import column


class Row(pa.DataFrameModel):
    """One row, and where its columns are described."""

    happened_at: datetime = column(description="when the event happened; decides its partition")
    known_at: datetime = column(description="when the label became known")
    amount: float = column(ge=0, unit="USD", description="what is to be predicted")
    kind: str = column(nullable=True, description="known when the event happens")
'''

FEATURES = '''\
"""What the model is given: only what is known when the event happens. See `ml_assets.core.features.Feature`."""

import polars as pl

from ml_assets.core.features import Feature

FEATURES = [
    Feature("kind", pl.col("kind"), kind="category", description="known when the event happens"),
    Feature("weekday", pl.col("happened_at").dt.weekday(), kind="number", unit="ISO weekday"),
]
'''


class TableScaffolder(dg.Scaffolder[Any]):
    """A table over files of one's own."""

    def scaffold(self, request: dg.ScaffoldRequest[Any]) -> None:
        """Write `defs.yaml` and `schema.py`."""
        attributes = {
            "source": {"kind": "files", "path": "rows-{year}-{month}.csv"},
            "partitions": {"cadence": "monthly", "start": "2024-01-01"},
            "event_time": "happened_at",
            "schema": "schema:Row",
        }
        dg.scaffold_component(request, attributes)
        _beside(request, "schema.py", SCHEMA)


class PipelineScaffolder(dg.Scaffolder[Any]):
    """A pipeline on a table that is to be named."""

    def scaffold(self, request: dg.ScaffoldRequest[Any]) -> None:
        """Write `defs.yaml` and `features.py`."""
        attributes = {
            "table": "name_of_the_table",
            "label": {"column": "amount", "known_at": "known_at"},
            "features": "features:FEATURES",
            "model": {"window": 12},
        }
        dg.scaffold_component(request, attributes)
        _beside(request, "features.py", FEATURES)


def _beside(request: dg.ScaffoldRequest[Any], name: str, content: str) -> None:
    (Path(request.target_path) / name).write_text(content)
