"""The OpenAPI description of the server, at `/openapi.json`: what each protocol says of its paths, put together.

A protocol says it in its own module, in a function `described(plane)`, of what is in `openapi_parts`. The description
is made anew for each request, since the features of the live models are in it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import version
from typing import Any, NamedTuple

import msgspec

from ml_assets.serving.data_plane import DataPlane
from ml_assets.serving.http import Call, Exposed, Handle, Reply
from ml_assets.serving.openapi_parts import REFUSAL, Schema


class Described(NamedTuple):
    """A protocol's part.

    Attributes:
        paths: OpenAPI's path items.
        schemas: name -> schema, of `#/components/schemas`.
    """

    paths: Mapping[str, Any]
    schemas: Mapping[str, Schema]


Describe = Callable[[DataPlane], Described]


def document(plane: DataPlane, parts: Iterable[Described]) -> Schema:
    """The whole description, as OpenAPI 3.1 has it."""
    paths: dict[str, Any] = {}
    schemas: dict[str, Schema] = {"Refusal": REFUSAL}
    for part in parts:
        for path, item in part.paths.items():
            paths.setdefault(path, {}).update(item)
        schemas.update(part.schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "ml-assets",
            "version": version("ml-assets"),
            "description": f"Predictions of the live models of {', '.join(plane.pipelines)}.",
        },
        "paths": paths,
        "components": {"schemas": schemas},
    }


def exposed(parts: Sequence[Describe]) -> Exposed:
    """`GET /openapi.json` for these protocols."""

    async def handle(call: Call) -> Reply:
        return Reply(msgspec.json.encode(document(call.plane, [describe(call.plane) for describe in parts])))

    answer: Handle = handle
    return Exposed("GET", "/openapi.json", answer, "openapi")
