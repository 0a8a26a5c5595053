"""The prediction log as a whole: read by event time or by request, told how much there is, and compacted.

The files themselves are in `log_files`; a server writes by `serving.prediction_log`.
"""

import secrets
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import dagster as dg

from ml_assets.core.errors import PredictionLogError
from ml_assets.core.log_segments import KINDS, SEGMENT, Kind, Segment, around, origin_of, reading_plan
from ml_assets.resources.log_files import (
    at_hand,
    days,
    described,
    folder,
    keep,
    listed,
    pipelines,
    remove,
    scratch,
    sweep,
)

if TYPE_CHECKING:
    import polars as pl

T = TypeVar("T")

Wanted = Callable[[Segment], bool]
"""Whether a file may hold what is looked for."""

ATTEMPTS = 10
FILES_AT_ONCE = 500
"""Of a day with many segments: each one is an open file."""


class PredictionLogs(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Read and compact the logs under `root/<pipeline>/<day>/`.

    Args:
        root: a path or an fsspec URL.
    """

    root: str

    def pipelines(self) -> list[str]:
        """The pipelines with a log, in alphabetical order."""
        return pipelines(self.root)

    def days(self, pipeline: str) -> list[str]:
        """The days (UTC) on which something was written, oldest first."""
        return days(self.root, pipeline)

    def segments(self, pipeline: str, day: str) -> list[Segment]:
        """The files of a day, oldest first, from their names alone."""
        return listed(self.root, pipeline, day)

    def rows(
        self,
        pipeline: str,
        kind: Kind,
        *,
        span: tuple[int, int] | None = None,
        where: "pl.Expr | None" = None,
        since: str = "",
        without: Sequence[str] = (),
    ) -> "pl.DataFrame":
        """Rows of the log, each once, by the time they were written.

        Args:
            pipeline: whose.
            kind: requests or labels.
            span: only those whose event time lies in `[start, end)`, microseconds since 1970; None: all.
            where: only those for which this is true.
            since: the first day that is looked at.
            without: columns that are not read; `values` are most of the bytes.

        Returns:
            A table of `core.prediction_log.SCHEMA`.

        Raises:
            PredictionLogError: a segment is damaged.
        """
        import polars as pl

        from ml_assets.core.prediction_log import SCHEMA, event_time

        if span is not None:
            inside = event_time().to_physical().is_between(*span, closed="left")
            where = inside if where is None else inside & where
        asked = [day for day in self.days(pipeline) if day >= since]
        may_hold: Wanted = (lambda segment: segment.overlaps(*span)) if span else _any
        frames = [frame for day in asked for frame in self._of_a_day(pipeline, kind, day, where, may_hold, without)]
        return pl.concat([SCHEMA.to_frame().drop(without), *frames])

    def find(self, pipeline: str, request_id: str) -> "pl.DataFrame":
        """The rows of a request in every role, its labels too; those of its last day, if clients used the id again.

        An id that the server made says when: first it is looked for there.

        Returns:
            A table of `core.prediction_log.SCHEMA`, empty where the log does not have the request.
        """
        import polars as pl

        from ml_assets.core.prediction_log import SCHEMA, is_outcome

        wanted, days = pl.col("request_id") == request_id, self.days(pipeline)
        since, found = days[0] if days else "", [SCHEMA.to_frame()]
        near = around(request_id)
        searched: list[tuple[str, Wanted]] = [(day, _any) for day in reversed(days)]
        if near is not None:
            searched = [*((day, near.may_hold) for day in near.days if day in days), *searched]
        for day, may_hold in searched:
            rows = self._of_a_day(pipeline, "requests", day, wanted, may_hold)
            if any(not frame.filter(is_outcome()).is_empty() for frame in rows):
                # Shadows come after the answer, maybe on the next day.
                later = [d for d in days if d > day][:1]
                found += [*rows, *(f for d in later for f in self._of_a_day(pipeline, "requests", d, wanted, may_hold))]
                since = day
                break
        labels = [day for day in days if day >= since]
        found += [frame for day in labels for frame in self._of_a_day(pipeline, "labels", day, wanted, _any)]
        return pl.concat(found).sort("at", maintain_order=True)

    def newest(self, pipeline: str) -> "tuple[int, str | None]":
        """How many files there are, and when the newest was begun (ISO 8601, UTC); None without any."""
        from datetime import UTC, datetime, timedelta

        files = [segment for day in self.days(pipeline) for segment in self.segments(pipeline, day)]
        if not files:
            return 0, None
        at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=max(f.first_at for f in files))
        return len(files), at.isoformat(timespec="seconds")

    def compact(self, pipeline: str, before: str) -> list[str]:
        """Merge the segments of each day before one into a file; readers find every row once at any moment.

        What a process leaves that is killed, the next one completes. Several at once do no harm.

        Args:
            pipeline: whose.
            before: the first day, as `2026-03-01`, that is left as it is: segments may still be written.

        Returns:
            The days that were changed.
        """
        changed = []
        for day in (day for day in self.days(pipeline) if day < before):
            sweep(self.root, pipeline, day)
            merged = [self._again_if_moved(partial(self._merge, pipeline, kind, day)) for kind in KINDS]
            changed += [day] if any(merged) else []
        return changed

    def _merge(self, pipeline: str, kind: Kind, day: str) -> bool:
        import polars as pl

        files = [segment for segment in self.segments(pipeline, day) if segment.kind == kind]
        if len(files) < 2 and all(segment.merged for segment in files):
            return False
        place, names = folder(self.root, pipeline) / day, [segment.name for segment in files]
        plan = reading_plan(
            [s.name for s in files if not s.merged], self._held(pipeline, day, [s.name for s in files if s.merged])
        )
        with scratch(place) as path:
            with at_hand(self.root, pipeline, day, list(plan)) as paths:
                together = pl.concat(_scans(paths, list(plan.values())))
                together.sink_parquet(path, compression="zstd", maintain_order=True)
            origin = origin_of("merged", secrets.token_hex(8))
            keep(path, place / described(kind, pl.scan_parquet(path), origin, 1, merged=True).name)
        remove(self.root, pipeline, day, names)
        return True

    def _of_a_day(
        self, pipeline: str, kind: Kind, day: str, where: "pl.Expr | None", may_hold: Wanted,
        without: Sequence[str] = (),
    ) -> "list[pl.DataFrame]":  # fmt: skip
        return self._again_if_moved(lambda: list(self._read(pipeline, kind, day, where, may_hold, without)))

    def _read(
        self, pipeline: str, kind: Kind, day: str, where: "pl.Expr | None", may_hold: Wanted, without: Sequence[str]
    ) -> "Iterator[pl.DataFrame]":
        import polars as pl

        from ml_assets.core.prediction_log import SCHEMA

        # In this order: a segment that was removed before the first look is in a merged file of the second one.
        first, second = (self.segments(pipeline, day) for _ in range(2))
        segments = [s for s in first if s.kind == kind and not s.merged]
        merged = [s.name for s in second if s.kind == kind and s.merged]
        alone = len(merged) == 1 and not segments
        plan = (
            {merged[0]: None} if alone else reading_plan([s.name for s in segments], self._held(pipeline, day, merged))
        )
        of = {s.name: s for s in [*first, *second]}
        wanted = [name for name in plan if may_hold(of[name])]
        for start in range(0, len(wanted), FILES_AT_ONCE):
            names = wanted[start : start + FILES_AT_ONCE]
            with at_hand(self.root, pipeline, day, names) as paths:
                rows = pl.concat(_scans(paths, [plan[name] for name in names])).select(SCHEMA.names())
                if where is not None:
                    rows = rows.filter(where)
                yield _collected(rows.drop(without), paths)

    def _held(self, pipeline: str, day: str, merged: Sequence[str]) -> dict[str, list[str]]:
        """Merged file -> the segments it holds."""
        import polars as pl

        with at_hand(self.root, pipeline, day, merged) as paths:
            columns = (_collected(pl.scan_parquet(path).select(pl.col(SEGMENT).unique()), [path]) for path in paths)
            return {name: column[SEGMENT].to_list() for name, column in zip(merged, columns, strict=True)}

    @staticmethod
    def _again_if_moved(read: Callable[[], T]) -> T:
        for _ in range(ATTEMPTS - 1):
            try:
                return read()
            except FileNotFoundError:
                continue  # Meanwhile it was merged into another file: look again.
        return read()


def _any(_: Segment) -> bool:
    return True


def _scans(paths: Sequence[Path], taken: Sequence[set[str] | None]) -> "list[pl.LazyFrame]":
    """Files as tables with the segment of each row."""
    import polars as pl

    segments = [path for path in paths if path.suffix == ".arrow"]
    frames = [
        pl.scan_parquet(path) if names is None else pl.scan_parquet(path).filter(pl.col(SEGMENT).is_in(list(names)))
        for path, names in zip(paths, taken, strict=True)
        if path.suffix == ".parquet"
    ]
    if segments:
        name = pl.col(SEGMENT).str.split("/").list.last()
        frames.append(pl.scan_ipc(segments, include_file_paths=SEGMENT).with_columns(name))
    return frames


def _collected(rows: "pl.LazyFrame", paths: Sequence[Path]) -> "pl.DataFrame":
    import polars as pl

    try:
        return rows.collect(engine="streaming")
    except FileNotFoundError:
        raise
    except (pl.exceptions.PolarsError, OSError) as error:
        raise PredictionLogError(
            f"prediction log {paths[0].parent}",
            found=f"of {len(paths)} files from {paths[0].name} on, one can't be read: {str(error).splitlines()[0]}",
            expected="segments as the server wrote them: each is written whole",
            cure="move the damaged file out of the folder; what it held is lost",
        ) from error
