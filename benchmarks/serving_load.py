"""The load generator: `python -m benchmarks.serving_load PLAN` asks a server and prints what came back, as JSON.

A closed loop over keep-alive connections: each sends its next request when it has its answer; or so many requests a
second, due when they are due. One process with non-blocking sockets and finished requests, since clients of Python
(httpx, aiohttp, requests) take more CPU per request than the servers, and would be what is measured; wrk, ab and hey
are no packages of Python's index, and check no answers. It never sleeps: its core would take some 50 µs to wake up,
more than the fastest of the servers take to answer. Answers are kept, and compared with what was expected after the
clock has stopped.
"""

import gc
import json
import select
import socket
import sys
import time
from array import array
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

DRAIN_SECONDS = 30.0


@dataclass
class Connection:
    """A socket, and the request that is under way on it; `row` is None where none is."""

    socket: socket.socket
    row: int | None = None
    number: int = 0
    sent_ns: int = 0
    received: bytearray = field(default_factory=bytearray)


@dataclass
class Seen:
    """What came back within the time that counts.

    Args:
        latencies_ns: from sending to the answer's last byte.
        answers: row asked for, HTTP status, body.
        lost: requests whose connection the server closed or reset.
        wall: seconds that counted.
        busy: seconds of them in which the generator worked on answers, and on the requests that follow them at once.
    """

    latencies_ns: "array[int]" = field(default_factory=lambda: array("q"))
    answers: list[tuple[int, int, bytes]] = field(default_factory=list)
    lost: int = 0
    wall: float = 0.0
    busy: float = 0.0

    def take(self, one: Connection, now_ns: int, status: int, body: bytes) -> None:
        """Keep an answer."""
        self.latencies_ns.append(now_ns - one.sent_ns)
        self.answers.append((one.row, status, body))  # type: ignore[arg-type]


def main(plan_file: str) -> None:
    """Carry out a plan.

    Args:
        plan_file: JSON with `port`, `requests` (whole HTTP requests as text), `connections`, `warm_seconds`, `seconds`,
            `rate` (requests a second; absent: as many as are answered), `ids` (see `Load`; absent: none), `expected` (a
            number for each request, or null) and `answer` (keys and indices that lead to the number in the answer's
            JSON).
    """
    plan = json.loads(Path(plan_file).read_text())
    gc.disable()
    requests = [text.encode() for text in plan["requests"]]
    with closing(Load(plan["port"], requests, plan["connections"], plan.get("ids"))) as load:
        rate = plan.get("rate")
        run = load.run if rate is None else partial(load.run_at, rate)
        warm, seen = run(plan["warm_seconds"]), run(plan["seconds"])
    told = {
        "answered": len(seen.answers),
        "answered_with_warm_up": load.answered,
        "wrong": sum(wrong(one, plan["expected"], plan["answer"]) for one in (warm, seen)),
        "lost": warm.lost + seen.lost,
        "per_second": len(seen.answers) / seen.wall,
        "busy": seen.busy / seen.wall,
        **{f"p{q}_ms": percentile(seen.latencies_ns, q) / 1e6 for q in (50, 99)},
    }
    sys.stdout.write(json.dumps(told) + "\n")


class Load:
    """Connections to a server, and what they ask it, over and over.

    Args:
        port: of the server, on this machine.
        requests: whole HTTP requests.
        connections: how many ask at once.
        ids: from the number of a request to its `x-request-id`, as a format; None: they have none.
    """

    def __init__(self, port: int, requests: Sequence[bytes], connections: int, ids: str | None = None) -> None:
        self._port, self._requests, self._next = port, requests, 0
        self._ids, self._parts = ids, [text.split(b"\r\n", 1) for text in requests]
        self._poll = select.epoll()
        self._under_way: dict[int, Connection] = {}
        self.asked = self.answered = 0
        """Requests so far, those included that came too late to count."""
        for _ in range(connections):
            self._connect()

    def run(self, seconds: float) -> Seen:
        """Ask for so long, then wait for what is under way, which does not count.

        Raises:
            RuntimeError: answers stay away.
        """
        seen = Seen()
        began = time.perf_counter_ns()
        end = began + round(seconds * 1e9)
        for one in list(self._under_way.values()):
            self._ask(one)
        while (now := time.perf_counter_ns()) < end:
            self._take(seen, again=True, wait=0)
        seen.wall = (now - began) / 1e9
        self._drain(seen)
        return seen

    def run_at(self, rate: float, seconds: float) -> Seen:
        """Ask so often a second, whatever is still under way; an answer's latency begins when its request was due.

        A request that finds all connections taken goes out late, and its waiting counts.
        """
        seen = Seen()
        began = time.perf_counter_ns()
        end, gap, due = began + round(seconds * 1e9), 1e9 / rate, float(began)
        while (now := time.perf_counter_ns()) < end:
            # Of those that are free, who has been so for longest: clients take turns with each other.
            free = (c for c in self._under_way.values() if c.row is None)
            for one in sorted(free, key=lambda c: c.sent_ns) if due <= now else ():
                if due > now:
                    break
                self._ask(one)
                one.sent_ns = round(due)
                due += gap
            self._take(seen, again=False, wait=0)
        seen.wall = (now - began) / 1e9
        self._drain(seen)
        return seen

    def close(self) -> None:
        """Close the connections."""
        for one in self._under_way.values():
            one.socket.close()
        self._poll.close()

    def _drain(self, seen: Seen) -> None:
        """Wait for what is under way."""
        late = Seen()
        self._finish(late)
        seen.lost += late.lost

    def _finish(self, seen: Seen) -> None:
        began = time.monotonic()
        while any(one.row is not None for one in self._under_way.values()):
            self._take(seen, again=False)
            if time.monotonic() - began > DRAIN_SECONDS:
                raise RuntimeError(f"the server owes answers for more than {DRAIN_SECONDS:g} s")

    def _take(self, seen: Seen, *, again: bool, wait: float = 0.1) -> None:
        """Take what has come; whoever has a whole answer asks again."""
        came = self._poll.poll(wait)
        began = time.perf_counter_ns()
        for number, _ in came:
            one = self._under_way[number]
            try:
                data = one.socket.recv(65536)
            except OSError:
                data = b""
            now = time.perf_counter_ns()
            if not data:
                seen.lost += one.row is not None
                self._poll.unregister(number)
                one.socket.close()
                del self._under_way[number]
                one = self._connect()
            else:
                one.received += data
                answer = parse(one.received)
                if answer is None:
                    continue
                seen.take(one, now, *answer)
                one.received.clear()
                one.row = None
                self.answered += 1
            if again:
                self._ask(one)
        if came:
            seen.busy += (time.perf_counter_ns() - began) / 1e9

    def _ask(self, one: Connection) -> None:
        one.row = self._next = (self._next + 1) % len(self._requests)
        one.number, self.asked = self.asked, self.asked + 1
        one.sent_ns = time.perf_counter_ns()
        one.socket.send(self._text(one.row, one.number))

    def _text(self, row: int, number: int) -> bytes:
        """The HTTP request for a row, the how-manieth of all."""
        if self._ids is None:
            return self._requests[row]
        first, rest = self._parts[row]
        return b"%b\r\nx-request-id: %b\r\n%b" % (first, self._ids.format(number).encode(), rest)

    def _connect(self) -> Connection:
        made = socket.create_connection(("127.0.0.1", self._port), timeout=10)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        made.setblocking(False)
        one = self._under_way[made.fileno()] = Connection(made)
        self._poll.register(made.fileno(), select.EPOLLIN)
        return one


def parse(received: bytes | bytearray) -> tuple[int, bytes] | None:
    """Status and body of an HTTP answer; None until it is there whole.

    >>> parse(b"HTTP/1.1 200 OK\\r\\ncontent-length: 2\\r\\n\\r\\n[]")
    (200, b'[]')
    >>> parse(b"HTTP/1.1 200 OK\\r\\ncontent-length: 2\\r\\n\\r\\n[")
    >>> parse(b"HTTP/1.1 200 OK\\r\\ntransfer-encoding: chunked\\r\\n\\r\\n2\\r\\n[]\\r\\n0\\r\\n\\r\\n")
    (200, b'[]')
    """
    head, found, body = bytes(received).partition(b"\r\n\r\n")
    if not found:
        return None
    status, told = int(head[9:12]), head.lower()
    at = told.find(b"content-length:")
    if at >= 0:
        length = int(told[at + 15 :].split(b"\r\n", 1)[0])
        return (status, body) if len(body) >= length else None
    if b"transfer-encoding: chunked" in told:
        return (status, _joined(body)) if body.endswith(b"0\r\n\r\n") else None
    raise ValueError(f"an answer without a length: {head!r}")


def _joined(chunks: bytes) -> bytes:
    parts = []
    while chunks:
        size, _, chunks = chunks.partition(b"\r\n")
        parts.append(chunks[: int(size, 16)])
        chunks = chunks[int(size, 16) + 2 :]
    return b"".join(parts)


def wrong(seen: Seen, expected: Sequence[float | None] | None, answer: list[str | int]) -> int:
    """How many answers were no 200, or held another number than expected."""
    return sum(
        not _is_right(status, body, None if expected is None else expected[row], answer)
        for row, status, body in seen.answers
    )


def _is_right(status: int, body: bytes, expected: float | None, answer: list[str | int]) -> bool:
    if status != 200 or expected is None:
        return status == 200
    found: Any = json.loads(body)
    for key in answer:
        found = found[key]
    return bool(found == expected)


def percentile(values: "array[int]", q: int) -> float:
    """The smallest value that at least `q` percent of them do not exceed; NaN of none.

    >>> percentile(array("q", [4, 1, 3, 2]), 50)
    2
    """
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * q // 100) - 1)] if ordered else float("nan")


if __name__ == "__main__":
    main(*sys.argv[1:])
