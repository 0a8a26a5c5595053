"""The state table of what lands in a source: what is asked for, what waits, what is given up."""

from datetime import UTC, datetime, timedelta

import pytest

from ml_assets.core.errors import ConfigError
from ml_assets.core.landing import PAUSES, Attempt, Ingested, State, decide, outstanding, refuse_other_source

NOW = datetime(2024, 5, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
A, B = "a" * 8, "b" * 8
KEY = f"rides/2024-01/{A}/"
OTHER = f"rides/2024-01/{B}/"


def run(number: int, state: State, ago: timedelta | None = None, run_id: str = "", cause: str = KEY) -> Attempt:
    return Attempt("2024-01", f"{cause}{number}", run_id or f"run-{number}", state, None if ago is None else NOW - ago)


def asked(attempts=(), held: Ingested | None = None, offered: str | None = A, **options):
    return decide(
        "rides",
        over=4,
        offered={} if offered is None else {"2024-01": offered},
        ingested={} if held is None else {"2024-01": held},
        attempts=attempts,
        now=NOW,
        **options,
    )


FAILED = [run(1, State.FAILED, 30 * MINUTE), run(2, State.FAILED, 20 * MINUTE), run(3, State.FAILED, 10 * MINUTE)]
BY_HAND = Attempt("2024-01", "", "by-hand", State.IN_FLIGHT, None)

TABLE = {
    "nothing in the source": (asked(offered=None), None),
    "new": (asked(), (KEY + "1", "new")),
    "nothing new": (asked(held=Ingested(A, "run-1")), None),
    "changed": (asked(held=Ingested(B, "old")), (KEY + "1", "changed")),
    "it is not known what was read": (asked(held=Ingested(None, "old")), (KEY + "1", "changed")),
    "in flight": (asked([run(1, State.IN_FLIGHT)]), None),
    "in flight for what it was before": (asked([run(1, State.IN_FLIGHT, cause=OTHER)]), None),
    "a person is at it": (asked([BY_HAND]), None),
    "a daemon was killed before handing it over": (asked([run(1, State.CREATED)]), (KEY + "1", "new")),
    "failed just now": (asked([run(1, State.FAILED, 0.5 * MINUTE)]), None),
    "failed a while ago": (asked([run(1, State.FAILED, MINUTE)]), (KEY + "2", "new")),
    "failed twice": (asked([run(1, State.FAILED, 9 * MINUTE), run(2, State.FAILED, 2 * MINUTE)]), None),
    "failed twice, a while ago": (asked(FAILED[:2]), (KEY + "3", "new")),
    "the second try was not handed over": (asked([FAILED[0], run(2, State.CREATED)]), (KEY + "2", "new")),
    "the second try is in flight": (asked([FAILED[0], run(2, State.IN_FLIGHT)]), None),
    "given up": (asked(FAILED), None),
    "given up, and a person tried in vain": (asked([*FAILED, run(3, State.FAILED, MINUTE, "again")]), None),
    "given up, and changed since": (
        asked(FAILED, offered=B),
        (OTHER + "1", "new"),
    ),
    "given up, and changed since it was ingested": (
        asked(FAILED, held=Ingested(A, "by hand"), offered=B),
        (OTHER + "1", "changed"),
    ),
    "given up, and put right by hand": (asked(FAILED, held=Ingested(A, "by hand")), None),
    "as it was before the last change": (
        asked(
            [run(1, State.SUCCEEDED, 9 * MINUTE), run(1, State.SUCCEEDED, MINUTE, "second", OTHER)],
            held=Ingested(B, "second"),
        ),
        (KEY + "2", "changed"),
    ),
    "wiped": (asked([run(1, State.SUCCEEDED, 9 * MINUTE)]), (KEY + "2", "new")),
    "failed before it was replaced and came back": (
        asked([*FAILED[:2], run(3, State.SUCCEEDED, 9 * MINUTE)], held=Ingested(B, "later")),
        (KEY + "4", "changed"),
    ),
    "the run reads what the sensor does not see, just now": (
        asked([run(1, State.SUCCEEDED, 0.5 * MINUTE)], held=Ingested(B, "run-1")),
        None,
    ),
    "the run reads what the sensor does not see": (
        asked([run(1, State.SUCCEEDED, 2 * MINUTE)], held=Ingested(B, "run-1")),
        (KEY + "2", "changed"),
    ),
}


@pytest.mark.parametrize("state", TABLE)
def test_state(state):
    landing, expected = TABLE[state]
    assert [(r.run_key, r.why) for r in landing.requests] == ([] if expected is None else [expected])
    assert landing.in_words("rides")


def test_every_reason_names_its_numbers_and_the_cure():
    empty = "the source of rides has none of the 4 partitions whose window is over"
    assert asked(offered=None).in_words("rides") == empty
    calm = "the source of rides has 1 of the 4 partitions whose window is over, 1 of which are ingested as they are"
    assert asked(held=Ingested(A, "run")).in_words("rides") == calm
    assert "1 in flight (first 2024-01)" in asked([run(1, State.IN_FLIGHT)]).in_words("rides")
    waits = asked([run(1, State.FAILED, 0.5 * MINUTE)]).in_words("rides")
    assert "1 failed and wait to be tried again (2024-01 from 12:00:30)" in waits
    told = asked(FAILED).in_words("rides")
    assert "given up after 3 attempts in vain: 2024-01 (run run-3)" in told
    assert "correct the source" in told
    assert "0 of which are ingested as they are" in told


def test_pauses_grow_and_the_last_attempt_is_the_last():
    attempts: list[Attempt] = []
    tried = []
    for minute in range(60):
        now = NOW + minute * MINUTE
        landing = decide("rides", over=1, offered={"2024-01": A}, ingested={}, attempts=attempts, now=now)
        for request in landing.requests:
            tried.append(minute)
            attempts.append(Attempt("2024-01", request.run_key, f"run-{minute}", State.FAILED, now))
    assert tried == [0, 1, 6]
    assert len(tried) == len(PAUSES) + 1


def test_oldest_first_and_no_more_than_the_most_at_once():
    offered = {f"2024-{month:02d}": A for month in range(1, 13)}
    landing = decide("rides", over=12, offered=offered, ingested={}, attempts=[], now=NOW, most=5)
    assert [r.partition for r in landing.requests] == list(offered)[:5]
    assert landing.later == 7
    assert landing.as_they_are == 0
    assert "5 new and 0 changed are requested, 7 are left for later" in landing.in_words("rides")
    running = [Attempt(r.partition, r.run_key, r.run_key, State.IN_FLIGHT, None) for r in landing.requests]
    following = decide("rides", over=12, offered=offered, ingested={}, attempts=running, now=NOW, most=5)
    assert [r.partition for r in following.requests] == list(offered)[5:10]


def test_a_partition_that_can_not_be_had_keeps_none_from_the_others():
    offered = {"2024-01": A, "2024-02": A}
    landing = decide("rides", over=2, offered=offered, ingested={}, attempts=FAILED, now=NOW)
    assert [r.partition for r in landing.requests] == ["2024-02"]
    assert landing.given_up == {"2024-01": "run-3"}


def test_of_a_crowd_that_was_given_up_some_are_named():
    offered = {f"2024-01-{day:02d}": A for day in range(1, 13)}
    vain = [
        Attempt(partition, f"rides/{partition}/{A}/{n}", f"run-{n}", State.FAILED, NOW - n * MINUTE)
        for partition in offered
        for n in (1, 2, 3)
    ]
    told = decide("rides", over=12, offered=offered, ingested={}, attempts=vain, now=NOW).in_words("rides")
    assert "2024-01-10 (run run-3), and 2 more; read why" in told


def test_asked_again_the_answer_has_the_same_run_keys():
    assert asked().requests == asked().requests, "so that Dagster starts one run for two daemons"


def test_what_the_source_has_no_more_is_not_outstanding():
    assert outstanding({}, {"2024-01": Ingested(A, "run")}) == []


def test_real_data_is_not_overwritten_with_simulated_data():
    refuse_other_source("rides", "files", ["files"])
    with pytest.raises(ConfigError, match="partitions from a source of kind files"):
        refuse_other_source("rides", "simulated", ["files", "simulated"])
