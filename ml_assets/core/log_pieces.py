"""A day of the prediction log cut into pieces that can be read one after the other, each in bounded memory.

A piece is told by the segments that its rows are from, whichever files they are in by now; so it stays the same when a
day is merged. How segments are named is in `log_segments`.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from ml_assets.core.log_segments import Kind, first_at_of, rows_of

HOUR_US = 3_600_000_000
MOST_ROWS = 200_000
"""Of a piece of more than one segment."""


@dataclass(frozen=True)
class Piece:
    """Segments of a kind that follow each other in the order of their names.

    Args:
        kind: `requests` or `labels`.
        day: the folder.
        hour: in which they begin, hours since 1970.
        first, last: names of the first and the last of them.
        rows: of all of them.
        digest: SHA-256 of all names.
    """

    kind: Kind
    day: str
    hour: int
    first: str
    last: str
    rows: int
    digest: str


def pieces_of(kind: Kind, day: str, names: Iterable[str], *, most_rows: int = MOST_ROWS) -> list[Piece]:
    """The pieces of a day, oldest first.

    No piece goes on from one hour to the next: a segment that arrives late changes pieces of its own hour only, and one
    that is added at the end only the last piece.

    Args:
        kind: what the segments are.
        day: their folder.
        names: of the segments of this kind, merged or not by now, in any order.
        most_rows: of a piece of more than one segment.
    """
    told, run, hour, rows = list[Piece](), list[str](), 0, 0
    for name in sorted(set(names)):
        its_hour, its_rows = first_at_of(name) // HOUR_US, rows_of(name)
        if run and (hour != its_hour or rows + its_rows > most_rows):
            told.append(_piece(kind, day, hour, rows, run))
            run, rows = [], 0
        run.append(name)
        hour, rows = its_hour, rows + its_rows
    return [*told, _piece(kind, day, hour, rows, run)] if run else told


def _piece(kind: Kind, day: str, hour: int, rows: int, run: list[str]) -> Piece:
    return Piece(kind, day, hour, run[0], run[-1], rows, hashlib.sha256("\n".join(run).encode()).hexdigest())
