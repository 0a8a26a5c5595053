"""What is answered in the callback that received it, and what goes uvicorn's way; clients can't tell the two apart."""

import contextlib
import time

import pytest

from ml_assets_tests.serving.at_once.conftest import Running, answers, read, request
from ml_assets_tests.serving.test_app import BODY


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
