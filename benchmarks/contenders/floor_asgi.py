"""The floor of serving a row: bare ASGI on the server that ours runs on, and LightGBM's call for one row.

No check, no metrics, no log, no routing, no model but this one: what is left is the protocol's JSON and the trees.
"""

import argparse
import os
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.contenders.empty_asgi import serve
from benchmarks.serving_files import MODEL_DIR, TEXT
from ml_assets.core.models.lightgbm_library import Trees


class Tensor(msgspec.Struct):
    """What is read of an input."""

    data: list[float]


class Request(msgspec.Struct):
    """What is read of a request."""

    inputs: list[Tensor]


def floor(model: str) -> Any:
    """The application that answers with the score of one row."""
    score = Trees(model).row_scorer().score
    read, write = msgspec.json.Decoder(Request).decode, msgspec.json.Encoder().encode

    async def answer(scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        message = await receive()
        body = message["body"]
        while message.get("more_body"):
            message = await receive()
            body += message["body"]
        scored = score(read(body).inputs[0].data)
        told = write({"outputs": [{"name": "predict", "datatype": "FP64", "shape": [1], "data": scored}]})
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(told)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": told})

    return answer


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()
    serve(floor((Path(os.environ[MODEL_DIR]) / TEXT).read_text()), options.port)
