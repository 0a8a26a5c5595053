"""What the protocols describe their paths with: rows and tables of the live models' features, operations, parameters.

How the parts become one description is in `openapi`.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ml_assets.core.encoding import FeatureSpec
from ml_assets.core.errors import NotReady
from ml_assets.serving.data_plane import DataPlane
from ml_assets.serving.picture import ServedModel

Schema = dict[str, Any]
TOKEN: Schema = {"type": "string", "pattern": "^[ -~]{0,200}$"}
"""A unit's or a request's id; an empty one is none."""
ID_HEADERS = ("X-Request-Id", "X-Unit-Id")
ANSWER_HEADERS = {
    "X-Request-Id": "the id under which the prediction log has this request",
    "X-Model-Version": "SHA-256 of the bundle that answered",
    "X-Variant": "the arm of the rollout that answered",
}
REFUSALS = {
    400: "The request is not of this form, or the model can't score it.",
    404: "There is no such pipeline, or no such version of its model.",
    408: "The body did not arrive in time.",
    413: "The body is too large, or has too many rows.",
    415: "The body is of a form that is not read.",
    422: "Fields do not keep the contract; every fault is listed.",
    503: "No champion is loaded.",
}

REFUSAL: Schema = {
    "type": "object",
    "properties": {
        "error": {"type": "string"},
        "thing": {"type": "string"},
        "found": {"type": "array", "items": {"type": "string"}},
        "expected": {"type": "string"},
        "cure": {"type": "string"},
    },
    "required": ["error"],
}
PREDICTION_LIST: Schema = {
    "type": "array",
    "items": {"anyOf": [{"type": "number"}, {"type": "array", "items": {"type": "number"}}]},
    "description": "one for each row: a number, of a multiclass model one for each class",
}


def reference(name: str) -> Schema:
    """A schema of `#/components/schemas`."""
    return {"$ref": f"#/components/schemas/{name}"}


def value_of(spec: FeatureSpec) -> Schema:
    """A feature's value in JSON."""
    told: Schema = {"type": ["number", "boolean", "null"] if spec.kind == "number" else ["string", "null"]}
    return told if spec.unit is None else {**told, "description": f"in {spec.unit}"}


def of_models(plane: DataPlane, schema: Callable[[Sequence[FeatureSpec]], Schema]) -> Schema:
    """A schema that depends on the features: that of any of the live models; anything, while none is loaded."""
    models = (live_model(plane, pipeline) for pipeline in plane.pipelines)
    found = [schema(model.specs) for model in models if model is not None]
    return found[0] if len(found) == 1 else {"anyOf": found} if found else {}


def example_row(specs: Sequence[FeatureSpec]) -> dict[str, Any]:
    """Values that a model can score, by name."""
    return {s.name: 1.0 if s.kind == "number" else next(iter(s.vocabulary), "") for s in specs}


def example_of(plane: DataPlane, pipeline: str, make: Callable[[Sequence[FeatureSpec]], Any]) -> Any:
    """What is made of the features of a pipeline's live model; None while none is loaded."""
    model = live_model(plane, pipeline)
    return None if model is None else make(model.specs)


def named_row(specs: Sequence[FeatureSpec]) -> Schema:
    """A row of named values."""
    properties = {s.name: value_of(s) for s in specs}
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def listed_row(specs: Sequence[FeatureSpec]) -> Schema:
    """A row of values in the model's order."""
    size = len(specs)
    return {"type": "array", "prefixItems": [value_of(s) for s in specs], "minItems": size, "maxItems": size}


def split_table(specs: Sequence[FeatureSpec]) -> Schema:
    """A table as pandas' `to_dict(orient="split")` gives it; its columns may come in any order."""
    rows = {"type": "array", "minItems": 1, "items": listed_row(specs)}
    told = {"columns": {"const": [s.name for s in specs]}, "index": {"type": ["array", "null"]}, "data": rows}
    return {"type": "object", "properties": told, "required": ["columns", "data"], "additionalProperties": False}


def columns_of_a_row(specs: Sequence[FeatureSpec]) -> Schema:
    """Columns by name; there may be more rows, as many in each column, which no schema says."""
    row = named_row(specs)
    lists = {n: {"type": "array", "minItems": 1, "maxItems": 1, "items": v} for n, v in row["properties"].items()}
    return {**row, "properties": lists}


def rows_of(row: Schema) -> Schema:
    """At least one such row."""
    return {"type": "array", "minItems": 1, "items": row}


def operation(
    summary: str,
    ok: Schema | None,
    *,
    body: Schema | None = None,
    example: Any = None,
    error: Schema | None = None,
    refused: Iterable[int] = (),
    parameters: Sequence[Schema] = (),
    content: str = "application/json",
) -> Schema:
    """An operation of a path.

    Args:
        summary: what it does.
        ok: schema of its answer; None: an answer whose content says nothing.
        body: schema of the request's JSON; a request without one has none.
        example: a request that is answered; None: there is none to show.
        error: schema of a refusal.
        refused: statuses that it may answer beside 200.
        parameters: of path, query and headers.
        content: media type of the answer.
    """
    answer: Schema = {"description": "OK", "content": {content: {"schema": {} if ok is None else ok}}}
    if body is not None:
        answer["headers"] = {n: {"description": d, "schema": TOKEN} for n, d in ANSWER_HEADERS.items()}
    refusal = {} if error is None else {"content": {"application/json": {"schema": error}}}
    told: Schema = {
        "summary": summary,
        "parameters": list(parameters),
        "responses": {"200": answer, **{str(s): {"description": REFUSALS[s], **refusal} for s in sorted(refused)}},
    }
    if body is not None:
        shown = {} if example is None else {"example": example}
        told["requestBody"] = {"required": True, "content": {"application/json": {"schema": body, **shown}}}
    return told


def id_parameters() -> list[Schema]:
    """The headers by which a request says its id and its unit."""
    return [{"name": n, "in": "header", "required": False, "schema": TOKEN} for n in ID_HEADERS]


def path_parameter(name: str, schema: Schema, example: str | None = None) -> Schema:
    """A parameter of a path."""
    shown = {} if example is None else {"example": example}
    return {"name": name, "in": "path", "required": True, "schema": schema, **shown}


def live_model(plane: DataPlane, pipeline: str) -> ServedModel | None:
    """The model that answers for a pipeline; None while none is loaded."""
    try:
        return plane.model(pipeline)
    except NotReady:
        return None


def pipeline_parameter(plane: DataPlane) -> Schema:
    """The query that names the pipeline, where the path does not; only needed where several are served."""
    schema = {"type": "string", "enum": list(plane.pipelines)}
    return {"name": "pipeline", "in": "query", "required": len(plane.pipelines) > 1, "schema": schema}
