"""The soak: what it makes of answers and log, and a short one with swaps against a real server."""

import json
from contextlib import closing

import numpy as np
import polars as pl
import pytest

from benchmarks.serving_load import Connection
from benchmarks.soak import soak
from benchmarks.soak_checks import Sample, Swap, lags, log_faults, slope_mb_a_minute, torn
from benchmarks.soak_load import IDS, Lines, SoakLoad
from benchmarks.soak_report import Soaked, told
from ml_assets_tests.test_serving_load import Answering, http

SECOND = 1_000_000_000
VERSIONS = ["a" * 64, "b" * 64]


def line(version: int, score: float, status: int = 200) -> tuple[int, bytes]:
    told = {"model_version": [*VERSIONS, "c" * 64][version], "outputs": [{"data": [score]}]}
    return status, json.dumps(told).encode()


def lines() -> Lines:
    return Lines(versions={v: n for n, v in enumerate(VERSIONS)}, expected=[[1.0, 2.0], [10.0, 20.0]])


def test_an_answer_counts_only_with_the_number_of_the_version_that_it_names():
    seen, one = lines(), Connection(None, row=1, number=7, sent_ns=5)
    seen.take(one, 9, *line(0, 2.0))
    seen.take(one, 9, *line(1, 20.0))
    assert (list(seen.version), list(seen.number), list(seen.taken_ns)) == ([0, 1], [7, 7], [9, 9])
    assert seen.faults == []
    for wrong in (line(0, 20.0), line(1, 2.0), line(2, 2.0), line(0, 2.0, 503)):
        seen.take(one, 9, *wrong)
    assert len(seen.faults) == 4
    assert len(seen.number) == 2


def test_every_request_has_its_own_id_and_none_is_left_out():
    seen, ids = lines(), []

    def answer(_, __):
        return http(line(0, 1.0)[1])

    class Telling(Answering):
        def _answer(self, made):
            with made:
                while data := made.recv(65536):
                    ids.append(data.split(b"x-request-id: ")[1].split(b"\r\n")[0].decode())
                    made.sendall(answer(0, b""))

    server = Telling()
    with closing(server.listening), closing(SoakLoad(server.port, [b"POST /x HTTP/1.1\r\n\r\n0"], 2)) as load:
        load.soak(400, 0.25, seen)
    assert load.asked == len(seen.number) == 100
    assert sorted(ids) == [IDS.format(n) for n in range(100)]
    assert 0.2 < seen.wall < 5
    assert 0 < seen.busy < seen.wall


def test_a_swap_that_takes_long_or_never_takes_effect_is_seen():
    swaps = [Swap("release", 1, 10 * SECOND), Swap("rollback", 0, 20 * SECOND)]
    version = np.array([0, 0, 1, 1])
    taken = np.array([9, 11, 13, 21]) * SECOND
    first, second = lags(swaps, version, taken)
    assert first == 3.0
    assert np.isnan(second)


def test_an_answer_of_the_model_before_is_torn_only_if_it_was_asked_for_afterwards():
    swaps = [Swap("release", 1, 10 * SECOND)]
    taken = np.array([9, 12, 13, 14]) * SECOND
    assert torn(swaps, np.array([0, 1, 0, 1]), np.array([8, 11, 11, 13]) * SECOND, taken) == 0, "it was under way"
    assert torn(swaps, np.array([0, 1, 0, 1]), np.array([8, 11, 12.5, 13]) * SECOND, taken) == 1


@pytest.mark.parametrize(
    ("ids", "bundles", "faults"),
    [
        ([0, 1, 2], [0, 1, 0], []),
        ([0, 2], [0, 0], ["1 requests answered and not in the log"]),
        ([0, 1, 1, 2], [0, 1, 1, 0], ["1 requests in the log more than once"]),
        ([0, 1, 2], [0, 0, 0], ["1 requests in the log with another version"]),
        ([0, 1, 2, 3], [0, 1, 0, 0], ["1 requests in the log and not answered"]),
        ([], [], ["3 requests answered and not in the log"]),
    ],
)
def test_the_log_has_what_was_answered_and_each_once(ids, bundles, faults):
    schema = {"request_id": pl.String, "bundle": pl.String}
    log = pl.DataFrame([[IDS.format(n) for n in ids], [VERSIONS[b] for b in bundles]], schema=schema)
    found = log_faults(log, {0: 0, 1: 1, 2: 0}, VERSIONS)
    assert [f.partition(",")[0] for f in found] == faults


def test_memory_that_grows_is_told_as_missed():
    grows = [
        Sample(at, 100.0 + at / 20 + n % 2 * 30, ["release", "rollback"][n % 2])
        for n, at in enumerate(range(0, 600, 10))
    ]
    assert slope_mb_a_minute(grows) == 3.0
    seen = Soaked(
        capacity=1000, rate=800, seconds=600, requests=480_000, latencies_ms=np.array([1.0, 2.0]),
        calm=np.array([False, True]), swaps=[Swap("release", 1, 0)], lags=[2.5], memory=grows, logged=480_000, busy=0.2,
    )  # fmt: skip
    assert told(seen).count("MISSED") == 2
    assert told(seen).count("| 480,000 |") == 2
    assert "after a swap | 2.00, 2.00 |" in told(seen)


@pytest.mark.slow(seconds=50)
def test_a_short_soak_with_swaps(tmp_path):
    seen = soak(tmp_path, 24, 12, trees=100, capacity_seconds=2, share=0.3)
    assert seen.requests == seen.logged == round(seen.rate * 24)
    assert [s.kind for s in seen.swaps] == ["release", "rollback"] * 6
    assert {s.version for s in seen.swaps} == {0, 1, 2}
    assert max(seen.lags) < 15, "two on quiet cores"
    assert max(s.mb for s in seen.memory) < 300
