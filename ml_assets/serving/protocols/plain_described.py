"""The plain protocol's part of the OpenAPI description: each pipeline's fields; its paths are answered in `plain`.

A path is described for each pipeline, since each has fields of its own.
"""

from collections.abc import Callable, Mapping

from ml_assets.core.raw_fields import RawFields
from ml_assets.core.request_schema import record_schema
from ml_assets.serving.data_plane import DataPlane
from ml_assets.serving.openapi import Described
from ml_assets.serving.openapi_parts import REFUSAL, TOKEN, Schema, id_parameters, operation, reference
from ml_assets.serving.protocols.plain import RECORDS

_TEXT: Schema = {"type": "string"}
_SCORE: Schema = {"anyOf": [{"type": "number"}, {"type": "array", "items": {"type": "number"}}]}
_AGE: Schema = {
    "type": ["number", "null"],
    "description": "seconds from the newest earlier row that the features could use until the event",
}
_FAULT: Schema = {
    "type": "object",
    "properties": {
        "record": {"type": "integer", "description": "which object of the list, from 0"},
        "rule": {**_TEXT, "description": "the rule it breaks, as in the table's dictionary"},
        "field": _TEXT,
        "found": _TEXT,
        "expected": _TEXT,
    },
    "required": ["record", "rule", "field", "found", "expected"],
}
SCHEMAS: dict[str, Schema] = {
    "FieldsRefusal": {
        **REFUSAL,
        "properties": {
            **REFUSAL["properties"],
            "faults": {"type": "array", "items": _FAULT},
            "faults_in_all": {"type": "integer"},
        },
    }
}


def described(fields: Mapping[str, RawFields]) -> Callable[[DataPlane], Described]:
    """What the protocol says of its paths; made once, since fields do not change while a server runs."""
    schemas = SCHEMAS | {f"{name}_record": record_schema(one.online.rules) for name, one in fields.items()}
    schemas |= {f"{name}_answer": _answer(one) for name, one in fields.items()}
    said = Described({f"/predict/{name}": {"post": _predict(one)} for name, one in fields.items()}, schemas)
    return lambda _: said


def _predict(fields: RawFields) -> Schema:
    record = reference(f"{fields.pipeline}_record")
    variant = {"name": "X-Variant", "in": "header", "required": False, "schema": TOKEN,
               "description": "the arm of the rollout that is to answer, for tests"}  # fmt: skip
    return operation(
        f"Predictions of {fields.pipeline} from the fields of the table {fields.table}",
        reference(f"{fields.pipeline}_answer"),
        body={"anyOf": [record, {"type": "array", "items": record, "minItems": 1, "maxItems": RECORDS}]},
        error=reference("FieldsRefusal"),
        refused=(400, 404, 408, 413, 422, 503),
        parameters=[*id_parameters(), variant],
    )


def _answer(fields: RawFields) -> Schema:
    more = {
        "pipeline": {"const": fields.pipeline},
        "model_version": {**_TEXT, "description": "SHA-256 of the bundle that answered"},
        "variant": {**_TEXT, "description": "the arm of the rollout that answered"},
        "request_id": _TEXT,
        "feature_age_s": _AGE,
    }
    one = {"prediction": {**_SCORE, "description": fields.answer}, **more}
    several = {"predictions": {"type": "array", "items": _SCORE, "description": fields.answer}, **more}
    return {
        "anyOf": [
            {"type": "object", "properties": properties, "required": list(properties)} for properties in (one, several)
        ]
    }
