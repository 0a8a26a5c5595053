"""What a raw partition says of the source it came from: the source's columns and their types, in its footer.

How the rows are written is in `writing`; what the types become is in `column_types`.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ml_assets.core.errors import PartitionMissing, SourceUnreadable
from ml_assets.core.schema_change import EMPTY

if TYPE_CHECKING:
    import pyarrow as pa
    from upath import UPath

KEY = "ml_assets.source_columns"
TEXT = "text"
"""The type of every column of a format that has none of its own."""


def type_name(found: "pa.DataType") -> str:
    """An Arrow type in plain words, the same however the text or dictionary is stored.

    >>> import pyarrow as pa
    >>> [type_name(t) for t in (pa.int64(), pa.dictionary(pa.int8(), pa.large_string()), pa.timestamp("us"))]
    ['int64', 'string', 'timestamp[us]']
    """
    import pyarrow.types as pt

    if pt.is_dictionary(found):
        return type_name(found.value_type)
    if pt.is_large_string(found) or pt.is_string_view(found):
        return "string"
    if pt.is_large_binary(found) or pt.is_binary_view(found):
        return "binary"
    return EMPTY if pt.is_null(found) else str(found)


def as_metadata(columns: Mapping[str, str]) -> dict[str, str]:
    """What the footer holds: one text for one content."""
    text = json.dumps(dict(columns), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return {KEY: text}


def source_columns(path: "Path | UPath") -> dict[str, str]:
    """The source's columns of a stored raw partition, after renaming, and the type of each as it was found.

    Only the footer is read, also from an object store.

    Args:
        path: a raw partition, on a local disk or behind a URL.

    Returns:
        column -> type: Arrow's name of it (`int64`, `double`, `string`, `timestamp[us]`), `text` for CSV,
        `empty` where no row has a value, `int64 or string` where files of the partition differ.

    Raises:
        PartitionMissing: there is no such file.
        SourceUnreadable: it is no Parquet file, or does not say which columns the source had.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with path.open("rb") as file:
            metadata = pq.read_metadata(file).metadata or {}
    except FileNotFoundError as error:
        raise PartitionMissing(
            f"raw partition {path}",
            found="no such file",
            expected="a stored raw partition",
            cure="materialize that partition first",
        ) from error
    except pa.ArrowException as error:
        raise _unreadable(path, f"metadata that can't be read: {error}") from error
    said = metadata.get(KEY.encode())
    if said is None:
        raise _unreadable(path, f"no {KEY} in its metadata")
    try:
        columns = json.loads(said)
    except ValueError as error:
        raise _unreadable(path, f"{KEY} is no JSON: {error}") from error
    is_mapping = isinstance(columns, dict) and all(isinstance(value, str) for value in columns.values())
    if not is_mapping or not columns:
        raise _unreadable(path, f"{KEY} is {said.decode()[:80]!r}")
    return dict(columns)


def _unreadable(path: "Path | UPath", found: str) -> SourceUnreadable:
    return SourceUnreadable(
        f"raw partition {path}",
        found=found,
        expected=f"a Parquet file that a source has written, with {KEY}: columns and types as they were found",
        cure="materialize the raw partition again; another version or program has written it",
    )
