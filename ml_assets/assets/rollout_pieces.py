"""The prediction log of a rollout, read piece by piece: what was read at an earlier look is not read again.

What is counted, and which requests are compared, is in `core.rollout.pieces`; what is seen by it, in `rollout_log`.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ml_assets.core.log_pieces import HOUR_US, Piece
from ml_assets.core.log_segments import KINDS, Kind
from ml_assets.core.rollout.recorded import Rollout
from ml_assets.resources.log_reading import PiecesOfADay
from ml_assets.resources.prediction_log import PredictionLogs
from ml_assets.resources.read_pieces import ReadPieces, pieces_read

if TYPE_CHECKING:
    import polars as pl

    from ml_assets.core.rollout.observed import Seen
    from ml_assets.core.rollout.pieces import Counts

FORMAT = 1
"""Of what is kept; to be raised when a piece is counted or drawn otherwise."""
COLUMNS = ("request_id", "row", "at", "event_at", "variant", "role", "bundle", "prediction")
"""What is kept of every row that is compared."""
LABEL_COLUMNS = ("request_id", "row", "at", "event_at", "prediction")
LABELS_EARLIER_HOURS = 1
"""How much earlier than its request's segment a label's may begin: either waits for a disk that is slow."""


@dataclass(frozen=True)
class _Requests:
    piece: Piece
    key: str
    counts: "Counts"
    rows: Path


@dataclass(frozen=True)
class Read:
    """What was read of a rollout.

    Args:
        counts: of champion and candidate in each period, of all requests.
        requests, labels: files with rows of the requests that are compared, in the order of the log, and their labels.
    """

    counts: "list[tuple[Seen, Seen]]"
    requests: list[Path]
    labels: list[Path]

    def rows(self, columns: Sequence[str]) -> "pl.LazyFrame":
        """The requests that are compared, in all roles."""
        return _scan(self.requests, columns)

    def known(self) -> "pl.DataFrame":
        """The labels of these requests that were delivered by request id."""
        return _scan(self.labels, LABEL_COLUMNS).collect()


@contextmanager
def reading(
    name: str, rollout: Rollout, logs: PredictionLogs, *, compared: int, more: Sequence[str] = ()
) -> Iterator[Read]:
    """Read the log of a rollout.

    Args:
        name: of the pipeline.
        rollout: whose.
        logs: the log, and where what was read is kept.
        compared: requests of which all are compared; of more, ever fewer.
        more: columns that are kept beside `COLUMNS`.

    Raises:
        PredictionLogError: a segment is damaged.
    """
    from ml_assets.core.rollout.pieces import added_up

    with pieces_read(logs.read, name, rollout.id) as kept, ExitStack() as opened:
        asked, labelled = (_pieces(name, rollout, logs, kind, opened) for kind in KINDS)
        requests = _requests(rollout, kept, asked, compared, more)
        labels = _labels(rollout, kept, labelled, requests, max((p.hour for p, _ in [*asked, *labelled]), default=0))
        yield Read(added_up(rollout, [r.counts for r in requests]), [r.rows for r in requests], labels)


def _pieces(
    name: str, rollout: Rollout, logs: PredictionLogs, kind: Kind, opened: ExitStack
) -> list[tuple[Piece, PiecesOfADay]]:
    """The pieces of the log that may have rows of a rollout, oldest first, with the days that read them."""
    from ml_assets.core.log_segments import microseconds
    from ml_assets.core.rollout.reading import periods_of

    begun = datetime.fromisoformat(rollout.events[0].facts["at"]).astimezone(UTC)
    days = [logs.pieces(name, kind, day) for day in logs.days(name) if day >= begun.date().isoformat()]
    periods = periods_of(rollout)
    # Labels come in after its end, too.
    end = periods[-1].end if periods and kind == "requests" else None
    for day in days:
        opened.callback(day.close)
    told = [(piece, day) for day in days for piece in day.pieces]
    return [(piece, day) for piece, day in told if end is None or piece.hour * HOUR_US < microseconds(end)]


def _in_turn(pieces: Sequence[tuple[Piece, PiecesOfADay]]) -> Iterator[tuple[Piece, PiecesOfADay]]:
    """Piece by piece, each day closed after its last one."""
    for (piece, day), (_, following) in zip(pieces, [*pieces[1:], (None, None)], strict=False):
        yield piece, day
        if following is not day:
            day.close()


def _requests(
    rollout: Rollout, kept: ReadPieces, pieces: Sequence[tuple[Piece, PiecesOfADay]], compared: int, more: Sequence[str]
) -> list[_Requests]:
    from ml_assets.core.rollout.pieces import Counts, arms_since, counts_of, drawn, halvings
    from ml_assets.core.rollout.reading import periods_of

    periods, done, position = periods_of(rollout), list[_Requests](), 0
    for piece, day in _in_turn(pieces):
        halved = halvings(position, compared)
        key = _key(rollout, piece, halved, *more)
        found = kept.found(key)
        if found is not None and (counts := Counts.from_json(found[0])).fit(periods):
            path = found[1]
        else:
            rows = arms_since(rollout, day.rows(piece))
            counts = counts_of(rollout, rows)
            part = drawn(rows, halved).select(*COLUMNS, *more)
            path = kept.put(key, counts.to_json(), part, lasting=piece != pieces[-1][0])
        done.append(_Requests(piece, key, counts, path))
        position += counts.answered
    return done


def _labels(
    rollout: Rollout, kept: ReadPieces, pieces: Sequence[tuple[Piece, PiecesOfADay]], requests: Sequence[_Requests],
    newest: int,
) -> list[Path]:  # fmt: skip
    """The labels that are of requests that are compared, piece by piece."""
    import polars as pl

    paths, ids = list[Path](), dict[str, pl.Series]()
    for piece, day in _in_turn(pieces):
        last = piece.hour + LABELS_EARLIER_HOURS
        before = [r for r in requests if r.piece.hour <= last]
        key = _key(rollout, piece, *(r.key for r in before))
        found = kept.found(key)
        if found is not None:
            paths.append(found[1])
            continue
        for r in before:
            if r.key not in ids:
                ids[r.key] = _scan([r.rows], ["request_id"]).unique().collect()["request_id"]
        known = pl.concat([pl.Series("request_id", dtype=pl.String), *(ids[r.key] for r in before)]).to_frame()
        ours = day.rows(piece).select(LABEL_COLUMNS).join(known, on="request_id", how="semi", maintain_order="left")
        paths.append(kept.put(key, {}, ours, lasting=last < newest))
    return paths


def _key(rollout: Rollout, piece: Piece, *made_from: object) -> str:
    """A name for what a piece becomes that is another one whenever it could be something else."""
    import polars as pl

    begun = rollout.events[0].facts["at"]
    about = [FORMAT, pl.__version__, rollout.id, rollout.champion, rollout.candidate, begun, piece.kind, piece.digest]
    return hashlib.sha256(json.dumps([*about, *made_from]).encode()).hexdigest()


def _scan(paths: Sequence[Path], columns: Sequence[str]) -> "pl.LazyFrame":
    import polars as pl

    from ml_assets.core.prediction_log import SCHEMA

    if not paths:
        return SCHEMA.to_frame().lazy().select(columns)
    return pl.scan_parquet(list(paths)).select(columns)
