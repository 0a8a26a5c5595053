"""Rows of Dagster's event log, read as they are: a tenth of the time that Dagster takes to make its objects of them.

An object for each cell of each table that a materialization shows is what takes Dagster so long. Here they are passed
over, and what is a number, a text or JSON is taken from the text of the row. Which materializations are wanted, and
what is remembered of them, is in `materializations`.
"""

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import dagster as dg
import msgspec
from dagster._core.definitions.data_version import DATA_VERSION_TAG

if TYPE_CHECKING:
    from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage

Row = tuple[Any, ...]
"""What tells a row of the event log from every other, also from one that got the id of a deleted one."""

PAGE = 250
"""Rows read at once: with their pictures, those of drift take up to 100 kB each. Dagster gives at most a thousand."""

PLAIN: dict[type[dg.MetadataValue[Any]], tuple[str, str]] = {
    dg.TextMetadataValue: ("TextMetadataEntryData", "text"),
    dg.MarkdownMetadataValue: ("MarkdownMetadataEntryData", "md_str"),
    dg.IntMetadataValue: ("IntMetadataEntryData", "value"),
    dg.FloatMetadataValue: ("FloatMetadataEntryData", "value"),
    dg.BoolMetadataValue: ("BoolMetadataEntryData", "value"),
    dg.JsonMetadataValue: ("JsonMetadataEntryData", "data"),
    dg.PathMetadataValue: ("PathMetadataEntryData", "path"),
    dg.UrlMetadataValue: ("UrlMetadataEntryData", "url"),
    dg.TimestampMetadataValue: ("TimestampMetadataValue", "value"),
}
"""Values that decisions may go by -> the name under which Dagster stores them, and the field that holds them."""
_FIELDS = dict(PLAIN.values())
_PICTURE = "](data:image/"


class Recorded(NamedTuple):
    """A materialization as its row tells it; of the metadata only what is `PLAIN` and no picture."""

    data_version: str
    metadata: dict[str, Any]
    timestamp: float
    run_id: str


class _Value(msgspec.Struct):
    kind: str = msgspec.field(name="__class__")
    text: Any = None
    md_str: Any = None
    value: Any = None
    data: Any = None
    path: Any = None
    url: Any = None

    @property
    def plain(self) -> Any:
        return getattr(self, _FIELDS[self.kind])

    @property
    def is_kept(self) -> bool:
        return self.kind in _FIELDS and _PICTURE not in (self.md_str or "")


class _Entry(msgspec.Struct):
    label: str
    entry_data: _Value


class _Materialization(msgspec.Struct):
    metadata_entries: list[_Entry]
    tags: dict[str, str] | None = None


class _Specific(msgspec.Struct):
    materialization: _Materialization


class _DagsterEvent(msgspec.Struct):
    event_specific_data: _Specific


class _Event(msgspec.Struct):
    run_id: str
    timestamp: float
    dagster_event: _DagsterEvent


_DECODER = msgspec.json.Decoder(_Event)


def sql_storage(instance: dg.DagsterInstance) -> "SqlEventLogStorage | None":
    """The event log of an instance; None where it is no database that we can ask, as of Dagster+."""
    from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage

    storage = instance.event_log_storage
    return storage if isinstance(storage, SqlEventLogStorage) else None


def identities(storage: "SqlEventLogStorage", ids: Sequence[int]) -> dict[int, Row]:
    """Id -> id, run and time of these rows."""
    return {row[0]: row for row in _rows(storage, ids, "id", "run_id", "timestamp")}


def materializations(storage: "SqlEventLogStorage", ids: Sequence[int]) -> Iterator[tuple[int, Recorded]]:
    """Ids and materializations of these rows.

    Args:
        storage: the event log.
        ids: of rows that hold materializations; those that are gone by now are left out.
    """
    for row_id, text in _rows(storage, ids, "id", "event"):
        event = _decoded(text)
        made = event.dagster_event.event_specific_data.materialization
        yield (
            row_id,
            Recorded(
                data_version=(made.tags or {}).get(DATA_VERSION_TAG, ""),
                metadata={e.label: e.entry_data.plain for e in made.metadata_entries if e.entry_data.is_kept},
                timestamp=event.timestamp,
                run_id=event.run_id,
            ),
        )


def is_kept(value: dg.MetadataValue[Any]) -> bool:
    """Whether `Recorded` has a value of this kind: `PLAIN`, and no picture; thousands of them would fill memory."""
    is_picture = isinstance(value, dg.MarkdownMetadataValue) and _PICTURE in (value.md_str or "")
    return type(value) in PLAIN and not is_picture


def _decoded(text: str) -> _Event:
    try:
        return _DECODER.decode(text)
    except msgspec.DecodeError:
        return msgspec.convert(json.loads(text), _Event)  # NaN and infinity, which Python writes and JSON has not


def _rows(storage: "SqlEventLogStorage", ids: Sequence[int], *columns: str) -> Iterator[Row]:
    import sqlalchemy
    from dagster._core.storage.event_log.schema import SqlEventLogStorageTable

    table = SqlEventLogStorageTable.c
    asked = sqlalchemy.select(*(table[name] for name in columns))
    with storage.index_connection() as connection:
        for start in range(0, len(ids), PAGE):
            found = connection.execute(asked.where(table.id.in_(ids[start : start + PAGE])))
            yield from (tuple(row) for row in found)
