"""Partitions and records on disk or in a bucket: written whole or not at all, identified by the SHA-256 of their bytes.

How Dagster hands them from asset to asset is in `io_managers`; bundles are in `models`, pictures in `reports`.
"""

import hashlib
import io
import json
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict, cast

import dagster as dg

from ml_assets.core.errors import PartitionMissing
from ml_assets.resources.durable import writing
from ml_assets.resources.remote import is_remote
from ml_assets.resources.text_counts import count_texts
from ml_assets.resources.whole_files import ABANDONED_AFTER_SECONDS

if TYPE_CHECKING:
    import polars as pl
    from upath import UPath

ROW_GROUP_ROWS = 65_536


@dataclass(frozen=True)
class Staged:
    """A partition that is written and hashed, and becomes visible when the IO manager moves it to its place."""

    path: Path
    sha256: str
    rows: int
    schema: "pl.Schema"

    @property
    def bytes(self) -> int:
        """Size of the file."""
        return self.path.stat().st_size

    def nulls(self) -> dict[str, int]:
        """Missing values of each column that has some, from the file's statistics."""
        import pyarrow.parquet as pq

        metadata = pq.read_metadata(self.path)
        groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
        found: dict[str, int] = {}
        for group in groups:
            for i in range(group.num_columns):
                column = group.column(i)
                nulls = column.statistics.null_count if column.statistics else 0
                found[column.path_in_schema] = found.get(column.path_in_schema, 0) + (nulls or 0)
        return {name: n for name, n in found.items() if n}

    def scan(self) -> "pl.LazyFrame":
        """The frame, before it moves to its place."""
        import polars as pl

        return pl.scan_parquet(self.path)


class Compression(TypedDict):
    """How columns are compressed, in Polars' words."""

    compression: Literal["zstd", "lz4"]
    compression_level: int | None


KEPT_SMALL: Compression = {"compression": "zstd", "compression_level": 1}
READ_OFTEN: Compression = {"compression": "lz4", "compression_level": None}
"""Features of taxi trips are half again as large as with zstd, and decoded in 0.42 of the CPU time."""


class Store(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Where partitions are: `root/<asset key>/<partition>.parquet`."""

    root: str

    @property
    def base(self) -> "UPath":
        """The root as a path, local or remote."""
        from upath import UPath

        return UPath(self.root)

    def path(self, key: dg.AssetKey, partition: str, suffix: str = ".parquet") -> "UPath":
        """The file of one partition of an asset."""
        return self.base.joinpath(*key.path) / f"{partition}{suffix}"

    def sha256(self, key: dg.AssetKey, partition: str) -> str:
        """SHA-256 of a stored partition's bytes: its data version."""
        with self.path(key, partition).open("rb") as f:
            return hashlib.file_digest(cast("io.BufferedReader", f), "sha256").hexdigest()

    def scan(self, key: dg.AssetKey, partition: str) -> "pl.LazyFrame":
        """A stored partition."""
        return scan(self.path(key, partition))

    def text_counter(
        self, key: dg.AssetKey, partition: str
    ) -> "Callable[[Sequence[str]], dict[str, dict[str | None, int]]] | None":
        """What counts the texts of a stored partition's columns, see `text_counts`; None where it is not local."""
        path = self.path(key, partition)
        return None if is_remote(path) else partial(count_texts, Path(str(path)))

    def rows(self, key: dg.AssetKey, partition: str) -> int:
        """Rows of a stored partition, from its footer."""
        return row_count(self.scan(key, partition))

    def partitions(self, key: dg.AssetKey) -> list[str]:
        """Keys of the stored partitions of a table, in alphabetical order."""
        folder = self.base.joinpath(*key.path)
        return sorted(p.stem for p in folder.iterdir() if p.suffix == ".parquet") if folder.exists() else []

    def record(self, key: dg.AssetKey, partition: str) -> dict[str, Any] | None:
        """A stored JSON record; None where there is none."""
        path = self.path(key, partition, ".json")
        return json.loads(path.read_text()) if path.exists() else None

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A path for a file that is being written; gone afterwards unless it was moved away.

        On a local store it is beside the data, so that moving is a rename. What killed processes left is removed.

        Raises:
            StorageError: the disk is full, or may not be written to.
        """
        folder = Path(tempfile.gettempdir()) / "ml_assets" if is_remote(self.base) else Path(self.root) / ".staging"
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        for old in folder.iterdir():
            if time.time() - old.stat().st_mtime > ABANDONED_AFTER_SECONDS:
                old.unlink(missing_ok=True)
        path = folder / f"{uuid.uuid4().hex}.parquet"
        try:
            with writing(path):
                yield path
        except BaseException:
            path.unlink(missing_ok=True)
            raise

    def stage(self, *frames: "pl.LazyFrame", compression: "Compression" = KEPT_SMALL) -> "list[Staged]":
        """Write frames beside their place, in one streaming pass over what they share, and hash what was written.

        Args:
            frames: what is written, a file each.
            compression: `KEPT_SMALL`, or `READ_OFTEN` for what is read again and again.
        """
        import polars as pl

        with ExitStack() as scratches:
            paths = [scratches.enter_context(self.scratch()) for _ in frames]
            sinks = [
                frame.sink_parquet(
                    path,
                    lazy=True,
                    **compression,
                    row_group_size=ROW_GROUP_ROWS,
                    maintain_order=True,
                )
                for frame, path in zip(frames, paths, strict=True)
            ]
            pl.collect_all(sinks, engine="streaming")
            return [staged(path) for path in paths]


def staged(path: Path) -> Staged:
    """A Parquet file that is complete, as what the IO manager takes."""
    import polars as pl

    with path.open("rb") as f:
        digest = hashlib.file_digest(f, "sha256").hexdigest()
    lazy = pl.scan_parquet(path)
    return Staged(path, digest, row_count(lazy), lazy.collect_schema())


def row_count(frame: "pl.LazyFrame") -> int:
    """Rows of a stored table, from its footer."""
    import polars as pl

    rows: int = frame.select(pl.len()).collect().item()
    return rows


def scan(path: "UPath") -> "pl.LazyFrame":
    """A Parquet file as a lazy frame; a remote one is fetched to a folder that lasts as long as the process.

    Raises:
        PartitionMissing: it is not there.
    """
    import polars as pl

    require_stored(path)
    if not is_remote(path):
        return pl.scan_parquet(str(path))
    local = Path(_fetched().name) / f"{uuid.uuid4().hex}.parquet"
    path.fs.get_file(path.path, str(local))
    return pl.scan_parquet(local)


def require_stored(path: "UPath") -> None:
    """That a partition or record is stored.

    Raises:
        PartitionMissing: it is not.
    """
    if not path.exists():
        raise PartitionMissing.at(f"{path.stem} of {'/'.join(path.parts[-3:-1])}", path)


@lru_cache(maxsize=1)
def _fetched() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="ml_assets_")


def canonical_json(record: dict[str, Any]) -> bytes:
    """One text for one content: sorted keys, no NaN."""
    return json.dumps(record, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False).encode()


def record_version(record: dict[str, Any]) -> dg.DataVersion:
    """SHA-256 of a record's canonical text."""
    return dg.DataVersion(hashlib.sha256(canonical_json(record)).hexdigest())
