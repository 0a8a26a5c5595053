"""The prediction log as a whole: read by event time or by request, told how much there is, and compacted.

The files themselves are in `log_files`; a server writes by `serving.prediction_log`.
"""

import secrets
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import dagster as dg

from ml_assets.core.log_segments import KINDS, Kind, Segment, around, origin_of, reading_plan
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
from ml_assets.resources.log_reading import PiecesOfADay, Wanted, again_if_moved, held, of_a_day, scans

if TYPE_CHECKING:
    import polars as pl


class PredictionLogs(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Read and compact the logs under `root/<pipeline>/<day>/`.

    Args:
        root: a path or an fsspec URL.
        read: a local folder, in which looks at a rollout keep what they have read of it; None: nothing is kept.
    """

    root: str
    read: str | None = None

    def pipelines(self) -> list[str]:
        """The pipelines with a log, in alphabetical order."""
        return pipelines(self.root)

    def days(self, pipeline: str) -> list[str]:
        """The days (UTC) on which something was written, oldest first."""
        return days(self.root, pipeline)

    def segments(self, pipeline: str, day: str) -> list[Segment]:
        """The files of a day, oldest first, from their names alone."""
        return listed(self.root, pipeline, day)

    def pieces(self, pipeline: str, kind: Kind, day: str) -> PiecesOfADay:
        """The rows of a day, piece by piece."""
        return PiecesOfADay(self.root, pipeline, kind, day)

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
        frames = [
            frame for day in asked for frame in of_a_day(self.root, pipeline, kind, day, where, may_hold, without)
        ]
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
            rows = of_a_day(self.root, pipeline, "requests", day, wanted, may_hold)
            if any(not frame.filter(is_outcome()).is_empty() for frame in rows):
                # Shadows come after the answer, maybe on the next day.
                later = [d for d in days if d > day][:1]
                found += [
                    *rows,
                    *(f for d in later for f in of_a_day(self.root, pipeline, "requests", d, wanted, may_hold)),
                ]
                since = day
                break
        labels = [day for day in days if day >= since]
        found += [frame for day in labels for frame in of_a_day(self.root, pipeline, "labels", day, wanted, _any)]
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
            merged = [again_if_moved(partial(self._merge, pipeline, kind, day)) for kind in KINDS]
            changed += [day] if any(merged) else []
        return changed

    def _merge(self, pipeline: str, kind: Kind, day: str) -> bool:
        import polars as pl

        files = [segment for segment in self.segments(pipeline, day) if segment.kind == kind]
        if len(files) < 2 and all(segment.merged for segment in files):
            return False
        place, names = folder(self.root, pipeline) / day, [segment.name for segment in files]
        plan = reading_plan(
            [s.name for s in files if not s.merged], held(self.root, pipeline, day, [s.name for s in files if s.merged])
        )
        with scratch(place) as path:
            with at_hand(self.root, pipeline, day, list(plan)) as paths:
                together = pl.concat(scans(paths, list(plan.values())))
                together.sink_parquet(path, compression="zstd", maintain_order=True)
            origin = origin_of("merged", secrets.token_hex(8))
            keep(path, place / described(kind, pl.scan_parquet(path), origin, 1, merged=True).name)
        remove(self.root, pipeline, day, names)
        return True


def _any(_: Segment) -> bool:
    return True
