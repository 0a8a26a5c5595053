"""The ASGI application: every path, health, metrics, and what becomes of errors.

Paths are Starlette's. A request whose path was seen before goes to its handler by one look into a dictionary, past
Starlette's middleware and search; what is not found there, Starlette answers. Protocols are in `protocols`, what
they have in common in `http`.
"""

import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route

from ml_assets.core.errors import Busy, RequestRefused
from ml_assets.serving.data_plane import DataPlane
from ml_assets.serving.head import Head
from ml_assets.serving.http import Call, Exposed, Handle, NotAtOnce, Reply
from ml_assets.serving.limits import Bodies, Limits
from ml_assets.serving.metrics import Metrics
from ml_assets.serving.rounds import Begun, Rounds
from ml_assets.serving.scoring import Asked, Tried

Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]

logger = logging.getLogger("ml_assets.serving")
PATHS_KEPT, LONGEST_KEPT = 1024, 200
"""Paths whose handlers are remembered, and how long one may be; others are looked up anew each time."""
FAILED = b'{"error":"the server failed to answer; its log says why"}'


class Endpoint:
    """A handler of a protocol as an ASGI application."""

    def __init__(self, exposed: Exposed, plane: DataPlane, limits: Limits, metrics: Metrics, bodies: Bodies) -> None:
        self._exposed, self._plane, self._limits, self._metrics = exposed, plane, limits, metrics
        self._bodies = bodies
        self.is_at_once = exposed.at_once

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as a part of Starlette's routing."""
        await self.answer(scope, receive, send, scope["path_params"])

    async def answer(self, scope: Scope, receive: Receive, send: Send, path: Mapping[str, str]) -> None:
        """Answer a request whose path parameters are known."""
        began = time.perf_counter()
        head = Head(scope["headers"], scope.get("query_string", b""))
        reply = await self._replied(Call(head, receive, self._plane, self._limits, path, self._bodies))
        length = str(len(reply.body)).encode()
        headers = [(b"content-type", reply.content_type), (b"content-length", length), *reply.headers]
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await send({"type": "http.response.body", "body": reply.body})
        self._metrics.answered(self._exposed.protocol, reply.status, time.perf_counter() - began)

    def begin_at_once(self, path: Mapping[str, str], head: Head, body: bytes) -> Begun | None:
        """Begin to answer a request that is there as a whole; where that takes a while None, and nothing is done."""
        began = time.perf_counter()
        replying = self._replied(Call(head, _never, self._plane, self._limits, path, self._bodies, body))
        try:
            asked = replying.send(None)
        except StopIteration as done:
            reply: Reply = done.value
            self._metrics.answered(self._exposed.protocol, reply.status, time.perf_counter() - began)
            return Begun(None, lambda _: reply)
        except NotAtOnce:
            return None
        if type(asked) is not Asked:
            return Begun(None, lambda _: self._mistaken(replying, began))
        return Begun(asked, partial(self._end_at_once, replying, began))

    def _end_at_once(self, replying: "Coroutine[Any, Any, Reply]", began: float, scored: Tried | None) -> Reply:
        try:
            replying.send(scored)
        except StopIteration as done:
            reply: Reply = done.value
        except NotAtOnce:
            return self._mistaken(replying, began)
        else:
            return self._mistaken(replying, began)
        self._metrics.answered(self._exposed.protocol, reply.status, time.perf_counter() - began)
        return reply

    def _mistaken(self, replying: "Coroutine[Any, Any, Reply]", began: float) -> Reply:
        replying.close()
        logger.error("a handler waited where it must not", extra={"path": self._exposed.path})
        self._metrics.answered(self._exposed.protocol, 500, time.perf_counter() - began)
        return Reply(FAILED, 500)

    async def _replied(self, call: Call) -> Reply:
        self._metrics.answering += 1
        try:
            return await self._exposed.handle(call)
        except RequestRefused as e:
            # Of a body that was not read to its end the rest may follow: the connection is of no use any more.
            closes = ((b"connection", b"close"),) if isinstance(e, Busy) or e.status in (408, 413, 415) else ()
            return Reply(self._exposed.told(e), e.status, headers=closes)
        except NotAtOnce:
            raise
        except Exception:
            logger.exception("request failed", extra={"path": self._exposed.path})
            return Reply(FAILED, 500)
        finally:
            self._metrics.answering -= 1
            if call.held:
                self._bodies.give(call.held)


class App:
    """The application; see the module.

    Args:
        plane: what answers.
        exposed: the protocols' paths.
        metrics: told of every request.
        limits: what one request may take.
        lifespan: what starts and ends with the server.
    """

    def __init__(
        self,
        plane: DataPlane,
        exposed: Sequence[Exposed],
        *,
        metrics: Metrics | None = None,
        limits: Limits | None = None,
        lifespan: Any = None,
    ) -> None:
        limits, metrics = limits or Limits(), metrics or Metrics()
        own = (
            Exposed("GET", "/health/live", _live, "health"),
            Exposed("GET", "/health/ready", _ready, "health"),
            Exposed("GET", "/metrics", _metrics(metrics), "metrics"),
        )
        every = (*exposed, *own)
        bodies = Bodies(limits.all_bodies_bytes)
        endpoints = [Endpoint(e, plane, limits, metrics, bodies) for e in every]
        routes = [Route(e.path, p, methods=[e.method]) for e, p in zip(every, endpoints, strict=True)]
        refusals = {404: _nothing_here, 405: _nothing_here}
        self.starlette = Starlette(routes=routes, exception_handlers=refusals, lifespan=lifespan)
        self._routes = list(zip(routes, endpoints, strict=True))
        self._seen: dict[tuple[str, str], tuple[Endpoint, Mapping[str, str]]] = {}
        self.at_once = Rounds()
        """Its paths are those that were seen before and whose handlers don't wait."""

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Answer."""
        if scope["type"] == "http":
            found = self._seen.get((scope["method"], scope["path"])) or self._looked_up(scope)
            if found is not None:
                await found[0].answer(scope, receive, send, found[1])
                return
        await self.starlette(scope, receive, send)

    def _looked_up(self, scope: Any) -> tuple[Endpoint, Mapping[str, str]] | None:
        for route, endpoint in self._routes:
            match, child = route.matches(scope)
            if match is Match.FULL:
                found = (endpoint, child["path_params"])
                if len(self._seen) < PATHS_KEPT and len(scope["path"]) <= LONGEST_KEPT:
                    self._seen[scope["method"], scope["path"]] = found
                    if endpoint.is_at_once and scope["method"] == "POST" and scope["path"].isascii():
                        self.at_once.paths[scope["path"].encode()] = partial(
                            endpoint.begin_at_once, child["path_params"]
                        )
                return found
        return None


async def _never() -> Any:
    """What is received behind a body that is there."""
    raise AssertionError("nothing is to be received")


async def _live(_: Call) -> Reply:
    return Reply(b'{"live":true}')


async def _ready(call: Call) -> Reply:
    told = {name: call.plane.is_ready(name) for name in call.plane.pipelines}
    every = all(told.values())
    return Reply(msgspec.json.encode({"ready": every, "pipelines": told}), 200 if every else 503)


def _metrics(metrics: Metrics) -> Handle:
    async def exposition(_: Call) -> Reply:
        content, kind = metrics.exposition()
        return Reply(content, content_type=kind.encode())

    return exposition


async def _nothing_here(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 404
    thing = f"{request.method[:20]} {request.url.path[:200]}"
    found = "no such path" if status == 404 else "a path that is asked in another way"
    told = {
        "error": f"{thing}: {found}", "thing": thing, "found": [found], "expected": "what GET /openapi.json describes",
        "cure": "correct the path or the method",
    }  # fmt: skip
    headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
    return Response(msgspec.json.encode(told), status, headers, media_type="application/json")
