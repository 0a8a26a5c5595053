"""The load generator of the serving benchmark counts what a server does wrong, and only what came in time."""

import json
import socket
import threading
import time
from contextlib import closing

import pytest

from benchmarks.serving import aims, table
from benchmarks.serving_contenders import CONTENDERS, OURS, OURS_INVOCATIONS
from benchmarks.serving_load import Load, main, parse, percentile, wrong
from benchmarks.serving_process import Started

EXPECTED = [0.1, 0.2, 0.3]


class Answering:
    """A server that answers `{"y": [row / 10]}` to a request whose body is the number of a row.

    Args:
        spoil: from how many answers so far, and the body, to the whole HTTP answer; None closes the connection.
    """

    def __init__(self, spoil=None):
        self.spoil, self.answers = spoil, 0
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port = self.listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                made, _ = self.listening.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(made,), daemon=True).start()

    def _answer(self, made):
        with made:
            while data := made.recv(65536):
                self.answers += 1
                body = json.dumps({"y": [EXPECTED[int(data.rpartition(b"\r\n\r\n")[2])]]}).encode()
                told = http(body) if self.spoil is None else self.spoil(self.answers, body)
                if told is None:
                    return
                made.sendall(told)


def http(body: bytes, status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


@pytest.fixture
def server():
    made = []

    def start(spoil=None):
        made.append(Answering(spoil))
        return made[-1]

    yield start
    for one in made:
        one.listening.close()


def requests() -> list[bytes]:
    return [f"POST /x HTTP/1.1\r\ncontent-length: 1\r\n\r\n{row}".encode() for row in range(3)]


def asked(server, connections=4, seconds=0.05):
    with closing(Load(server.port, requests(), connections)) as load:
        return load.run(seconds)


def test_answers_are_counted_and_compared_with_what_was_asked(server):
    seen = asked(server())

    assert len(seen.answers) == len(seen.latencies_ns) > 10
    assert {row for row, _, _ in seen.answers} == {0, 1, 2}
    assert wrong(seen, EXPECTED, ["y", 0]) == 0
    assert wrong(seen, [*EXPECTED[:2], 0.4], ["y", 0]) == sum(row == 2 for row, _, _ in seen.answers) > 0
    assert 0.05 <= seen.wall < 5
    assert 0 < seen.busy < seen.wall


def test_an_answer_that_is_no_200_is_wrong_whatever_it_says(server):
    seen = asked(server(lambda n, body: http(body, "503 No" if n == 3 else "200 OK")), connections=1)

    assert wrong(seen, EXPECTED, ["y", 0]) == wrong(seen, None, []) == 1


def test_a_closed_connection_is_a_lost_request_and_the_load_goes_on(server):
    seen = asked(server(lambda n, body: None if n in (3, 5) else http(body)), connections=1)

    assert seen.lost == 2
    assert len(seen.answers) > 5


def test_what_comes_late_is_waited_for_and_not_counted(server):
    hold = threading.Event()
    threading.Timer(0.2, hold.set).start()
    with closing(Load(server(lambda _, body: hold.wait() and http(body)).port, requests(), 2)) as load:
        seen = load.run(0.05)

    assert hold.is_set()
    assert not seen.answers
    assert load.answered == 2


def test_requests_go_out_when_they_are_due(server):
    with closing(Load(server().port, requests(), 4)) as load:
        seen = load.run_at(100, 0.3)

    assert 5 <= len(seen.answers) <= 31


def test_a_request_that_waits_for_a_connection_was_due_all_the_same(server):
    def slow(_, body):
        time.sleep(0.02)
        return http(body)

    with closing(Load(server(slow).port, requests(), 1)) as load:
        seen = load.run_at(100, 0.3)

    assert len(seen.answers) < 20
    assert max(seen.latencies_ns) > 5 * 20e6


def test_a_plan_is_told_as_json(server, tmp_path, capsys):
    plan = {"port": server().port, "requests": [r.decode() for r in requests()], "connections": 2, "expected": EXPECTED,
            "answer": ["y", 0], "warm_seconds": 0.01, "seconds": 0.05}  # fmt: skip
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    main(str(tmp_path / "plan.json"))
    told = json.loads(capsys.readouterr().out)

    assert told["wrong"] == told["lost"] == 0
    assert told["answered_with_warm_up"] >= told["answered"] > 0
    assert 0 < told["p50_ms"] <= told["p99_ms"]


def test_answers_in_pieces_are_read_when_they_are_whole():
    whole = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\n[1,\r\n2\r\n2]\r\n0\r\n\r\n"

    assert parse(whole) == (200, b"[1,2]")
    assert all(parse(whole[:cut]) is None for cut in range(len(whole)))
    with pytest.raises(ValueError, match="without a length"):
        parse(b"HTTP/1.1 200 OK\r\n\r\n[]")


def test_the_99th_percentile_of_a_hundred_is_the_last_but_one():
    assert percentile(list(range(1, 101)), 99) == 99
    assert percentile([7], 99) == 7


@pytest.mark.parametrize(("theirs", "missed"), [(10.0, 0), (200.0, 6)])
def test_an_aim_that_is_missed_is_told_so(theirs, missed):
    """Ours answers 100 a second; 200 of MLflow, MLServer, BentoML, KServe and an empty handler are all too many."""
    turn = {"p50_ms": 2.0, "p99_ms": 4.0, "per_second": theirs}
    ours = {"p50_ms": 1.0, "p99_ms": 2.0, "per_second": 100.0}
    cells = {n: {c: [ours if n in (OURS, OURS_INVOCATIONS) else turn] for c in (1, 16, 64)} for n in CONTENDERS}
    lines = aims(cells, {OURS: [Started(1.0, 2.0, 150.0 if theirs < 100 else 250.0, 1)]})

    assert sum(line.endswith("MISSED") for line in lines) == missed


def test_ratios_are_those_of_each_turn():
    """Whatever slows a turn slows all that is asked in it."""
    turns = [{"per_second": 1000.0 / slow, "p50_ms": 1.0, "p99_ms": 2.0, "cpu_us": 100.0 * slow} for slow in (1, 2, 5)]
    half = [{**turn, "per_second": turn["per_second"] / 2, "cpu_us": turn["cpu_us"] * 2} for turn in turns]

    assert table({OURS: {16: turns}, "other": {16: half}}, 16).splitlines()[-1] == (
        "| other | 250 | 2.00 × | 1.00 | 2.00 | 400 | 2.00 |"
    )
