"""Answers of one round of the event loop go out together, in their order, and none is lost; without a socket."""

import asyncio

import pytest
import uvicorn
from uvicorn.server import ServerState

from ml_assets.serving.app import App
from ml_assets.serving.at_once import AtOnceProtocol
from ml_assets.serving.http import Reply
from ml_assets.serving.rounds import MOST_OF_A_ROUND, Begun, Rounds
from ml_assets_tests.serving.test_app import EXPOSED

CLOSE = ((b"connection", b"close"),)


def request(body: bytes) -> bytes:
    return b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


class Wire(asyncio.Transport):
    """What was written to a client."""

    def __init__(self) -> None:
        super().__init__()
        self.written, self.closed = [], False

    def write(self, data):
        self.written.append(data)

    def is_closing(self):
        return self.closed

    def close(self):
        self.closed = True


def connected_to(way: Rounds, loop: asyncio.AbstractEventLoop, state: ServerState) -> AtOnceProtocol:
    async def app(scope, receive, send):
        raise AssertionError("what is whole is answered at once")

    app.at_once = way
    config = uvicorn.Config(app, http=AtOnceProtocol, lifespan="off", ws="none", log_config=None)
    config.load()
    config.loaded_app = app
    made = AtOnceProtocol(config=config, server_state=state, app_state={}, _loop=loop)
    made.connection_made(Wire())
    return made


@pytest.fixture
def in_a_round():
    """Runs a function in one round of a loop, with some connections; then the next rounds."""
    echoing = Rounds()
    echoing.paths[b"/echo"] = lambda head, body: Begun(
        None, lambda _: Reply(body, headers=CLOSE if body == b"last" else ())
    )

    async def run(see, connections, way):
        loop = asyncio.get_running_loop()
        state = ServerState()
        made = [connected_to(way, loop, state) for _ in range(connections)]
        see(made)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        told = [b"".join(c.transport.written) for c in made]
        for one in made:
            one.connection_lost(None)
        return told

    return lambda see, connections=3, way=echoing: asyncio.run(run(see, connections, way))


def bodies(written: bytes) -> list[bytes]:
    return [part.rpartition(b"\r\n\r\n")[2] for part in written.split(b"HTTP/1.1 200 OK")[1:]]


def test_answers_of_a_round_go_out_together_when_all_are_there(in_a_round):
    def see(made):
        for number, one in enumerate(made):
            one.data_received(request(b"%d" % number))
        assert not any(c.transport.written for c in made)

    assert [bodies(told) for told in in_a_round(see)] == [[b"%d" % number] for number in range(3)]


@pytest.mark.parametrize("first", [1, 2])
def test_only_where_several_have_come_others_are_looked_for_once_more(in_a_round, first):
    written = []

    def come_later(made):
        written.append([len(c.transport.written) for c in made])
        made[2].data_received(request(b"later"))

    def see(made):
        for one in made[:first]:
            one.data_received(request(b"first"))
        asyncio.get_running_loop().call_soon(come_later, made)

    told = in_a_round(see)
    assert [bodies(one) for one in told] == [*[[b"first"]] * first, *[[]] * (2 - first), [b"later"]]
    assert written == [[1, 0, 0] if first == 1 else [0, 0, 0]]


def test_a_single_client_waits_for_nobody(in_a_round):
    def see(made):
        made[0].data_received(request(b"one"))
        assert bodies(b"".join(made[0].transport.written)) == [b"one"]

    assert [bodies(told) for told in in_a_round(see, 1)] == [[b"one"]]


def test_a_connection_that_goes_on_is_not_waited_for_by_others(in_a_round):
    def see(made):
        made[0].data_received(request(b"0"))
        made[1].data_received(request(b"1") + request(b"2"))
        assert [bodies(b"".join(c.transport.written)) for c in made[:2]] == [[b"0"], [b"1"]]
        made[1].data_received(request(b"3"))
        assert bodies(b"".join(made[1].transport.written)) == [b"1", b"2"]

    assert [bodies(told) for told in in_a_round(see)] == [[b"0"], [b"1", b"2", b"3"], []]


def test_of_very_many_the_first_are_not_kept_waiting(in_a_round):
    def see(made):
        for one in made[:-2]:
            one.data_received(request(b"one"))
        assert not any(c.transport.written for c in made)
        made[-2].data_received(request(b"two"))
        assert [len(c.transport.written) for c in made[:-1]] == [1] * MOST_OF_A_ROUND
        made[-1].data_received(request(b"three"))
        assert made[-1].transport.written == []

    assert [len(bodies(told)) for told in in_a_round(see, MOST_OF_A_ROUND + 1)] == [1] * (MOST_OF_A_ROUND + 1)


def test_nothing_that_is_answered_is_lost_when_a_connection_ends(in_a_round):
    def see(made):
        made[0].data_received(request(b"one"))
        made[0].shutdown()
        assert bodies(b"".join(made[0].transport.written)) == [b"one"]
        assert made[0].transport.closed
        made[1].data_received(request(b"two"))
        made[1].data_received(request(b"last"))
        made[2].data_received(request(b"gone"))
        made[2].transport.closed = True

    assert [bodies(told) for told in in_a_round(see)] == [[b"one"], [b"two", b"last"], []]


def test_everybody_gets_what_he_asked_for(plane, in_a_round, told):
    app = App(plane, [exposed._replace(at_once=True) for exposed in EXPOSED])
    app._looked_up({"type": "http", "method": "POST", "path": "/score/rides", "headers": []})

    def ask(miles: str, number: int) -> bytes:
        body = b'{"columns": {"miles": [%b], "zone": ["a"]}}' % miles.encode()
        head = b"POST /score/rides HTTP/1.1\r\nHost: x\r\nX-Request-Id: r%d\r\nContent-Length: %d\r\n\r\n"
        return head % (number, len(body)) + body

    asked = ["1.0", "2.5", '"far"', "null", "7.0"]

    def see(made):
        for number, (one, miles) in enumerate(zip(made, asked, strict=True)):
            one.data_received(ask(miles, number))

    answers = in_a_round(see, len(asked), app.at_once)
    assert [answer.split(b" ", 2)[1] for answer in answers] == [b"200", b"200", b"400", b"200", b"200"]
    assert [answer.rpartition(b"\r\n\r\n")[2] for answer in answers if b"200 OK" in answer] == [
        b"[1.0]", b"[2.5]", b"[0.0]", b"[7.0]",
    ]  # fmt: skip
    assert all(b"x-request-id: r%d\r\n" % number in answers[number] for number in (0, 1, 3, 4))
    assert [(s.request_id, s.predictions) for s in told] == [
        ("r0", [1.0]), ("r1", [2.5]), ("r3", [0.0]), ("r4", [7.0]),
    ]  # fmt: skip
