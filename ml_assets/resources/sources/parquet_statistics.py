"""Whether the rows of a Parquet row group are those its own statistics describe.

Most files have no page checksums, and damage within a page may decode to other numbers without an error. The
least and greatest value and the number of nulls, which nearly all writers record, uncover part of that.
"""

from math import isnan
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa


class GroupStatistics:
    """What a row group's metadata says of its columns, and what was seen of them.

    Only numbers, dates and times are compared: of text, writers may record shortened bounds.

    Args:
        group: pyarrow's metadata of the row group.
    """

    def __init__(self, group: Any) -> None:
        columns = [group.column(i) for i in range(group.num_columns)]
        self._said = {c.path_in_schema: c.statistics for c in columns if c.statistics is not None}
        self._seen: dict[str, tuple[Any, Any, int]] = {}

    def see(self, batch: "pa.RecordBatch") -> None:
        """Take note of the group's next rows."""
        import pyarrow.compute as pc

        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            if name not in self._said or not _is_comparable(column.type):
                continue
            bounds = pc.min_max(_as_numbers(column))
            low, high, nulls = self._seen.get(name, (None, None, 0))
            new_low, new_high = bounds["min"].as_py(), bounds["max"].as_py()
            if new_low is not None:
                low = new_low if low is None else min(low, new_low)
                high = new_high if high is None else max(high, new_high)
            self._seen[name] = low, high, nulls + column.null_count

    def contradictions(self) -> list[str]:
        """Columns whose values are not those described, when all rows of the group were seen."""
        wrong = []
        for name, (low, high, nulls) in self._seen.items():
            said = self._said[name]
            if said.has_null_count and said.null_count != nulls:
                wrong.append(f"column {name} has {nulls:,} nulls, not {said.null_count:,}")
            elif said.has_min_max and low is not None and not _same((low, high), (said.min_raw, said.max_raw)):
                wrong.append(f"column {name} has other least and greatest values")
        return wrong


def _is_comparable(dtype: "pa.DataType") -> bool:
    import pyarrow.types as pt

    stored_as_is = (pt.is_timestamp(dtype) and dtype.unit in ("ms", "us")) or pt.is_date32(dtype)
    return bool(pt.is_signed_integer(dtype) or pt.is_float32(dtype) or pt.is_float64(dtype) or stored_as_is)


def _as_numbers(column: "pa.Array") -> "pa.Array":
    """Times as they are stored: not all of them can be dates of Python, least of all damaged ones."""
    import pyarrow as pa

    if pa.types.is_timestamp(column.type):
        return column.view(pa.int64())
    return column.view(pa.int32()) if pa.types.is_date32(column.type) else column


def _same(seen: tuple[Any, Any], said: tuple[Any, Any]) -> bool:
    if any(isinstance(value, float) and isnan(value) for value in (*seen, *said)):
        return True  # writers differ in what they say of a column with NaN
    return not all(isinstance(value, int | float) for value in said) or seen == said
