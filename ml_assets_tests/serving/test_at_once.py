"""What is answered in the callback that received it, and what goes uvicorn's way; clients can't tell the two apart."""

import asyncio
import contextlib
import socket
import threading
import time

import pytest
import uvicorn

from ml_assets.core.errors import InputRefused, TooLarge
from ml_assets.serving.app import App
from ml_assets.serving.at_once import LONGEST_KEPT, AtOnceProtocol
from ml_assets.serving.http import Call, Exposed, Reply
from ml_assets.serving.limits import Limits
from ml_assets.serving.metrics import Metrics
from ml_assets.serving.rounds import HEADS_KEPT

from .conftest import NEW, DataPlane, Picture, alone, model
from .test_app import BODY, EXPOSED


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


def test_what_arrives_whole_is_answered_at_once(server, connection):
    # The first answers are counted when they are out, which the client may see before.
    connection.sendall(request(b"zero"))
    assert answers(connection, 1) == [200]
    before, counted = server.at_once, server.seen("test", 200)
    for body in (b"one", b"two", b""):
        connection.sendall(request(body, more="User-Agent: me\r\nuser-agent: another\r\n"))
        statuses, [head], found = read(connection, 1)
        assert (statuses, found) == ([200], body)
        assert b"x-agent: me" in head
        assert b"content-type: application/json" in head
    assert server.at_once == before + 3
    assert server.seen("test", 200) == counted + 3


@pytest.mark.parametrize(
    ("more", "version"),
    [("Connection: close\r\n", "1.1"), ("", "1.0"), ("Expect: 100-continue\r\n", "1.1")],
    ids=["close", "1.0", "100-continue"],
)
def test_what_needs_more_than_an_answer_goes_the_long_way(server, connection, more, version):
    before = server.at_once
    connection.sendall(request(b"abc", more=more, version=version))
    statuses, heads, found = read(connection, 2 if "Expect" in more else 1)
    assert (statuses[-1], found) == (200, b"abc")
    assert server.at_once == before
    if "Expect" not in more:
        assert b"connection: close" in heads[-1]
        assert connection.recv(1) == b""


@pytest.mark.parametrize("cut", [5, 40, -2], ids=["in the first line", "in the head", "in the body"])
def test_a_request_in_pieces_is_answered_the_same(server, connection, cut):
    whole = request(b"abcdef")
    connection.sendall(whole[:cut])
    time.sleep(0.05)
    connection.sendall(whole[cut:])
    assert read(connection, 1)[::2] == ([200], b"abcdef")


def test_a_body_that_follows_its_head_is_answered_at_once(server, connection):
    before, whole = server.at_once, request(b"abcdef", more="User-Agent: apart\r\n")
    head = whole[:-6]
    for _ in range(2):
        connection.sendall(head)
        time.sleep(0.05)
        connection.sendall(b"abcdef")
        assert read(connection, 1)[::2] == ([200], b"abcdef")
    assert server.at_once == before + 2
    assert head in server.app.at_once._heads
    connection.sendall(head)
    time.sleep(0.05)
    connection.sendall(b"abc")
    time.sleep(0.05)
    connection.sendall(b"def" + whole)
    assert read(connection, 2)[::2] == ([200, 200], b"abcdef" * 2)
    connection.sendall(head)
    assert answers(connection, 1) == [408]


def test_a_server_that_ends_answers_whose_head_has_arrived():
    ending = Running()
    try:
        with ending.connected() as one:
            one.sendall(request(b"abcdef")[:-6])
            time.sleep(0.1)
            ending.server.should_exit = True
            time.sleep(0.3)
            one.sendall(b"abcdef")
            assert read(one, 1)[::2] == ([200], b"abcdef")
            assert one.recv(1) == b""
    finally:
        ending.server.should_exit = True
        ending.thread.join()


@pytest.fixture
def parsed(monkeypatch):
    """Grows by one for each head that is parsed by connections made from now on, which is when they ask for it."""
    found, begin = [], AtOnceProtocol.on_message_begin
    monkeypatch.setattr(AtOnceProtocol, "on_message_begin", lambda self: (found.append(1), begin(self)))
    return found


def test_a_head_that_was_read_before_is_read_no_more_and_means_the_same(server, parsed):
    before = server.at_once
    with server.connected() as one:
        for number in range(3):
            for agent, body in (("me", b"one"), ("you", b"two"), ("me", b"longer")):
                one.sendall(request(body, more=f"User-Agent: {agent}\r\n"))
                statuses, [head], found = read(one, 1)
                assert (statuses, found) == ([200], body)
                assert f"x-agent: {agent}".encode() in head
            assert len(parsed) == 3, number
    assert server.at_once == before + 9
    # Another connection knows it as well; what is not all of a request, or more, is parsed.
    whole = request(b"one", more="User-Agent: me\r\n")
    with server.connected() as another:
        another.sendall(whole)
        assert read(another, 1)[::2] == ([200], b"one")
        assert len(parsed) == 3
        another.sendall(whole[:-1])
        time.sleep(0.05)
        another.sendall(whole[-1:] + whole + whole[:20])
        assert read(another, 2)[::2] == ([200, 200], b"oneone")
        another.sendall(whole[20:])
        assert read(another, 1)[::2] == ([200], b"one")
    assert len(parsed) == 6


def ids_of(connection: socket.socket, more: str) -> bytes:
    """What a request with these headers is understood to have as ids; the status where it is refused."""
    connection.sendall(request(b"abc", more=more))
    statuses, [head], _ = read(connection, 1)
    if statuses != [200]:
        return str(statuses[0]).encode()
    return head.partition(b"x-ids: ")[2].partition(b"\r\n")[0]


def test_heads_that_differ_by_ids_alone_are_parsed_once_and_each_keeps_its_own(server, parsed):
    with server.connected() as one:
        for number in range(5):
            assert ids_of(one, f"X-Request-Id: a{number}\r\n") == b"a%d" % number
            assert ids_of(one, f"TRACEPARENT:00-{number}\r\nX-A: b\r\nx-request-id: {number}\r\n") == (
                b"00-%d, %d" % (number, number)
            )
            assert ids_of(one, f"x-request-id: {number}\r\nx-request-id: b\r\n") == b"%d, b" % number
            assert len(parsed) == 3


@pytest.mark.parametrize(
    ("more", "ids"),
    [
        ("X-Request-Id: \r\n", b""),
        ("X-Request-Id: a {}\r\n", b"a %d"),
        ("X-Request-Id:  a{}\r\n", b"a%d"),
        ("X-Request-Id: a{} \r\n", b"a%d "),
        ("X-Request-Id: \xff{}\r\n", b"\xc3\xbf%d"),
        ("X-Request-Id: {}" + "a" * 200 + "\r\n", b"%d" + b"a" * 200),
        ("X-Request-Id: \r\nTraceparent: {}\r\n", b", %d"),
        ("Traceparent: \r\nX-Request-Id: {}\r\n", b", %d"),
        ("X-Request-Id : {}\r\n", b"400"),
        ("X-Request-Id: {}\r\n b\r\n", b"400"),
        ("X-Request-Id: {}\0\r\n", b"400"),
        ("X-Request-Id: {}\nX-A: b\r\n", b"400"),
    ],
)
def test_heads_whose_ids_are_not_surely_whole_mean_what_the_parser_says(server, parsed, more, ids):
    for number in range(3):
        with server.connected() as one:
            assert ids_of(one, f"X-Request-Id: {number}\r\n") == b"%d" % number
            assert ids_of(one, f"X-Request-Id: {number}\r\nTraceparent: {number}\r\n") == b"%d, %d" % (number, number)
            before = len(parsed)
            assert ids_of(one, more.format(number)) == (ids % number if b"%d" in ids else ids)
            assert len(parsed) == before + 1 or (number > 0 and "{}" not in more)


def test_of_heads_that_nobody_repeats_only_some_are_kept(server, connection):
    for number in range(HEADS_KEPT + 20):
        connection.sendall(request(b"abc", more=f"X-Trace: {number}\r\n"))
        assert answers(connection, 1) == [200]
    connection.sendall(request(b"abc", more=f"X-Trace: {'x' * LONGEST_KEPT}\r\n"))
    assert answers(connection, 1) == [200]
    kept = server.app.at_once._heads
    assert len(kept) == HEADS_KEPT
    assert max(len(head) if isinstance(head, bytes) else sum(map(len, head)) for head in kept) <= LONGEST_KEPT


def test_a_body_in_chunks_has_no_head_that_is_kept(server, connection):
    head = b"POST /echo HTTP/1.1\r\nHost: x\r\nX-Of: chunks\r\nTransfer-Encoding: chunked\r\n\r\n"
    connection.sendall(head + b"3\r\nabc\r\n0\r\n\r\n")
    assert read(connection, 1)[::2] == ([200], b"abc")
    assert not any(b"chunks" in kept for kept in server.app.at_once._heads)


def test_what_follows_no_request_is_refused_behind_the_answers_before_it(connection):
    connection.sendall(request(b"one") + request(b"two") + b"no request\r\n\r\n")
    assert read(connection, 3)[0] == [200, 200, 400]
    assert connection.recv(1) == b""


def test_chunks_are_put_together(connection):
    head = b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    connection.sendall(head + b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n" + head + b"4\r\nonly\r\n0\r\n\r\n")
    assert read(connection, 2)[::2] == ([200, 200], b"abcdeonly")


def test_requests_in_one_packet_are_answered_in_their_order(connection):
    sent = [b"1", b"large 2", b"3", b"4"]
    connection.sendall(b"".join(map(request, sent)))
    assert read(connection, 4)[::2] == ([200] * 4, b"1LARGE 234")


def test_what_takes_a_while_becomes_a_task_and_holds_up_nobody(server, connection):
    before = server.at_once
    connection.sendall(request(b"large one"))
    assert read(connection, 1)[::2] == ([200], b"LARGE ONE")
    assert server.at_once == before


def test_a_handler_that_waits_is_a_mistake_of_ours(connection, caplog):
    connection.sendall(request(b"waits"))
    assert answers(connection, 1) == [500]
    assert "a handler waited where it must not" in caplog.text


def test_refusals_and_failures_keep_the_connection_where_the_body_was_read(connection, caplog):
    connection.sendall(request(b"refused"))
    assert answers(connection, 1) == [400]
    connection.sendall(request(b"broken"))
    assert answers(connection, 1) == [500]
    assert "ZeroDivisionError" in caplog.text
    connection.sendall(request(b"well"))
    assert read(connection, 1)[::2] == ([200], b"well")
    connection.sendall(request(b"too large"))
    statuses, [head], _ = read(connection, 1)
    assert statuses == [413]
    assert b"connection: close" in head
    assert connection.recv(1) == b""


def test_other_methods_and_queries_are_not_taken_for_it(connection):
    connection.sendall(request(b"", method="GET"))
    assert answers(connection, 1) == [405]
    connection.sendall(request(b"abc", "/echo?a=1"))
    assert read(connection, 1)[::2] == ([200], b"abc")


@pytest.mark.slow
def test_idle_connections_are_closed_after_their_time_and_not_before(connection):
    connection.sendall(request(b"abc"))
    assert answers(connection, 1) == [200]
    time.sleep(1.0)
    connection.sendall(request(b"still there"))
    assert answers(connection, 1) == [200]
    began = time.monotonic()
    assert connection.recv(1) == b""
    assert 1.8 < time.monotonic() - began < 4


def test_a_further_request_has_its_time_too(connection):
    connection.sendall(request(b"abc"))
    assert answers(connection, 1) == [200]
    connection.sendall(request(b"abcdef")[:-2])
    began = time.monotonic()
    assert answers(connection, 1) == [408]
    assert 0.4 < time.monotonic() - began < 3


@pytest.mark.slow
def test_who_does_not_read_is_given_up(connection):
    for _ in range(20):
        connection.sendall(request(b"much"))
    time.sleep(1.5)
    got = 0
    with contextlib.suppress(ConnectionResetError):
        while chunk := connection.recv(1 << 20):
            got += len(chunk)
    assert got < 400_000_000


def test_too_many_connections_are_told_so(server):
    with contextlib.ExitStack() as stack:
        made = [stack.enter_context(server.connected()) for _ in range(60)]
        time.sleep(0.2)
        made[-1].sendall(request(b"abc"))
        assert answers(made[-1], 1) == [503]


@pytest.mark.slow
def test_a_server_that_ends_asks_clients_to_go(server, connection):
    connection.sendall(request(b"abc"))
    assert answers(connection, 1) == [200]
    before, told = server.at_once, server.server.config.encoded_headers
    told.append((b"connection", b"close"))
    time.sleep(1.2)  # uvicorn takes them over once a second
    try:
        connection.sendall(request(b"abc"))
        statuses, [head], _ = read(connection, 1)
    finally:
        told.pop()
        time.sleep(1.2)
    assert server.at_once == before + 1
    assert statuses == [200]
    assert b"connection: close" in head
    assert connection.recv(1) == b""


def test_a_scored_row_is_the_same_both_ways(server, connection):
    connection.sendall(request(BODY, "/score/rides") + request(BODY, "/score/rides", more="Connection: close\r\n"))
    statuses, _, bodies = read(connection, 2)
    assert (statuses, bodies) == ([200, 200], b"[2.0][2.0]")
