"""The floor: pyarrow reads the same Parquet and writes as much of it, with the same compression, and computes nothing.

Row group by row group, which is as fast as all at once and needs the least memory.
"""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.files import (
    COMPRESSION,
    COMPRESSION_LEVEL,
    FEATURES,
    HISTORY,
    RAW,
    ROW_GROUP_ROWS,
    SOURCE,
    VALIDATED,
)
from benchmarks.history_features import READS

AS_WIDE_AS_HISTORY = ["row_number", "dropoff_at", "speed_mph"]


def copy(source: Path, target: Path, reads: Sequence[str] | None = None, writes: Sequence[str] | None = None) -> None:
    """Read columns of one file and write some of them to another."""
    with pq.ParquetFile(source) as file:
        names = writes or reads or file.schema_arrow.names
        schema = pa.schema([file.schema_arrow.field(name) for name in names])
        how = {"compression": COMPRESSION, "compression_level": COMPRESSION_LEVEL}
        with pq.ParquetWriter(target, schema, **how) as writer:
            for batch in file.iter_batches(ROW_GROUP_ROWS, columns=reads):
                writer.write_batch(batch.select(names), ROW_GROUP_ROWS)


def ingest(month: Path, out: Path) -> None:
    """Source to raw."""
    copy(month / SOURCE, out / RAW)


def validate(month: Path, out: Path) -> None:
    """Raw to one file: as many rows and columns as validated and quarantine have together, but for two columns."""
    copy(month / RAW, out / VALIDATED)


def history(month: Path, out: Path) -> None:
    """The columns that history is computed from, to a file of three columns."""
    copy(month / VALIDATED, out / HISTORY, reads=READS, writes=AS_WIDE_AS_HISTORY)


def path(month: Path, out: Path) -> None:
    """Raw to validated, and the features as they were made before, to features."""
    copy(month / RAW, out / VALIDATED)
    copy(month / FEATURES, out / FEATURES)


STEPS = {"ingest": ingest, "validate": validate, "history": history, "path": path}
