"""Stored partitions of a table as they lie in the store, for who reads them without Dagster, and notices new ones.

Assets are given them as the resource `store`, see `storage`.
"""

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ml_assets.core.errors import PartitionMissing
from ml_assets.resources.remote import is_remote

if TYPE_CHECKING:
    import polars as pl
    from upath import UPath

SUFFIX = ".parquet"
_TELLING = ("size", "ETag", "etag", "LastModified", "last_modified", "mtime", "updated", "created")

Stamp = tuple[str, ...]
"""What a file of other content, or a file put in its place, does not share with it."""


@dataclass(frozen=True)
class PartitionFolder:
    """The partitions of one table of an asset: `root/<table>/<noun>/<partition>.parquet`.

    Args:
        root: of the store, a path or an fsspec URL.
        table: its name.
        noun: the asset's second name.
    """

    root: str
    table: str
    noun: str = "validated"

    @property
    def folder(self) -> "UPath":
        """Where they are."""
        from upath import UPath

        return UPath(self.root) / self.table / self.noun

    def stamps(self) -> dict[str, Stamp]:
        """Partition -> its stamp, of all that are there."""
        folder = self.folder
        if not is_remote(folder):
            if not folder.exists():
                return {}
            stats = {p.stem: p.stat() for p in folder.iterdir() if p.suffix == SUFFIX}
            return {key: (str(s.st_ino), str(s.st_size), str(s.st_mtime_ns)) for key, s in stats.items()}
        folder.fs.invalidate_cache()
        try:
            listed: list[dict[str, Any]] = folder.fs.ls(folder.path, detail=True)
        except FileNotFoundError:
            return {}
        names = {str(one["name"]).rsplit("/", 1)[-1]: one for one in listed}
        return {
            name.removesuffix(SUFFIX): tuple(f"{key} {one[key]}" for key in _TELLING if key in one)
            for name, one in names.items()
            if name.endswith(SUFFIX)
        }

    def scan(self, partition: str) -> "pl.LazyFrame":
        """A partition; a remote one is read into memory.

        Raises:
            PartitionMissing: it is not there.
        """
        import polars as pl

        path = self.folder / f"{partition}{SUFFIX}"
        if not path.exists():
            raise PartitionMissing.at(f"{partition} of {self.table}/{self.noun}", path)
        if is_remote(path):
            return pl.read_parquet(io.BytesIO(path.read_bytes())).lazy()
        return pl.scan_parquet(str(path))
