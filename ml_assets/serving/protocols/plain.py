"""Raw fields in, predictions out: `POST /predict/{pipeline}` with an object, or a list of objects, of named fields.

Fields are those of the table, held to the rules that its training data keep; features are computed of them here, so
that a client knows nothing of the model. What a field must be, and how it becomes features, is in `core`; how the
paths are described is in `plain_described`.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec

from ml_assets.core.errors import FieldsRefused, InputRefused, NotReady, NotServed, RequestRefused, TooLarge
from ml_assets.core.online_features import Online, OnlineFeatures, Refused
from ml_assets.core.prediction_log import told_of
from ml_assets.core.raw_fields import RawFields
from ml_assets.serving.data_plane import DataPlane
from ml_assets.serving.history_snapshot import HistoryKeeper
from ml_assets.serving.http import Call, Exposed, Reply, answered, refusal
from ml_assets.serving.metrics import Metrics
from ml_assets.serving.picture import Picture

PROTOCOL = "plain"
RECORDS = 1_000
"""Most records of one request: each is judged as if it were alone."""

FIELDS = 200
"""Most fields of a record; each one too many is told, so their number is bounded."""

TOLD = 500
"""Faults that are told one by one; of more, their number is."""

_ENCODER = msgspec.json.Encoder()


class Prediction(msgspec.Struct):
    """The answer to one object.

    Attributes:
        prediction: a number, of a multiclass model one for each class.
        pipeline, model_version, variant, request_id: as of `data_plane.Answer`.
        feature_age_s: seconds from the newest earlier row that the features could use until the event; None where no
            feature looks back, or nothing is known.
    """

    prediction: float | list[float]
    pipeline: str
    model_version: str
    variant: str
    request_id: str
    feature_age_s: float | None


class Predictions(msgspec.Struct):
    """The answer to a list of objects, in their order; the rest as of `Prediction`, the oldest age of all."""

    predictions: list[float] | list[list[float]]
    pipeline: str
    model_version: str
    variant: str
    request_id: str
    feature_age_s: float | None


class Wanted(NamedTuple):
    """The features that a pipeline's loaded models read, of those that requests give."""

    picture: Picture
    names: tuple[str, ...]


@dataclass(eq=False)
class Plain:
    """The protocol, for the pipelines whose raw fields are known.

    Args:
        fields: pipeline -> what its requests depend on.
        history: pipeline -> who keeps the rows that its features look back on.
    """

    fields: Mapping[str, RawFields]
    history: Mapping[str, HistoryKeeper]
    _wanted: dict[str, Wanted] = field(default_factory=dict, init=False)

    def start(self) -> None:
        """Prepare everything that a first request would wait for, and follow the store."""
        for pipeline, fields in self.fields.items():
            fields.online  # noqa: B018 - made once
            self.history[pipeline].start()

    def close(self) -> None:
        """Stop following the store."""
        for keeper in self.history.values():
            keeper.close()

    def tell(self, metrics: Metrics) -> None:
        """What is known of earlier rows, as gauges."""
        for pipeline, keeper in self.history.items():
            rows = keeper.snapshot.rows if keeper.snapshot is not None else 0
            metrics.history_rows.labels(pipeline).set(rows)
            metrics.history_failures.labels(pipeline).set(keeper.failures)

    @property
    def exposed(self) -> tuple[Exposed, ...]:
        """Its paths."""
        return (Exposed("POST", "/predict/{pipeline}", self.predict, PROTOCOL, told, at_once=True),)

    async def predict(self, call: Call) -> Reply:
        """`POST /predict/{pipeline}`: the prediction of an object, or of each of a list of objects."""
        pipeline = call.path["pipeline"]
        fields = self._fields_of(pipeline)
        given = await call.json()
        records = given if isinstance(given, list) else [given]
        _require_size(records)
        wanted = self._wanted_of(call.plane, pipeline)
        snapshot = self.history[pipeline].snapshot
        if len(records) <= call.limits.rows_at_once:
            found = fields.online.read(records, snapshot)
        else:
            call.require_time()
            found = await asyncio.to_thread(fields.online.read, records, snapshot)
        if isinstance(found, Refused):
            raise _refused(found, pipeline, fields.online)
        age = _oldest(found)
        keys, events_us = told_of(records, fields.key, fields.event_time)
        answer = await call.infer(
            pipeline,
            {name: found.columns[name] for name in wanted.names},
            len(records),
            unit=fields.unit_of(records) if call.header(b"x-unit-id") is None else None,
            features_at=None if age is None else time.time() - age,
            keys=keys,
            events_us=events_us,
        )
        more = (answer.pipeline, answer.version, answer.variant, answer.request_id, age)
        if given is records:
            return answered(answer, _ENCODER.encode(Predictions(answer.predictions, *more)))
        return answered(answer, _ENCODER.encode(Prediction(answer.predictions[0], *more)))

    def _fields_of(self, pipeline: str) -> RawFields:
        fields = self.fields.get(pipeline)
        if fields is None:
            raise NotServed(
                f"pipeline {pipeline[:100]!r}",
                found=f"a server of {', '.join(self.fields)}",
                expected="one of these",
                cure="correct the name, or start the server with --pipeline of that name",
            )
        return fields

    def _wanted_of(self, plane: DataPlane, pipeline: str) -> Wanted:
        picture = plane.picture(pipeline)
        wanted = self._wanted.get(pipeline)
        if wanted is None or wanted.picture is not picture:
            given = self.fields[pipeline].online.names
            wanted = Wanted(picture, tuple(name for name in given if name in picture.known))
            missing = [s.name for s in picture.champion.specs if s.name not in given]
            if missing:
                raise NotReady(
                    f"features of {pipeline}",
                    found=[f"the live model reads {name}, which features.py does not declare" for name in missing],
                    expected="a features.py that declares what the model has learnt from",
                    cure="start the server with the features.py of the model, or send features, not fields (/v2)",
                )
            self._wanted[pipeline] = wanted
        return wanted


def told(error: RequestRefused) -> bytes:
    """A refusal, with every fault where fields are at fault."""
    if not isinstance(error, FieldsRefused):
        return refusal(error)
    told = msgspec.json.decode(refusal(error))
    return msgspec.json.encode({**told, "faults": error.faults, "faults_in_all": error.count})


def _require_size(records: Sequence[Any]) -> None:
    if not records:
        raise InputRefused("body", found="no record", expected="an object, or a list of them", cure="send one")
    if len(records) > RECORDS:
        raise TooLarge(
            "records to score", found=f"{len(records):,}", expected=f"at most {RECORDS:,} in one request",
            cure="send them in several requests, or score a partition as a batch",
        )  # fmt: skip
    widest = max((len(record) for record in records if isinstance(record, dict)), default=0)
    if widest > FIELDS:
        raise TooLarge(
            "record to score", found=f"{widest:,} fields", expected=f"at most {FIELDS}",
            cure="send the fields that /docs names",
        )  # fmt: skip


def _refused(found: Refused, pipeline: str, online: OnlineFeatures) -> FieldsRefused:
    faults = [
        {"record": i, "rule": f.rule, "field": f.column, "found": f.found, "expected": f.expected}
        for i, of in enumerate(found.faults)
        for f in of
    ]
    return FieldsRefused(
        f"fields of a request to {pipeline}",
        faults=faults[:TOLD],
        count=len(faults),
        expected=f"the fields {', '.join(c.name for c in online.rules.fields)}, as their table's contract says",
        cure="correct the fields that `faults` lists; GET /docs says what they are",
    )


def _oldest(found: Online) -> float | None:
    return max((age for age in found.ages if age is not None), default=None)
