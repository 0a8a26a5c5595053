"""Rows of one window of event time, and numbers by which a person finds a row again."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ml_assets.core.windows import Window

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Block:
    """Consecutive rows of a source.

    Args:
        batch: the rows, or those of them that were kept.
        first: number of the first row in its file or result, from 0; the header is not counted.
        kept: positions of the kept rows; None if all were kept.
        where: file name, if there are several.
    """

    batch: "pa.RecordBatch"
    first: int
    kept: "pa.Array | None" = None
    where: str = ""

    def row(self, position: int) -> str:
        """The row at a position of `batch`, as a person counts it, from 1."""
        index = position if self.kept is None else self.kept[position].as_py()
        number = f"row {self.first + index + 1:,}"
        return f"{number} of {self.where}" if self.where else number

    def inside(self, times: "pa.Array", window: Window) -> "Block":
        """The rows whose time is in the window; rows without a time are in none.

        Args:
            times: (rows,) naive or zoned timestamps; zoned ones count by their wall clock.
            window: half-open.
        """
        import pyarrow as pa
        import pyarrow.compute as pc

        naive = wall_clock(times)
        start, end = (pa.scalar(t, pa.timestamp("us")) for t in (window.start, window.end))
        kept = pc.indices_nonzero(pc.and_(pc.greater_equal(naive, start), pc.less(naive, end)))
        if not len(kept):
            return Block(self.batch.slice(0, 0), self.first, kept, self.where)
        begin = kept[0].as_py()
        together = kept[-1].as_py() - begin + 1 == len(kept)  # sorted sources: no copy
        batch = self.batch.slice(begin, len(kept)) if together else self.batch.take(kept)
        return Block(batch, self.first, kept, self.where)


def wall_clock(times: "pa.Array") -> "pa.Array":
    """Timestamps or dates as naive microseconds; zoned ones as the clocks of their zone show them."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_timestamp(times.type) and times.type.tz is not None:
        times = pc.local_timestamp(times)
    return pc.cast(times, pa.timestamp("us"), safe=False)


def hit(times: "pa.Array", windows: Sequence[Window]) -> set[str]:
    """Keys of the windows in which at least one of the times lies; windows do not overlap."""
    import numpy as np

    ordered = sorted(windows, key=lambda w: w.start)
    starts = np.array([w.start for w in ordered], "datetime64[us]")
    ends = np.array([w.end for w in ordered], "datetime64[us]")
    known = wall_clock(times).drop_null().to_numpy(zero_copy_only=False).astype("datetime64[us]")
    index = np.searchsorted(starts, known, side="right") - 1
    inside = (index >= 0) & (known < ends[index])
    return {ordered[i].key for i in np.unique(index[inside])}
