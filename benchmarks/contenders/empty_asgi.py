"""Empty handlers on the server that ours runs on: what it and its framework cost without a model, a check or a log.

Each reads the request, as whoever answers a POST must, and answers with the same few bytes.
"""

import argparse
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

BODY = b'{"model_name":"trip_duration","outputs":[{"name":"predict","datatype":"FP64","shape":[1],"data":[12.5]}]}'
HEADERS = [(b"content-type", b"application/json"), (b"content-length", str(len(BODY)).encode())]


async def bare(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """ASGI without a framework."""
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": BODY})


async def route(request: Request) -> Response:
    """A handler as Starlette's documentation writes them."""
    await request.body()
    return Response(BODY, media_type="application/json")


APPS: dict[str, Any] = {"bare": bare, "starlette": Starlette(routes=[Route("/infer", route, methods=["POST"])])}


def serve(app: Any, port: int) -> None:
    """Run an application on the server that ours runs on."""
    uvicorn.run(
        app, host="127.0.0.1", port=port, http="httptools", loop="uvloop", access_log=False, log_level="warning"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("app", choices=APPS)
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()
    serve(APPS[options.app], options.port)
