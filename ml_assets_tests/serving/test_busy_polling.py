"""Who takes turns with the server is looked out for; nobody else, and nobody for long."""

from types import SimpleNamespace

import pytest

from ml_assets.serving.busy_polling import ENOUGH_TURNS, LOOK_SECONDS, BusyPolling
from ml_assets.serving.http import Reply
from ml_assets.serving.rounds import Begun, Rounds
from ml_assets.serving.scoring import Asked

from .conftest import COLUMNS, NEW, OLD, model

PROMPT, LATE = LOOK_SECONDS / 2, LOOK_SECONDS * 2
LOOK = LOOK_SECONDS / 10


class Loop:
    """A clock, and functions that the loop calls when it has looked, which takes a while."""

    def __init__(self):
        self.time, self.soon, self.looks = 0.0, [], 0
        self.polling = BusyPolling(lambda: self.time)

    def call_soon(self, what):
        self.soon.append(what)

    def run(self, seconds):
        """Look for so long, or until there is nothing to look for; what is left of the time is slept."""
        end = self.time + seconds
        while self.soon and self.time < end:
            self.time += LOOK
            self.looks += 1
            todo, self.soon = self.soon, []
            for what in todo:
                what()
        self.time = max(self.time, end)

    def turn(self, gap, client="one"):
        self.run(gap)
        self.looks = 0
        self.polling.heard(client)
        self.polling.answered(client, self.call_soon)


@pytest.fixture
def loop():
    made = Loop()
    made.turn(PROMPT)
    return made


@pytest.fixture
def in_turns(loop):
    for _ in range(ENOUGH_TURNS):
        assert not loop.soon
        loop.turn(PROMPT)
    return loop


def test_who_takes_turns_is_looked_out_for(in_turns):
    assert len(in_turns.soon) == 1
    for _ in range(3):
        in_turns.run(PROMPT)
        assert in_turns.looks == pytest.approx(PROMPT / LOOK, abs=1)
        in_turns.turn(0.0)
        assert len(in_turns.soon) == 1


def test_the_time_is_bounded(in_turns):
    in_turns.run(1.0)
    assert in_turns.looks == pytest.approx(LOOK_SECONDS / LOOK, abs=2)
    assert not in_turns.soon


def test_who_was_late_has_to_take_turns_anew(in_turns):
    in_turns.turn(LATE)
    for _ in range(ENOUGH_TURNS):
        assert not in_turns.soon
        in_turns.turn(PROMPT)
    assert in_turns.soon


def test_a_second_client_ends_it(in_turns):
    in_turns.turn(PROMPT, "another")
    in_turns.run(1.0)
    assert in_turns.looks <= 1
    for _ in range(3 * ENOUGH_TURNS):
        in_turns.turn(PROMPT, "one")
        in_turns.turn(PROMPT, "another")
    in_turns.run(1.0)
    assert in_turns.looks == 0


def test_a_request_that_is_not_answered_at_once_ends_it(in_turns):
    in_turns.polling.heard("one")
    in_turns.run(1.0)
    assert in_turns.looks <= 1


class Answered:
    """A connection."""

    def is_answered(self, reply):
        pass

    def write(self):
        pass


@pytest.mark.parametrize("is_alone", [True, False])
def test_whoever_scores_beside_is_not_kept_from_the_core(is_alone):
    rounds, client, soon = Rounds(), Answered(), []
    asked = Asked("r", "rides", "champion", "u", model(NEW, 1.0), SimpleNamespace(is_alone=is_alone, one_answers=True),
                  COLUMNS, 2, None, None, None)  # fmt: skip
    rounds.polling = BusyPolling(lambda: 0.0)
    for _ in range(ENOUGH_TURNS + 1):
        rounds.polling.heard(client)
        rounds.add(client, Begun(asked, lambda _: Reply(b"")), soon.append, alone=True)
    assert bool(soon) is is_alone


def test_a_round_of_several_is_no_turn():
    rounds, clients, soon = Rounds(), [Answered(), Answered()], []
    asked = Asked("r", "rides", "champion", "u", model(OLD, 1.0), SimpleNamespace(is_alone=True, one_answers=True),
                  COLUMNS, 2, None, None, None)  # fmt: skip
    rounds.polling = BusyPolling(lambda: 0.0)
    for _ in range(3 * ENOUGH_TURNS):
        for client in clients:
            rounds.polling.heard(client)
            rounds.add(client, Begun(asked, lambda _: Reply(b"")), soon.append, alone=False)
        rounds.end()
    assert all(what.__self__ is rounds for what in soon)
