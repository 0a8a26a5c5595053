"""Rows of one day of the prediction log, each once, while segments are written and merged.

Which files these are is decided in `core.log_segments`; what is asked of the log as a whole is in `prediction_log`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ml_assets.core.errors import PredictionLogError
from ml_assets.core.log_pieces import Piece, pieces_of
from ml_assets.core.log_segments import MERGED, SEGMENT, Kind, Segment, is_of, reading_plan
from ml_assets.resources.log_files import at_hand, names

if TYPE_CHECKING:
    import polars as pl

T = TypeVar("T")

Wanted = Callable[[Segment], bool]
"""Whether a file may hold what is looked for."""

ATTEMPTS = 10
FILES_AT_ONCE = 500
"""Of a day with many segments: each one is an open file."""
MERGED_DAYS_REMEMBERED = 512


def of_a_day(
    root: str, pipeline: str, kind: Kind, day: str, where: "pl.Expr | None", may_hold: Wanted,
    without: Sequence[str] = (),
) -> "list[pl.DataFrame]":  # fmt: skip
    """The rows of a day for which something is true, oldest first.

    Args:
        root, pipeline, kind, day: which.
        where: what is true of them; None: all.
        may_hold: files of which this is false are not read.
        without: columns that are not read.

    Raises:
        PredictionLogError: a segment is damaged.
    """
    return again_if_moved(lambda: list(_read(root, pipeline, kind, day, where, may_hold, without)))


class PiecesOfADay:
    """A day's rows of a kind, piece by piece: its folder is listed once, and again where files were merged meanwhile.

    A merged file of a bucket is fetched for the first piece that is read, and stays until `close`.

    Args:
        root, pipeline, kind, day: which.
    """

    def __init__(self, root: str, pipeline: str, kind: Kind, day: str) -> None:
        self._at, self._kind = (root, pipeline, day), kind
        self._plan: dict[str, set[str] | None] | None = None
        self._fetched, self._open = dict[str, Path](), ExitStack()
        self.pieces: list[Piece] = again_if_moved(self._listed)
        """Oldest first."""

    def rows(self, piece: Piece) -> "pl.DataFrame":
        """All rows of a piece, in the order of its segments, whether they are merged or not.

        Raises:
            PredictionLogError: a segment is damaged, or gone.
        """

        def read() -> "pl.DataFrame":
            try:
                return self._read(piece)
            except FileNotFoundError:
                self.close()
                self._files, self._plan = self._listing(), None
                raise

        try:
            return again_if_moved(read)
        except FileNotFoundError as error:
            raise PredictionLogError(
                f"prediction log of {self._at[1]}, {piece.day}", found=str(error), expected="all of its segments",
                cure="if somebody removed files just now: look again; what they held is lost",
            ) from error  # fmt: skip

    def close(self) -> None:
        """Remove what was fetched."""
        self._fetched.clear()
        self._open.close()

    def _at_hand(self, name: str) -> Path:
        if name not in self._fetched:
            [self._fetched[name]] = self._open.enter_context(at_hand(*self._at, [name]))
        return self._fetched[name]

    def _listing(self) -> tuple[list[str], list[str]]:
        return _files(*self._at, self._kind)

    def _listed(self) -> list[Piece]:
        self._files = segments, merged = self._listing()
        if merged and not segments:
            return list(_pieces_of_merged(*self._at, self._kind, tuple(merged)))
        inside = [name for names in held(*self._at, merged).values() for name in names]
        return pieces_of(self._kind, self._at[2], [*segments, *inside])

    def _read(self, piece: Piece) -> "pl.DataFrame":
        import polars as pl

        from ml_assets.core.prediction_log import SCHEMA

        if self._plan is None:
            self._plan = _plan(*self._at, *self._files)

        def ours(rows: "pl.LazyFrame") -> "pl.LazyFrame":
            inside = pl.col(SEGMENT).is_between(pl.lit(piece.first), pl.lit(piece.last))
            return rows.select(*SCHEMA.names(), SEGMENT).filter(inside)

        merged = {name: taken for name, taken in self._plan.items() if name.endswith(MERGED)}
        single = {name: None for name in self._plan if name not in merged and piece.first <= name <= piece.last}
        frames = list(_rows(*self._at, single, ours))
        if merged:
            paths = [self._at_hand(name) for name in merged]
            frames.append(collected(ours(pl.concat(scans(paths, list(merged.values())))), paths))
        found = pl.concat([SCHEMA.to_frame().with_columns(pl.lit("").alias(SEGMENT)), *frames])
        if found.height != piece.rows:
            raise FileNotFoundError(f"{found.height:,} of {piece.rows:,} rows from {piece.first} on")
        return found.with_columns(pl.col(SEGMENT).rank("dense")).sort(SEGMENT, maintain_order=True).drop(SEGMENT)


@lru_cache(MERGED_DAYS_REMEMBERED)
def _pieces_of_merged(root: str, pipeline: str, day: str, kind: Kind, merged: tuple[str, ...]) -> tuple[Piece, ...]:
    """The pieces of a day that is merged; what a file of a name holds never changes."""
    return tuple(pieces_of(kind, day, [name for names in held(root, pipeline, day, merged).values() for name in names]))


def _read(
    root: str, pipeline: str, kind: Kind, day: str, where: "pl.Expr | None", may_hold: Wanted, without: Sequence[str]
) -> "Iterator[pl.DataFrame]":
    import polars as pl

    from ml_assets.core.prediction_log import SCHEMA, TIMED

    def asked(rows: "pl.LazyFrame") -> "pl.LazyFrame":
        # They are no answers, and mean nothing but to a rollout, which reads the log in pieces.
        rows = rows.select(SCHEMA.names()).filter(pl.col("role") != TIMED)
        return (rows if where is None else rows.filter(where)).drop(without)

    plan = _plan(root, pipeline, day, *_files(root, pipeline, day, kind))
    wanted = {name: taken for name, taken in plan.items() if (of := Segment.read(name)) is not None and may_hold(of)}
    yield from _rows(root, pipeline, day, wanted, asked)


def _files(root: str, pipeline: str, day: str, kind: Kind) -> tuple[list[str], list[str]]:
    """Names of the segments, and of the merged files, of a day."""
    # In this order: a segment that was removed before the first look is in a merged file of the second one.
    first, second = (names(root, pipeline, day) for _ in range(2))
    return [n for n in first if is_of(n, kind, merged=False)], [n for n in second if is_of(n, kind, merged=True)]


def _plan(
    root: str, pipeline: str, day: str, segments: Sequence[str], merged: Sequence[str]
) -> dict[str, set[str] | None]:
    """File -> the segments whose rows are taken from it; None: all."""
    if len(merged) == 1 and not segments:
        return {merged[0]: None}
    return reading_plan(segments, held(root, pipeline, day, merged))


def _rows(
    root: str, pipeline: str, day: str, plan: Mapping[str, set[str] | None],
    asked: "Callable[[pl.LazyFrame], pl.LazyFrame]",
) -> "Iterator[pl.DataFrame]":  # fmt: skip
    import polars as pl

    wanted = list(plan)
    for start in range(0, len(wanted), FILES_AT_ONCE):
        some = wanted[start : start + FILES_AT_ONCE]
        with at_hand(root, pipeline, day, some) as paths:
            yield collected(asked(pl.concat(scans(paths, [plan[name] for name in some]))), paths)


def held(root: str, pipeline: str, day: str, merged: Sequence[str]) -> dict[str, list[str]]:
    """Merged file -> the segments it holds."""
    import polars as pl

    with at_hand(root, pipeline, day, merged) as paths:
        columns = (collected(pl.scan_parquet(path).select(pl.col(SEGMENT).unique()), [path]) for path in paths)
        return {name: column[SEGMENT].to_list() for name, column in zip(merged, columns, strict=True)}


def again_if_moved(read: Callable[[], T]) -> T:
    """Read, and once more where a file was meanwhile merged into another one."""
    for _ in range(ATTEMPTS - 1):
        try:
            return read()
        except FileNotFoundError:
            continue
    return read()


def scans(paths: Sequence[Path], taken: Sequence[set[str] | None]) -> "list[pl.LazyFrame]":
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


def collected(rows: "pl.LazyFrame", paths: Sequence[Path]) -> "pl.DataFrame":
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
