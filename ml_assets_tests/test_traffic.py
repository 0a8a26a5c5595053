"""Replayed traffic on a server that only counts: what is sent, when labels follow, what is said of failures."""

import asyncio
from datetime import datetime, timedelta

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from ml_assets.core.errors import ServerUnreachable
from ml_assets.core.traffic import schedule
from ml_assets.resources.serving_client import ServingClient
from ml_assets.traffic import Traffic, TrafficFailed, in_words, send, summary

NOON = datetime(2020, 4, 1, 12)
ROWS = 40


def traffic() -> Traffic:
    """A row a minute; the label of every second one is known half an hour later."""
    return Traffic(
        pipeline="rides",
        ids=[f"2020-04-{i}" for i in range(ROWS)],
        fields=[{"miles": float(i)} for i in range(ROWS)],
        event_at=[NOON + timedelta(minutes=i) for i in range(ROWS)],
        known_at=[NOON + timedelta(minutes=i + 30) if i % 2 else None for i in range(ROWS)],
        labels=[i / 2 if i % 2 else None for i in range(ROWS)],
    )


class Counting:
    """Answers as the model server does, by two arms, and remembers."""

    def __init__(self, *, ready: bool = True, refused: frozenset[str] = frozenset()) -> None:
        self.ready, self.refused = ready, refused
        self.asked: list[tuple[str, dict]] = []
        self.labels: list[dict] = []
        self.labels_when_asked: list[int] = []

    async def health(self, _: web.Request) -> web.Response:
        return web.Response(status=200 if self.ready else 503)

    async def predict(self, request: web.Request) -> web.Response:
        told = request.headers["X-Request-Id"]
        self.asked.append((told, await request.json()))
        self.labels_when_asked.append(len(self.labels))
        if told in self.refused:
            return web.json_response({"error": "fields"}, status=422)
        variant = "candidate" if told.endswith("7") else "champion"
        return web.json_response({"prediction": 1.0}, headers={"X-Variant": variant})

    async def label(self, request: web.Request) -> web.Response:
        self.labels += await request.json()
        return web.json_response({})

    def app(self) -> web.Application:
        app = web.Application()
        app.add_routes(
            [
                web.get("/v2/models/rides/ready", self.health),
                web.post("/predict/rides", self.predict),
                web.post("/labels/rides", self.label),
            ]
        )
        return app


def sent_to(server: Counting, *, rate: float = 400.0):
    async def go():
        rows = traffic()
        due = list(schedule(rows.event_at, rows.known_at, rate=rate))
        async with TestServer(server.app()) as at:
            return await send(rows, due, url=str(at.make_url("/")), progress=lambda _: None)

    return asyncio.run(go())


def test_every_row_is_asked_for_and_every_known_label_delivered():
    server = Counting()
    sent = sent_to(server)
    assert dict(server.asked) == {f"2020-04-{i}": {"miles": i} for i in range(ROWS)}
    assert server.labels == [{"request_id": f"2020-04-{i}", "label": i / 2} for i in range(1, ROWS, 2)]
    assert sent.by_variant == {"champion": 36, "candidate": 4}
    assert (sent.requests, sent.labels, sent.failures) == (ROWS, ROWS // 2, {})
    assert "40 requests answered (4 by candidate, 36 by champion), 20 labels delivered" in in_words("2020-04", sent)
    assert summary(sent)["answered"] == ROWS


def test_labels_go_while_traffic_goes_on(monkeypatch):
    from ml_assets import traffic as module

    monkeypatch.setattr(module, "LABELS_AT_ONCE", 1)
    server = Counting()
    sent_to(server)
    assert 0 < server.labels_when_asked[-1] < ROWS // 2, "the first ones are known before the last request"


def test_what_goes_wrong_is_counted_by_its_reason():
    sent = sent_to(Counting(refused=frozenset({"2020-04-1", "2020-04-2"})))
    assert sent.failures == {'request: 422 {"error": "fields"}': 2}
    assert sum(sent.by_variant.values()) == ROWS - 2


def test_a_server_that_is_not_ready_gets_no_traffic():
    server = Counting(ready=False)
    with pytest.raises(TrafficFailed, match="not ready to answer for rides"):
        sent_to(server)
    assert not server.asked


def test_nobody_there():
    async def go():
        rows = traffic()
        await send(rows, [], url="http://127.0.0.1:9", progress=lambda _: None)

    with pytest.raises(ServerUnreachable, match="ml-assets serve"):
        asyncio.run(go())


def test_a_slow_server_is_measured_from_when_requests_were_due(monkeypatch):
    async def slow(*_: object, **__: object):
        await asyncio.sleep(0.2)
        return await asked(*_, **__)

    asked = ServingClient.predict
    monkeypatch.setattr(ServingClient, "predict", slow)
    sent = sent_to(Counting())
    assert min(sent.seconds) > 0.2
