"""Every path is answered, refused in JSON, counted; bodies have bounds, and hostile ones cost nothing."""

import asyncio
import json
import time

import msgspec
import pytest

from ml_assets.core.errors import InputRefused
from ml_assets.serving.app import LONGEST_KEPT, PATHS_KEPT, App
from ml_assets.serving.http import Call, Exposed, Reply, answered, infer
from ml_assets.serving.limits import Limits, require_depth
from ml_assets.serving.metrics import Metrics

from .conftest import NEW


async def score(call: Call) -> Reply:
    told = await call.json()
    columns = told["columns"]
    answer = await call.infer(call.path["pipeline"], columns, len(columns["miles"]))
    return answered(answer, msgspec.json.encode(answer.predictions))


async def broken(_: Call) -> Reply:
    raise ZeroDivisionError("a secret")


EXPOSED = (Exposed("POST", "/score/{pipeline}", score, "test"), Exposed("GET", "/broken", broken, "test"))
BODY = json.dumps({"columns": {"miles": [2.0], "zone": ["a"]}}).encode()


@pytest.fixture
def metrics():
    return Metrics()


@pytest.fixture
def app(plane, metrics):
    return App(plane, EXPOSED, metrics=metrics, limits=Limits(body_bytes=2000, rows=100, rows_at_once=10, depth=8))


@pytest.fixture
def ask(asgi, app):
    return asgi(app)


def metric(metrics: Metrics, line: str) -> float:
    text = metrics.exposition()[0].decode()
    return next(float(found.rsplit(" ", 1)[1]) for found in text.splitlines() if found.startswith(line))


def test_an_answer_says_who_it_is_from(ask):
    headers = [("X-Request-Id", "r7"), ("X-Unit-Id", "u1")]
    for _ in range(2):  # the second time past Starlette
        answer = ask("POST", "/score/rides", BODY, headers)
        assert (answer.status, json.loads(answer.body)) == (200, [2.0])
        told = answer.headers
        assert (told["x-request-id"], told["x-model-version"], told["x-variant"]) == ("r7", NEW, "champion")


def test_requests_are_counted_by_status(ask, metrics):
    ask("POST", "/score/rides", BODY)
    ask("POST", "/score/rides", b"{")
    ask("POST", "/score/rides", b"{")
    assert metric(metrics, 'ml_assets_requests_total{protocol="test",status="200"}') == 1
    assert metric(metrics, 'ml_assets_requests_total{protocol="test",status="400"}') == 2
    assert metric(metrics, 'ml_assets_request_seconds_count{protocol="test"}') == 3
    assert metric(metrics, "ml_assets_requests_in_flight") == 0
    assert b"ml_assets_requests_total" in ask("GET", "/metrics").body


@pytest.mark.parametrize(
    ("method", "path", "status", "found"),
    [("GET", "/nowhere", 404, "no such path"), ("GET", "/score/rides", 405, "another way"),
     ("POST", "/score/nobody", 404, "a server of rides, tips"), ("POST", "/score/tips", 503, "no loaded champion")],
)  # fmt: skip
def test_what_is_not_there_is_told_in_json(ask, method, path, status, found):
    answer = ask(method, path, BODY)
    told = json.loads(answer.body)
    assert answer.status == status
    assert found in told["found"][0]
    assert set(told) == {"error", "thing", "found", "expected", "cure"}


def test_a_failure_tells_the_log_and_not_the_client(ask, caplog):
    answer = ask("GET", "/broken")
    assert answer.status == 500
    assert b"secret" not in answer.body
    assert "a secret" in caplog.text


def test_health(ask, plane, app, asgi):
    assert ask("GET", "/health/live").status == 200
    answer = ask("GET", "/health/ready")
    assert answer.status == 503
    assert json.loads(answer.body) == {"ready": False, "pipelines": {"rides": True, "tips": False}}
    plane.put("tips", plane.picture("rides"))
    assert ask("GET", "/health/ready").status == 200
    plane.picture("rides").champion.scorer.times = 7.0
    assert ask("GET", "/health/ready").status == 503, "it no longer answers its golden row"
    plane.picture("rides").champion.scorer.times = 1.0
    plane.closing = True
    assert ask("GET", "/health/ready").status == 503
    assert ask("GET", "/health/live").status == 200


BOMB = b"[" * 1500


@pytest.mark.parametrize(
    ("body", "status", "found"),
    [
        (b"", 400, "truncated"),
        (b"\xff\xfe", 400, "malformed"),
        (b'{"columns": {"miles": [NaN], "zone": ["a"]}}', 400, "malformed"),
        (b'{"columns": {"miles": [1e999], "zone": ["a"]}}', 400, ""),
        (b'{"columns": {"miles": ["2"], "zone": ["a"]}}', 400, "column miles, row 0: '2', not a finite number"),
        (BOMB, 400, "nested 1500 deep"),
        (b"x" * 2001, 413, "more than 2,000 bytes"),
        (b'{"columns": {"miles": [%b1], "zone": ["a"]}}' % (b"1," * 150), 413, "151"),
    ],
)
def test_bodies_that_are_refused(ask, body, status, found):
    answer = ask("POST", "/score/rides", body)
    told = json.loads(answer.body)
    assert answer.status == status
    assert found in told["found"][0]
    assert told["cure"]
    assert (answer.headers.get("connection") == "close") == ((status == 413 and "bytes" in found) or status == 413)


def test_a_body_that_says_it_is_too_long_is_not_read(ask):
    answer = ask("POST", "/score/rides", BODY, [("Content-Length", "999999999999")])
    assert answer.status == 413
    assert "999,999,999,999 bytes" in json.loads(answer.body)["found"][0]


def test_chunks_are_read_to_the_limit_and_no_further(ask):
    endless = [b"x" * 500] * 1000
    assert ask("POST", "/score/rides", chunks=endless).status == 413
    assert ask("POST", "/score/rides", chunks=[BODY[:10], BODY[10:20], BODY[20:]]).status == 200


def test_a_client_that_goes_away_is_no_failure(app, caplog):
    """It says that more is to come, and is gone."""
    sent, said = [], [{"type": "http.request", "body": BODY[:5], "more_body": True}, {"type": "http.disconnect"}]

    async def receive():
        return said.pop(0)

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/score/rides", "headers": []}
    asyncio.run(app(scope, receive, send))
    assert sent[0]["status"] == 408
    assert caplog.text == ""


def test_bodies_of_all_requests_together_have_a_bound(plane, asgi):
    """While one that holds most of it waits for its end, another is told to come again; then there is room again."""
    app = App(plane, EXPOSED, limits=Limits(body_bytes=2000, all_bodies_bytes=500))
    waits, go_on = asyncio.Event(), asyncio.Event()
    scope = {"type": "http", "method": "POST", "path": "/score/rides", "headers": []}
    long = BODY + b" " * 400

    async def ask(parts, first=False):
        left, sent = list(parts), []

        async def receive():
            if first and len(left) == 1:
                waits.set()
                await go_on.wait()
            part = left.pop(0)
            return {"type": "http.request", "body": part, "more_body": bool(left)}

        async def send(message):
            sent.append(message)

        await app(scope, receive, send)
        return sent[0]["status"]

    async def both():
        one = asyncio.create_task(ask([long, b" "], first=True))
        await waits.wait()
        refused = await ask([long, b" "])
        small = await ask([BODY])
        go_on.set()
        return await one, refused, small, await ask([long, b" "])

    assert asyncio.run(both()) == (200, 503, 200, 200)


def test_compressed_bodies_are_refused(ask):
    answer = ask("POST", "/score/rides", BODY, [("Content-Encoding", "gzip")])
    assert "not compressed" in json.loads(answer.body)["cure"]
    assert ask("POST", "/score/rides", BODY, [("Content-Encoding", "identity")]).status == 200


@pytest.mark.parametrize("name", ["X-Request-Id", "X-Unit-Id", "X-Variant"])
def test_headers_are_short_and_printable(ask, name):
    assert ask("POST", "/score/rides", BODY, [(name, "x" * 201)]).status == 400
    assert ask("POST", "/score/rides", BODY, [(name, "a\x07")]).status == 400
    answer = ask("POST", "/score/rides", BODY, [("X-Request-Id", "x" * 200)])
    assert answer.headers["x-request-id"] == "x" * 200


def test_many_rows_are_scored_beside_others(ask, monkeypatch):
    asked, real = [], asyncio.to_thread

    async def to_thread(call, *args, **more):
        asked.append(call)
        return await real(call, *args, **more)

    monkeypatch.setattr(asyncio, "to_thread", to_thread)
    body = json.dumps({"columns": {"miles": [2.0] * 11, "zone": ["a"] * 11}}).encode()
    assert json.loads(ask("POST", "/score/rides", body).body) == [2.0] * 11
    assert asked == [infer]


def test_paths_that_nobody_repeats_are_not_kept(app, ask):
    for i in range(PATHS_KEPT + 50):
        app._looked_up({"type": "http", "method": "POST", "path": f"/score/p{i}", "headers": []})
    assert len(app._seen) == PATHS_KEPT
    app._seen.clear()
    ask("POST", "/score/" + "p" * LONGEST_KEPT, BODY)
    assert app._seen == {}


def test_depth_is_counted_fast_and_right():
    require_depth(b'{"a": [1, {"b": 2}]}', 3)
    with pytest.raises(InputRefused, match="nested 3 deep"):
        require_depth(b'{"a": [1, {"b": 2}]}', 2)
    wide = b"[" + b"[1]," * 200_000 + b"[1]]"
    began = time.perf_counter()
    require_depth(wide, 16)
    assert time.perf_counter() - began < 1
