"""Real sockets against slow and hostile clients: a clear answer, or none, but never memory or time without end."""

import contextlib
import json
import socket
import threading
import time

import pytest
import uvicorn

from ml_assets.serving.app import App
from ml_assets.serving.connections import PatientProtocol
from ml_assets.serving.http import Exposed, Reply
from ml_assets.serving.limits import Limits

from .test_app import BODY, EXPOSED


class Hasty(PatientProtocol):
    """The same with less patience."""

    request_seconds, head_bytes, unread_seconds = 0.5, 8_000, 0.5


async def much(_) -> Reply:
    return Reply(b"x" * 30_000_000)


@pytest.fixture(scope="module")
def port(request):
    from .conftest import NEW, DataPlane, Picture, alone, model

    plane = DataPlane(["rides"])
    plane.put("rides", Picture(alone(NEW), {NEW: model(NEW, 1.0)}, 1))
    app = App(plane, (*EXPOSED, Exposed("GET", "/much", much, "test")), limits=Limits(body_bytes=100_000))
    config = uvicorn.Config(app, http=Hasty, loop="asyncio", ws="none", log_config=None, port=0, lifespan="off")
    server = uvicorn.Server(config)
    running = threading.Thread(target=server.run)
    running.start()
    while not server.started:
        time.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    running.join()


@pytest.fixture
def connection(port):
    with socket.create_connection(("127.0.0.1", port), timeout=10) as made:
        yield made


def head(length: int | None = None, path: str = "/score/rides", method: str = "POST", more: str = "") -> bytes:
    told = "" if length is None else f"Content-Length: {length}\r\n"
    return f"{method} {path} HTTP/1.1\r\nHost: x\r\n{told}{more}\r\n".encode()


def answer(connection: socket.socket) -> tuple[int, bytes]:
    """Everything until the server closes, or has nothing more to say."""
    read = b""
    with contextlib.suppress(TimeoutError, ConnectionResetError):
        while chunk := connection.recv(65_536):
            read += chunk
    return int(read.split(b" ", 2)[1]) if read else 0, read.partition(b"\r\n\r\n")[2]


def test_a_request_of_the_usual_kind(connection):
    connection.sendall(head(len(BODY), more="Connection: close\r\n") + BODY)
    assert answer(connection) == (200, b"[2.0]")


@pytest.mark.parametrize("sent", [b"", b"POST /sc", head(len(BODY)), head(len(BODY)) + BODY[:5]], ids=len)
def test_who_stops_in_the_middle_is_told_after_its_time(connection, sent):
    began = time.monotonic()
    connection.sendall(sent)
    status, body = answer(connection)
    assert status == 408
    assert "no whole request within 0.5 s" in json.loads(body)["found"][0]
    assert 0.3 < time.monotonic() - began < 5


def test_a_byte_now_and_then_gains_no_time(connection):
    began = time.monotonic()
    with contextlib.suppress(OSError):
        for byte in head(len(BODY), more="X-A: " + "a" * 1000 + "\r\n"):
            connection.sendall(bytes([byte]))
            time.sleep(0.02)
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("more", ["X-A: " + "a" * 9_000, "\r\n".join(f"X-{i}: {i}" for i in range(2_000))], ids=len)
def test_a_head_has_a_size(connection, more):
    with contextlib.suppress(OSError):
        connection.sendall(f"POST /score/rides HTTP/1.1\r\nHost: x\r\n{more}".encode())
        connection.sendall(b"a" * 100_000)
    assert answer(connection)[0] in (431, 0)


@pytest.mark.parametrize(
    "sent", [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03" * 20, b"GET / HTTP/9.9\r\n\r\n", b"\0" * 99, b"GET\r\n\r\n",
             head(None, more="Content-Length: -1\r\n"), head(None, more="Content-Length: 5\r\nContent-Length: 6\r\n"),
             head(5, more="Transfer-Encoding: chunked\r\n")], ids=lambda s: s[:12],
)  # fmt: skip
def test_what_is_no_http_is_told_so(connection, sent):
    connection.sendall(sent)
    status, body = answer(connection)
    assert status == 400
    assert json.loads(body)["expected"] == "a request as RFC 9112 has it"


def test_a_chunked_body_without_end_is_refused_at_its_limit(connection):
    connection.sendall(head(None, more="Transfer-Encoding: chunked\r\n"))
    sent = 0
    chunk = b"%x\r\n" % 10_000 + b"x" * 10_000 + b"\r\n"
    with contextlib.suppress(OSError):
        while sent < 50_000_000:
            connection.sendall(chunk)
            sent += 10_000
    assert sent < 20_000_000
    status, body = answer(connection)
    assert status in (413, 0)  # 0: the system threw the answer away with what we had sent
    assert b"more than 100,000 bytes" in body or not status


def test_an_answer_that_nobody_reads_is_given_up(connection, port):
    connection.sendall(head(None, "/much", "GET"))
    time.sleep(1.5)
    read = 0
    with contextlib.suppress(ConnectionResetError):
        while chunk := connection.recv(1 << 20):
            read += len(chunk)
    assert read < 30_000_000


def test_others_are_answered_meanwhile(port):
    with contextlib.ExitStack() as stack:
        for _ in range(200):
            slow = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
            slow.sendall(b"POST /score/rides HTTP/1.1\r\nContent-Le")
        with socket.create_connection(("127.0.0.1", port), timeout=10) as quick:
            began = time.monotonic()
            quick.sendall(head(len(BODY), more="Connection: close\r\n") + BODY)
            assert answer(quick) == (200, b"[2.0]")
            assert time.monotonic() - began < 2


def test_requests_in_one_packet_are_answered_in_order(connection):
    connection.sendall((head(len(BODY)) + BODY) * 3 + head(len(BODY), more="Connection: close\r\n") + BODY)
    read = b""
    while chunk := connection.recv(65_536):
        read += chunk
    assert read.count(b"HTTP/1.1 200") == 4
