"""Rows into one Parquet file, the same bytes for the same rows whatever batches they came in.

pyarrow writes, not polars: its pages carry checksums, which `parquet_files` verifies, its files are a fifth
smaller, and an error in the rows arrives unchanged.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ml_assets.core.errors import SourceEmpty
from ml_assets.resources.sources.describing import as_metadata

if TYPE_CHECKING:
    import pyarrow as pa

ROW_GROUP_ROWS = 65_536
"""About 10 MB of a table of twenty columns; as in the store, so that readers skip equally well."""


def write_partition(
    batches: "Iterable[pa.RecordBatch]",
    schema: "pa.Schema",
    target: Path,
    *,
    thing: str,
    columns: Callable[[], Mapping[str, str]],
) -> int:
    """Write batches of `schema` to `target` and return the number of rows; on any error remove `target`.

    Args:
        batches: of any size.
        schema: names and types of all batches.
        target: the file to write.
        thing: the source and partition, for messages.
        columns: gives the source's columns and types for the footer, when all batches are written.

    Raises:
        SourceEmpty: no rows.
    """
    import pyarrow.parquet as pq

    rows = 0
    try:
        with pq.ParquetWriter(
            target,
            schema.remove_metadata(),
            compression="zstd",
            compression_level=1,
            write_page_checksum=True,
        ) as writer:
            for group in _row_groups(batches, schema):
                writer.write_table(group, row_group_size=ROW_GROUP_ROWS)
                rows += len(group)
            writer.add_key_value_metadata(as_metadata(columns()))
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    if not rows:
        target.unlink()
        raise SourceEmpty(
            thing,
            found="no rows",
            expected="at least one row",
            cure="look whether the source is complete; an empty partition is not to be materialized",
        )
    return rows


def _row_groups(batches: "Iterable[pa.RecordBatch]", schema: "pa.Schema") -> "Iterator[pa.Table]":
    import pyarrow as pa

    waiting, rows = [], 0
    for batch in batches:
        waiting.append(batch)
        rows += len(batch)
        if rows >= ROW_GROUP_ROWS:
            table = pa.Table.from_batches(waiting, schema)
            whole = rows - rows % ROW_GROUP_ROWS
            for start in range(0, whole, ROW_GROUP_ROWS):
                yield table.slice(start, ROW_GROUP_ROWS).combine_chunks()
            waiting, rows = table.slice(whole).to_batches(), rows - whole
    if rows:
        yield pa.Table.from_batches(waiting, schema).combine_chunks()
