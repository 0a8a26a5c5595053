"""Heads that are read once, what of them may differ, and which are not kept."""

import socket
import time

import pytest

from ml_assets.serving.at_once import LONGEST_KEPT, AtOnceProtocol
from ml_assets.serving.rounds import HEADS_KEPT
from ml_assets_tests.serving.at_once.conftest import answers, read, request


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
