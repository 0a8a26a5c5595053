"""What turned out to be true: `POST /labels/{pipeline}` with a list of labels, each of one row of a request.

A label is answered for when it is on disk. Sent again it does no harm: of several for one row the newest counts. How
labels find their requests is in `core.prediction_log`; labels that come with the table's rows need none of this.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from math import isfinite
from typing import Annotated, Any

import msgspec

from ml_assets.core.errors import InputRefused, NotReady, NotServed, RequestRefused, TooLarge
from ml_assets.core.log_segments import microseconds
from ml_assets.core.prediction_log import LABEL, Entry
from ml_assets.serving.data_plane import DataPlane
from ml_assets.serving.http import Call, Exposed, Reply
from ml_assets.serving.openapi import Described
from ml_assets.serving.openapi_parts import Schema, operation, reference
from ml_assets.serving.prediction_log import PredictionLog
from ml_assets.serving.protocols.malformed import decode

PROTOCOL = "labels"
MOST_MISTAKES = 20
MOST_WAITED_SECONDS = 5.0
"""For a disk; meanwhile labels hold a thread, of which there are few."""
_LAST_ROW = 2**32 - 1


class LabelsNotKept(RequestRefused):
    """The labels could not be written."""

    status = 503


class Label(msgspec.Struct, forbid_unknown_fields=True):
    """One label.

    Attributes:
        request_id: of the request whose row it is of.
        label: the true value: a number, yes or no, or the name of a class.
        known_at: when it became known, in the table's own clock; absent: now, in UTC.
        row: place of the row in the request.
    """

    request_id: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    label: bool | float | str
    known_at: datetime | None = None
    row: Annotated[int, msgspec.Meta(ge=0, le=_LAST_ROW)] = 0


class Accepted(msgspec.Struct):
    """The answer: how many labels are on disk."""

    accepted: int


_REQUEST = msgspec.json.Decoder(list[Label])
_ENCODER = msgspec.json.Encoder()


def exposed(logs: Mapping[str, PredictionLog]) -> tuple[Exposed, ...]:
    """The path, for pipelines with a log."""

    async def deliver(call: Call) -> Reply:
        """`POST /labels/{pipeline}`: labels become entries of the log."""
        pipeline = call.path["pipeline"]
        if pipeline not in logs:
            raise NotServed(
                f"pipeline {pipeline[:100]!r}", found=f"a server of {', '.join(logs)}", expected="one of these",
                cure="correct the name, or start the server with --pipeline of that name",
            )  # fmt: skip
        told = decode(_REQUEST, await call.body())
        if len(told) > call.limits.rows:
            raise TooLarge(
                "labels", found=f"{len(told):,}", expected=f"at most {call.limits.rows:,} in one request",
                cure="send them in several requests",
            )  # fmt: skip
        entries = entries_of(told, call.plane.model(pipeline).bundle.facts, time.time_ns() // 1000)
        await asyncio.to_thread(write, logs[pipeline], entries)
        return Reply(_ENCODER.encode(Accepted(len(entries))))

    return (Exposed("POST", "/labels/{pipeline}", deliver, PROTOCOL),)


def entries_of(told: Sequence[Label], facts: Mapping[str, Any], at_us: int) -> list[Entry]:
    """Labels as entries of the log.

    Args:
        told: what the client said.
        facts: of the live bundle, whose `task` and `classes` say what a label is.
        at_us: now, microseconds since 1970 in UTC.

    Raises:
        InputRefused: a label is none of this pipeline's, or lies too far from now for a clock; lists the first ones.
    """
    entries, wrong = [], []
    for place, one in enumerate(told):
        value = number_of(one.label, facts["task"], facts.get("classes"))
        if value is None:
            wrong.append(f"label {place}: {one.label!r:.60}")
            continue
        # As everywhere: a time with a zone keeps its wall clock.
        known_us = None if one.known_at is None else microseconds(one.known_at.replace(tzinfo=None))
        entries.append(
            Entry(one.request_id, one.row, at_us, "", "", LABEL, "", None, value, 0, None, None, None, known_us)
        )
    if wrong:
        more = [f"and {len(wrong) - MOST_MISTAKES} more"] if len(wrong) > MOST_MISTAKES else []
        raise InputRefused(
            "labels", found=[*wrong[:MOST_MISTAKES], *more],
            expected=_expected(facts), cure="correct these; none of the others was kept, send them again too",
        )  # fmt: skip
    return entries


def number_of(label: bool | float | str, task: str, classes: Sequence[str] | None) -> float | None:
    """A label as training data have it; None where it is none of the task's.

    >>> number_of("high", "multiclass", ["low", "middle", "high"]), number_of(True, "binary", None)
    (2.0, 1.0)
    """
    if task == "regression":
        is_number = not isinstance(label, bool | str) and isfinite(label)
        return float(label) if is_number else None
    names = list(classes or ["false", "true"])
    if isinstance(label, str):
        return float(names.index(label)) if label in names else None
    is_one = label in range(len(names)) and (task == "binary" or not isinstance(label, bool))
    return float(label) if is_one else None


def _expected(facts: Mapping[str, Any]) -> str:
    if facts["task"] == "regression":
        return "finite numbers"
    names = list(facts.get("classes") or ["false", "true"])
    return f"one of {', '.join(names)}, or its place among them from 0"


def write(log: PredictionLog, entries: Sequence[Entry]) -> None:
    """Write labels, and wait until they are on disk; those of requests that wait meanwhile are written together.

    Raises:
        LabelsNotKept: the disk refuses them, or too many wait.
    """
    kept = [log.append(entry) for entry in entries]
    if not log.flush(MOST_WAITED_SECONDS) or log.refusing or not all(kept):
        raise LabelsNotKept(
            "labels", found="a log that can't be written just now", expected="labels on disk",
            cure="send all of them again later; of several labels for one row the newest counts",
        )  # fmt: skip


def described(plane: DataPlane) -> Described:
    """The path's part of the OpenAPI description."""
    label: Schema = {
        "type": "object",
        "properties": {
            "request_id": {"type": "string", "minLength": 1, "maxLength": 200},
            "label": _values(plane),
            "known_at": {"type": ["string", "null"], "format": "date-time"},
            "row": {"type": "integer", "minimum": 0, "maximum": _LAST_ROW},
        },
        "required": ["request_id", "label"],
        "additionalProperties": False,
    }
    name = {"type": "string", "enum": list(plane.pipelines)}
    deliver = operation(
        "What turned out to be true of requests",
        {"type": "object", "properties": {"accepted": {"type": "integer"}}, "required": ["accepted"]},
        body={"type": "array", "items": label},
        error=reference("Refusal"),
        refused=(400, 404, 408, 413, 503),
        parameters=[{"name": "pipeline", "in": "path", "required": True, "schema": name}],
    )
    del deliver["responses"]["200"]["headers"]
    return Described({"/labels/{pipeline}": {"post": deliver}}, {})


def _values(plane: DataPlane) -> Schema:
    """What a label may be, of the pipelines whose model is loaded."""
    ways: list[Schema] = []
    for pipeline in plane.pipelines:
        try:
            facts = plane.model(pipeline).bundle.facts
        except NotReady:
            continue
        names = list(facts.get("classes") or ["false", "true"])
        places = [*range(len(names)), *([False, True] if len(names) == 2 else [])]
        way = {"type": "number"} if facts["task"] == "regression" else {"enum": [*names, *places]}
        ways += [way] if way not in ways else []
    return ways[0] if len(ways) == 1 else {"anyOf": ways} if ways else {}
