"""What a server and the process that scores beside say to each other: requests one way, counts the other.

As MessagePack and JSON with a type for each message; nothing that is received can be anything else.
"""

import struct
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from ml_assets.core.models.row_values import row_in_order
from ml_assets.core.prediction_log import packed
from ml_assets.core.routing import CANDIDATE, CHAMPION

if TYPE_CHECKING:
    from ml_assets.serving.data_plane import Served
    from ml_assets.serving.picture import ServedModel

OTHER = {CHAMPION: CANDIDATE, CANDIDATE: CHAMPION}
"""The arm of the model that scores beside what one has answered."""
_LENGTH = struct.Struct("<I")


class Beside(NamedTuple):
    """What a process is wanted for.

    Attributes:
        shadows: pipelines and the SHA-256 of bundles that score beside.
        timed: those of bundles that answer, and are timed beside as well, see `process`.
    """

    shadows: frozenset[tuple[str, str]]
    timed: frozenset[tuple[str, str]] = frozenset()


class Plan(msgspec.Struct, frozen=True):
    """What the process is for.

    Args:
        models: root of the bundles.
        local: a folder of this machine that remembers which bundles a trial has loaded.
        predictions: root of the prediction log.
        shadows, timed: as of `Beside`.
        as_json: whether its own log is JSON.
    """

    models: str
    local: str
    predictions: str
    shadows: tuple[tuple[str, str], ...]
    as_json: bool
    timed: tuple[tuple[str, str], ...] = ()


class Asked(msgspec.Struct, array_like=True, frozen=True):
    """A request that one model answered, for another to score.

    Args:
        request_id, at_us, unit, feature_age_s: as in `data_plane.Served`.
        pipeline: whose.
        bundle: SHA-256 of the model that is to score.
        variant: the arm of that model.
        names: the features that were given; None: all of the model's, in its order.
        values: of each row the values of these, packed as in the prediction log.
        keys: of each row its natural key, packed; None where nobody said.
        events_us: of each row when its event happens; None where nobody said.
        answered_by: SHA-256 of the model that answered, where it is to be timed; None: it is not.
    """

    request_id: str
    at_us: int
    unit: str
    feature_age_s: float | None
    pipeline: str
    bundle: str
    variant: str
    names: tuple[str, ...] | None
    values: tuple[bytes | None, ...]
    keys: tuple[bytes | None, ...] | None
    events_us: tuple[int | None, ...] | None
    answered_by: str | None = None


class Told(msgspec.Struct):
    """What became of a pipeline's requests since the process began.

    Args:
        scored: by the model.
        failed: that it could not score.
        waiting: entries that are not on disk yet.
        log: what became of the entries, by outcome; see `prediction_log.Counters`.
    """

    scored: int = 0
    failed: int = 0
    waiting: int = 0
    log: dict[str, int] = {}


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(Asked)
_REPORTS = msgspec.json.Decoder(dict[str, Told])


def framed(asked: Asked) -> bytes:
    """A request as bytes, its length first.

    Raises:
        UnicodeEncodeError: a text that is none.
    """
    content = _ENCODER.encode(asked)
    return _LENGTH.pack(len(content)) + content


def message_of(served: "Served", model: "ServedModel", *, timed: bool = False) -> bytes:
    """A request, as it is sent for a model to score that did not answer it.

    Args:
        served: the request.
        model: who is to score it.
        timed: whether who answered it is to be timed; then all that one needs is sent, too.

    Raises:
        TypeError, ValueError, OverflowError: it holds what the log can't hold.
    """
    names, columns, rows = model.names, served.columns, range(served.rows)
    given: tuple[str, ...] | None = None
    if names != served.model.names:
        # What only this model knows nobody has looked at yet; it says itself what it lacks.
        wanted = dict.fromkeys([*names, *(served.model.names if timed else ())])
        given = tuple(n for n in wanted if n in columns and len(columns[n]) == served.rows)
        given, names = (None, names) if given == names else (given, given)
    whole = row_in_order(columns, names)
    values = [tuple([columns[n][row] for n in names]) for row in rows] if whole is None else [tuple(whole)]
    return framed(
        Asked(
            served.request_id, served.at_us, served.unit, served.feature_age_s, served.pipeline, model.version,
            OTHER[served.variant], given, tuple(map(packed, values)),
            tuple(map(packed, served.keys)) if served.keys else None,
            tuple(served.events_us) if served.events_us else None, served.version if timed else None,
        )
    )  # fmt: skip


class Frames:
    """Requests out of bytes that come piece by piece."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def of(self, piece: bytes) -> list[Asked]:
        """The requests that are whole with this piece."""
        self._rest += piece
        found, at = [], 0
        with memoryview(self._rest) as received:
            while len(received) - at >= _LENGTH.size:
                end = at + _LENGTH.size + _LENGTH.unpack_from(received, at)[0]
                if end > len(received):
                    break
                with received[at + _LENGTH.size : end] as one:
                    found.append(_DECODER.decode(one))
                at = end
        del self._rest[:at]
        return found


def report(told: dict[str, Told]) -> bytes:
    """Counts of each pipeline as one line."""
    return msgspec.json.encode(told) + b"\n"


def reported(line: bytes) -> dict[str, Told]:
    """What `report` was given."""
    return _REPORTS.decode(line)
