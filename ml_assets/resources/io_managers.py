"""What Dagster hands from asset to asset: Polars lazy frames over Parquet, and small records as JSON.

How and where they are stored is in `storage`; small tables as CSV are in `tables`.
"""

import json
from typing import TYPE_CHECKING, Any

import dagster as dg

from ml_assets.resources.storage import Staged, canonical_json, require_stored, scan
from ml_assets.resources.whole_files import publish, write_whole

if TYPE_CHECKING:
    import polars as pl
    from upath import UPath


class ParquetIOManager(dg.UPathIOManager):
    """`Staged` partitions out, lazy frames in."""

    extension = ".parquet"

    def dump_to_path(self, context: dg.OutputContext, obj: Staged, path: "UPath") -> None:  # noqa: ARG002
        """Move a staged partition to its place."""
        publish(obj.path, path)

    def load_from_path(self, context: dg.InputContext, path: "UPath") -> "pl.LazyFrame":  # noqa: ARG002
        """A lazy frame over the stored partition."""
        return scan(path)


class JsonIOManager(dg.UPathIOManager):
    """Small records as JSON documents."""

    extension = ".json"

    def dump_to_path(self, context: dg.OutputContext, obj: dict[str, Any], path: "UPath") -> None:  # noqa: ARG002
        """Write a record, whole or not at all."""
        write_whole(path, canonical_json(obj))

    def load_from_path(self, context: dg.InputContext, path: "UPath") -> dict[str, Any]:  # noqa: ARG002
        """A record."""
        require_stored(path)
        record: dict[str, Any] = json.loads(path.read_text())
        return record


class ParquetStore(dg.ConfigurableIOManagerFactory):  # type: ignore[type-arg]
    """`ParquetIOManager` on a root that is a path or an fsspec URL."""

    root: str

    def create_io_manager(self, context: dg.InitResourceContext) -> ParquetIOManager:  # noqa: ARG002
        """The manager, made when a step needs it."""
        from upath import UPath

        return ParquetIOManager(UPath(self.root))


class JsonStore(dg.ConfigurableIOManagerFactory):  # type: ignore[type-arg]
    """`JsonIOManager` on a root that is a path or an fsspec URL."""

    root: str

    def create_io_manager(self, context: dg.InitResourceContext) -> JsonIOManager:  # noqa: ARG002
        """The manager, made when a step needs it."""
        from upath import UPath

        return JsonIOManager(UPath(self.root))
