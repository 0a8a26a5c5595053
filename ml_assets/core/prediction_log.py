"""What a server remembers of each answer: the entries of the prediction log, and their exact form as a table.

Features stand in one column of MessagePack, so that bundles with different features lie side by side and every value
comes back as it was given: floats to the bit, whole numbers of any size, text, null. How segments are named and merged
is in `log_segments`, what a partition's requests look like to people in `served`; who writes is in `serving`.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
import polars as pl

from ml_assets.core.log_segments import microseconds

ANSWERED, SHADOW, FAILED, LABEL, TIMED = "answered", "shadow", "failed", "label", "timed"
"""Roles: the answer that the client got; one that only was computed; none, but an error; what turned out to be true;
and how long who answered takes where shadows are scored, so that their latencies have something to be compared with."""

SCHEMA = pl.Schema(
    {
        "request_id": pl.String(),
        "row": pl.UInt32(),
        "at": pl.Datetime("us"),
        "event_at": pl.Datetime("us"),
        "unit": pl.String(),
        "variant": pl.String(),
        "role": pl.String(),
        "bundle": pl.String(),
        "values": pl.Binary(),
        "key": pl.Binary(),
        "prediction": pl.List(pl.Float64()),
        "latency_us": pl.Int64(),
        "error": pl.String(),
        "feature_age_s": pl.Float64(),
    }
)
"""Columns of a segment, times in UTC: as `Entry` has them, `values` and `key` packed."""

_DIGITS = 1
"""MessagePack extension of a whole number beyond 64 bits: its digits."""


class Entry(NamedTuple):
    """One row of a request, or what turned out to be true of one.

    Args:
        request_id: of the request; not unique where clients send the same one again.
        row: place in the request, from 0.
        at_us: when it was answered, or the label came in: microseconds since 1970, UTC.
        unit: what sticks to an arm; empty where the request id does.
        variant: name of the arm.
        role: `answered`, `shadow`, `failed`, `label` or `timed`; of the last, a rollout's looks alone take notice.
        bundle: SHA-256 of who answered; empty of a label.
        values: the features as used, in the bundle's order, before encoding; None of a label and of what failed sooner.
        prediction: a number, or one per class; the value itself of a label; None of what failed.
        latency_us: microseconds it took to score; of `shadow` and `timed`, whose process gives way to requests, of CPU
            time; of `timed`, a row's.
        error: what went wrong.
        feature_age_s: how old the newest history was that the features saw, in seconds.
        key: values of the natural key, in the order of `serving.key`; None where the protocol does not bring it.
        event_us: when the event happens, or the label became known, in the table's own clock: microseconds since
            1970; None: `at_us`.
    """

    request_id: str
    row: int
    at_us: int
    unit: str
    variant: str
    role: str
    bundle: str
    values: tuple[Any, ...] | None
    prediction: float | Sequence[float] | None
    latency_us: int
    error: str | None
    feature_age_s: float | None
    key: tuple[Any, ...] | None = None
    event_us: int | None = None


def told_of(
    records: Sequence[Mapping[str, Any]], key: Sequence[str], event_time: str
) -> tuple[list[tuple[Any, ...] | None], list[int | None]]:
    """The natural key and the event's time of each record of named fields, for the log.

    Args:
        records: fields that were found valid; times are ISO 8601 text, or times.
        key: fields of the natural key; none: there are no keys.
        event_time: the field that says when the event happens; where a record lacks it, nobody says.

    Returns:
        Keys, None where a record lacks one of the fields; and microseconds since 1970.

    >>> told_of([{"at": "1970-01-01T00:00:01", "zone": 7}, {"zone": 8}], ("at", "zone"), "at")
    ([('1970-01-01T00:00:01', 7), None], [1000000, None])
    """
    keys = [tuple(r[name] for name in key) if key and r.keys() >= set(key) else None for r in records]
    return keys, [_event_us(r.get(event_time)) for r in records]


def _event_us(at: Any) -> int | None:
    if isinstance(at, str):
        try:
            at = datetime.fromisoformat(at)
        except ValueError:
            return None
    # As everywhere: a time with a zone keeps its wall clock.
    return microseconds(at.replace(tzinfo=None)) if isinstance(at, datetime) else None


def frame_of(entries: Sequence[Entry]) -> pl.DataFrame:
    """Entries as a table of `SCHEMA`, in their order.

    Raises:
        TypeError, ValueError, OverflowError, PolarsError: an entry holds what no column can.
    """
    if not entries:
        return SCHEMA.to_frame()
    ids, rows, at, units, variants, roles, bundles, values, predictions, latencies, errors, ages, keys, events = zip(
        *entries, strict=True
    )
    columns = {
        "request_id": ids, "row": rows, "at": at, "event_at": events, "unit": units, "variant": variants,
        "role": roles, "bundle": bundles, "values": [packed(v) for v in values], "key": [packed(k) for k in keys],
        "latency_us": latencies, "error": errors, "feature_age_s": ages,
    }  # fmt: skip
    made = {"prediction": _lists(predictions).alias("prediction")}
    for name, told in columns.items():
        dtype = SCHEMA[name]
        # As integers first: Python's way into a time is slow. Not as one table: that costs a millisecond.
        is_time = isinstance(dtype, pl.Datetime)
        series = pl.Series(name, told, pl.Int64() if is_time else dtype)
        made[name] = series.cast(dtype) if is_time else series
    return pl.DataFrame([made[name] for name in SCHEMA])


def fit_for_a_table(entries: Iterable[Entry]) -> tuple[list[Entry], list[tuple[Entry, str]]]:
    """Entries that `frame_of` takes, and the others, each with what is wrong with it."""
    good, bad = [], []
    for entry in entries:
        try:
            frame_of([entry])
        except (TypeError, ValueError, OverflowError, pl.exceptions.PolarsError) as e:
            bad.append((entry, str(e).splitlines()[0] if str(e) else type(e).__name__))
        else:
            good.append(entry)
    return good, bad


def _lists(predictions: Sequence[float | Sequence[float] | None]) -> pl.Series:
    """A list per row. Polars takes 20 microseconds for each that Python gives it, and none for a matrix."""
    listed = [(p,) if isinstance(p, float | int) else p for p in predictions]
    widths = {len(p) for p in listed if p is not None}
    if len(widths) != 1:
        return pl.Series(listed, dtype=SCHEMA["prediction"])
    [width] = widths
    missing = (None,) * width
    flat = pl.Series([x for p in listed for x in (missing if p is None else p)], dtype=pl.Float64)
    made = flat.reshape((len(listed), width)).arr.to_list()
    if None not in listed:
        return made
    there = pl.Series([p is not None for p in listed])
    return pl.select(pl.when(there).then(made)).to_series()


def packed(values: tuple[Any, ...] | None) -> bytes | None:
    """Values as MessagePack: None, bool, int, float and str come back as they were, of the same type.

    >>> unpacked(packed((0.1, 10**30, "a", None, True, float("-inf"))))
    (0.1, 1000000000000000000000000000000, 'a', None, True, -inf)
    """
    if values is None:
        return None
    try:
        return _ENCODER.encode(values)
    except OverflowError:
        return _ENCODER.encode(tuple(_within_64_bits(v) for v in values))


def unpacked(content: bytes | None) -> tuple[Any, ...] | None:
    """What `packed` was given."""
    if content is None:
        return None
    values: tuple[Any, ...] = _DECODER.decode(content)
    return values


def _within_64_bits(value: Any) -> Any:
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        return msgspec.msgpack.Ext(_DIGITS, str(value).encode())
    return value


def _extension(code: int, content: memoryview) -> Any:
    if code != _DIGITS:
        raise ValueError(f"extension {code} of a packed value, which this version does not write")
    return int(bytes(content))


def _plain(value: Any) -> Any:
    """NumPy's scalars as Python's."""
    if hasattr(value, "item"):
        return value.item()
    raise TypeError(f"a value of type {type(value).__name__}; expected None, bool, int, float or str")


_ENCODER = msgspec.msgpack.Encoder(enc_hook=_plain)
_DECODER = msgspec.msgpack.Decoder(tuple, ext_hook=_extension)


def event_time() -> pl.Expr:
    """When the row's event happened, in the table's own clock; where nobody said, when it was answered."""
    return pl.coalesce("event_at", "at")


def is_outcome() -> pl.Expr:
    """Whether a row is what became of a request: an answer, or a failure."""
    return pl.col("role").is_in([ANSWERED, FAILED])


def joined_by_request(requests: pl.DataFrame, labels: pl.DataFrame) -> pl.DataFrame:
    """Requests with `label` and `label_known_at`, null where none came in; of several for one row, the newest counts.

    Args:
        requests: rows of the log, in any roles but `label`.
        labels: rows of role `label`; they name request and row.
    """
    newest = labels.sort("at", maintain_order=True).unique(["request_id", "row"], keep="last", maintain_order=True)
    told = newest.select(
        "request_id", "row", pl.col("prediction").list.first().alias("label"), event_time().alias("label_known_at")
    )
    return requests.join(told, on=["request_id", "row"], how="left", maintain_order="left")
