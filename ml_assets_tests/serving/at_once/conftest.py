"""A real server that answers at once, and counts what it so answered; a client on a socket."""

import asyncio
import socket
import threading
import time

import pytest
import uvicorn

from ml_assets.core.errors import InputRefused, TooLarge
from ml_assets.serving.app import App
from ml_assets.serving.at_once import AtOnceProtocol
from ml_assets.serving.http import Call, Exposed, Reply
from ml_assets.serving.limits import Limits
from ml_assets.serving.metrics import Metrics
from ml_assets_tests.serving.conftest import NEW, DataPlane, Picture, alone, model
from ml_assets_tests.serving.test_app import BODY, EXPOSED


class Impatient(AtOnceProtocol):
    """The same with less patience."""

    request_seconds, unread_seconds = 0.6, 0.6


async def echo(call: Call) -> Reply:
    """The body; what it begins with says what happens."""
    body = await call.body()
    if body.startswith(b"large"):
        call.require_time()
        return Reply(await asyncio.to_thread(body.upper))
    if body.startswith(b"refused"):
        raise InputRefused("it", found="this", expected="that", cure="do")
    if body.startswith(b"too large"):
        raise TooLarge("it", found="this", expected="that", cure="do")
    if body.startswith(b"broken"):
        raise ZeroDivisionError
    if body.startswith(b"waits"):
        await asyncio.sleep(0)
    if body.startswith(b"much"):
        return Reply(b"x" * 20_000_000)
    told = (b"x-agent", (call.header(b"user-agent") or "").encode()), (b"x-ids", b", ".join(call.head.ids))
    return Reply(body, headers=told)


class Running:
    """A server that counts what was answered at once.

    Attributes:
        at_once: replies given in the callback.
    """

    def __init__(self) -> None:
        plane = DataPlane(["rides"])
        plane.put("rides", Picture(alone(NEW), {NEW: model(NEW, 1.0)}, 1))
        exposed = (*(replace_at_once(e) for e in EXPOSED), Exposed("POST", "/echo", echo, "test", at_once=True))
        self.metrics, self.at_once = Metrics(), 0
        self.app = App(plane, exposed, limits=Limits(body_bytes=100_000), metrics=self.metrics)
        config = uvicorn.Config(
            self.app, http=Impatient, loop="asyncio", ws="none", log_config=None, port=0, lifespan="off",
            proxy_headers=False, timeout_keep_alive=2,
            limit_concurrency=50,
        )  # fmt: skip
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run)
        self.thread.start()
        while not self.server.started:
            time.sleep(0.01)
        self.port = self.server.servers[0].sockets[0].getsockname()[1]
        # A path is known when it was asked for once.
        for path, body in (("/echo", b"first"), ("/score/rides", BODY)):
            with self.connected() as one:
                one.sendall(request(body, path))
                assert answers(one, 1) == [200]
        self._count(b"/echo")

    def _count(self, path: bytes) -> None:
        answer = self.app.at_once.paths[path]

        def counted(head, body):
            reply = answer(head, body)
            self.at_once += reply is not None
            return reply

        self.app.at_once.paths[path] = counted

    def connected(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)

    def seen(self, protocol: str, status: int) -> float:
        self.metrics.count()
        return self.metrics.requests.labels(protocol, status)._value.get()


def replace_at_once(exposed: Exposed) -> Exposed:
    return exposed._replace(at_once=True)


@pytest.fixture(scope="module")
def server():
    running = Running()
    yield running
    running.server.should_exit = True
    running.thread.join()


@pytest.fixture
def connection(server):
    with server.connected() as made:
        yield made


def request(body: bytes, path: str = "/echo", *, method: str = "POST", version: str = "1.1", more: str = "") -> bytes:
    return f"{method} {path} HTTP/{version}\r\nHost: x\r\nContent-Length: {len(body)}\r\n{more}\r\n".encode() + body


def read(connection: socket.socket, answers_wanted: int) -> tuple[list[int], list[bytes], bytes]:
    """Status, head and body of so many answers, fewer where the server closes before."""
    data, statuses, heads, bodies = b"", [], [], b""
    while len(statuses) < answers_wanted:
        head, found, rest = data.partition(b"\r\n\r\n")
        length = next((int(x[15:]) for x in head.lower().split(b"\r\n") if x.startswith(b"content-length:")), 0)
        if found and len(rest) >= length:
            statuses.append(int(head.split(b" ", 2)[1]))
            heads.append(head)
            bodies += rest[:length]
            data = rest[length:]
        elif chunk := connection.recv(65_536):
            data += chunk
        else:
            break
    return statuses, heads, bodies


def answers(connection: socket.socket, wanted: int) -> list[int]:
    return read(connection, wanted)[0]
