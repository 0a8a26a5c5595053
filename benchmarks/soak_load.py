"""The load of the soak: `python -m benchmarks.soak_load PLAN` asks at a fixed rate, and keeps a line of every answer.

Each request has an id of its own, so that all can be looked for in the prediction log. Every answer is read while the
clock runs, as minutes of them would not fit into memory: which version it names, and whether the number is that
version's. How requests are sent and answers taken is in `serving_load`, what is made of the lines in `soak_checks`.
"""

import gc
import json
import sys
import time
from array import array
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.serving_load import Connection, Load, Seen

IDS = "soak-{:09d}"
MOST_SHOWN = 5


@dataclass
class Lines(Seen):
    """A line of every answer, the latest included.

    Args:
        versions: SHA-256 -> its number.
        expected: of each version, by its number: what it predicts for each row.
        number: of the request, 0, 1, 2, …
        version: number of the one that answered.
        sent_ns: when the request was due.
        taken_ns: when its answer was there.
        faults: what was wrong with other answers.
    """

    versions: Mapping[str, int] = field(default_factory=dict)
    expected: Sequence[Sequence[float]] = ()
    number: "array[int]" = field(default_factory=lambda: array("q"))
    version: "array[int]" = field(default_factory=lambda: array("b"))
    sent_ns: "array[int]" = field(default_factory=lambda: array("q"))
    taken_ns: "array[int]" = field(default_factory=lambda: array("q"))
    faults: list[str] = field(default_factory=list)

    def take(self, one: Connection, now_ns: int, status: int, body: bytes) -> None:
        """Read an answer and keep its line."""
        if status != 200:
            self.faults.append(f"request {one.number}: {status} {body[:200]!r}")
            return
        told = json.loads(body)
        version = self.versions.get(told["model_version"])
        [score] = told["outputs"][0]["data"]
        if version is None or score != self.expected[version][one.row or 0]:
            self.faults.append(f"request {one.number}, row {one.row}: {score} by {told['model_version'][:12]}")
            return
        self.number.append(one.number)
        self.version.append(version)
        self.sent_ns.append(one.sent_ns)
        self.taken_ns.append(now_ns)


class SoakLoad(Load):
    """Asks at a rate, each request with an id of its own; arguments as of `Load`."""

    def __init__(self, port: int, requests: Sequence[bytes], connections: int) -> None:
        super().__init__(port, requests, connections, IDS)

    def soak(self, rate: float, seconds: float, seen: Lines) -> None:
        """Ask so often a second, whatever is still under way; all answers count.

        A request that finds all connections taken goes out late, and its waiting counts; none is left out.

        Raises:
            RuntimeError: the server falls behind by as long again.
        """
        began = time.perf_counter_ns()
        gap, due, last = 1e9 / rate, float(began), self.asked + round(rate * seconds)
        while self.asked < last:
            now = time.perf_counter_ns()
            if now - began > 2e9 * seconds:
                raise RuntimeError(f"{last - self.asked:,} requests could not be sent in twice the time")
            free = [c for c in self._under_way.values() if c.row is None] if due <= now else []
            for one in free:
                if due > now or self.asked == last:
                    break
                self._ask(one)
                one.sent_ns = round(due)
                due += gap
            self._take(seen, again=False, wait=0)
        seen.wall = (time.perf_counter_ns() - began) / 1e9
        self._finish(seen)


def main(plan_file: str) -> None:
    """Carry out a plan, and print what came of it as JSON.

    Args:
        plan_file: JSON with `port`, `requests` (whole HTTP requests as text), `connections`, `seconds`, `rate`
            (requests a second), `versions` (SHA-256 of each), `expected` (of each version, a number for each request)
            and `lines`, the file that gets the line of every answer.
    """
    plan: dict[str, Any] = json.loads(Path(plan_file).read_text())
    seen = Lines(versions={v: n for n, v in enumerate(plan["versions"])}, expected=plan["expected"])
    gc.disable()
    with closing(SoakLoad(plan["port"], [r.encode() for r in plan["requests"]], plan["connections"])) as load:
        load.soak(plan["rate"], plan["seconds"], seen)
    np.savez(
        plan["lines"],
        **{name: np.array(getattr(seen, name)) for name in ("number", "version", "sent_ns", "taken_ns")},
    )
    told = {
        "asked": load.asked,
        "lost": seen.lost,
        "faults": len(seen.faults),
        "shown": seen.faults[:MOST_SHOWN],
        "wall": seen.wall,
        "busy": seen.busy / seen.wall,
    }
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
