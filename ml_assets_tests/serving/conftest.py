"""Models that tell which of them answered, in a data plane; and a client that speaks ASGI."""

import asyncio
from types import SimpleNamespace

import pytest

from ml_assets.core.encoding import FeatureSpec
from ml_assets.core.models.row_values import require_columns
from ml_assets.core.routing import Arm, Routing, alone
from ml_assets.serving.data_plane import DataPlane
from ml_assets.serving.head import Head
from ml_assets.serving.picture import Picture, ServedModel
from ml_assets.serving.rounds import replies

SPECS = (FeatureSpec("miles", "number", "miles"), FeatureSpec("zone", "category", None, ("a", "b")))
COLUMNS = {"miles": [2.0, None], "zone": ["a", "zz"]}


class Telling:
    """A scorer whose scores are `times` the miles."""

    def __init__(self, sha256: str, times: float, specs=SPECS, classes=1) -> None:
        self.times, self.asked, self.fails, self.together = times, 0, None, []
        self.bundle = SimpleNamespace(
            sha256=sha256,
            specs=specs,
            classes=classes,
            facts={"pipeline": "rides", "golden": {"rows": [[2.0, "a"]], "scores": [2.0 * times]}},
        )

    def scores(self, columns, rows):
        self.asked += 1
        if self.fails is not None:
            raise self.fails
        require_columns(self.bundle.specs, columns, rows)
        return [self.times * (v or 0.0) for v in columns["miles"]]

    def scores_each(self, rows):
        self.together.append(len(rows))
        return [self.scores(columns, 1) for columns in rows]


def model(sha256: str, times: float, **more) -> ServedModel:
    return ServedModel("rides", Telling(sha256, times, **more))


OLD, NEW, SHADOW = "a" * 64, "b" * 64, "c" * 64


@pytest.fixture
def told():
    """What the hooks were told."""
    return []


@pytest.fixture
def plane(told):
    """A champion that answers miles, with the champion before it kept warm."""
    plane = DataPlane(["rides", "tips"], [told.append])
    models = {sha256: model(sha256, times) for sha256, times in ((NEW, 1.0), (OLD, 10.0))}
    plane.put("rides", Picture(alone(NEW, (OLD,)), models, 1))
    return plane


@pytest.fixture
def canary(plane):
    """The same plane with a candidate that answers half of the units, and a shadow."""
    arms = (Arm("champion", NEW, 5_000), Arm("candidate", OLD, 5_000))
    models = {s: model(s, times) for s, times in ((NEW, 1.0), (OLD, 10.0), (SHADOW, 100.0))}
    plane.put("rides", Picture(Routing(NEW, arms, "a rollout", shadows=(SHADOW,)), models, 2))
    return plane


class Asgi:
    """Asks an application without a socket.

    Args:
        app: the application.
        both_ways: its data plane; then what may be answered at once is asked for a second time so, and must be
            answered the same; the hooks are told of the first time.
    """

    def __init__(self, app, both_ways=None) -> None:
        self.app, self.plane, self.asked_at_once = app, both_ways, 0

    def __call__(self, method, path, body=b"", headers=(), chunks=None):
        answer = self._by_asgi(method, path, body, headers, chunks)
        if self.plane and method == "POST" and path.encode() in self.app.at_once.paths:
            raw = [(k.lower().encode(), v.encode()) for k, v in headers]
            hooks, self.plane.hooks = self.plane.hooks, ()
            begun = self.app.at_once.paths[path.encode()](Head(raw), body)
            [reply] = replies([begun]) if begun is not None else [None]
            self.plane.hooks = hooks
            if reply is not None:
                self._is_same(reply, answer)
                self.asked_at_once += 1
        return answer

    @staticmethod
    def _is_same(reply, answer):
        made = answer.headers.get("x-request-id", "no id").encode()
        told = {k.decode().lower(): v for k, v in reply.headers}
        assert (reply.status, reply.content_type.decode()) == (answer.status, answer.headers["content-type"])
        assert told.keys() == answer.headers.keys() - {"content-type", "content-length"}
        assert reply.body.replace(told.get("x-request-id", b"no id"), made) == answer.body

    def _by_asgi(self, method, path, body, headers, chunks):
        async def ask():
            waiting = [*(chunks or [body])]
            sent = []

            async def receive():
                if not waiting:
                    return {"type": "http.disconnect"}
                part = waiting.pop(0)
                if isinstance(part, float):
                    await asyncio.sleep(part)
                    part = waiting.pop(0)
                return {"type": "http.request", "body": part, "more_body": bool(waiting)}

            async def send(message):
                sent.append(message)

            raw, _, query = path.partition("?")
            scope = {
                "type": "http", "method": method, "path": raw, "raw_path": raw.encode(), "query_string": query.encode(),
                "headers": [(k.lower().encode(), v.encode()) for k, v in headers], "root_path": "", "scheme": "http",
                "server": ("127.0.0.1", 80), "client": ("127.0.0.1", 1), "http_version": "1.1",
            }  # fmt: skip
            await self.app(scope, receive, send)
            start, *parts = sent
            content = b"".join(p.get("body", b"") for p in parts)
            told = {k.decode().lower(): v.decode() for k, v in start["headers"]}
            return SimpleNamespace(status=start["status"], headers=told, body=content)

        return asyncio.run(ask())


@pytest.fixture
def asgi():
    return Asgi
