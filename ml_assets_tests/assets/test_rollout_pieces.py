"""Looks at a log that grows, is merged and labelled late: the same to the bit as if nothing had been read before."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from ml_assets.assets.rollout_log import seen_of
from ml_assets.core.log_segments import microseconds
from ml_assets.core.metrics import losses
from ml_assets.core.prediction_log import Entry, frame_of, joined_by_request
from ml_assets.core.releases import GENESIS, Event
from ml_assets.core.rollout.guardrails import judge
from ml_assets.core.rollout.reading import legs_of
from ml_assets.core.rollout.recorded import Rollout
from ml_assets.core.rollout.rules import Guardrails, Rules
from ml_assets.core.rollout.state import State
from ml_assets.resources import log_reading
from ml_assets.resources.log_files import SegmentWriter
from ml_assets.resources.prediction_log import PredictionLogs

A, B = "a" * 64, "b" * 64
BEGUN = datetime(2024, 4, 9, 20, tzinfo=UTC)
PIPELINE = SimpleNamespace(
    name="p",
    natural_key=(),
    alpha=None,
    config=SimpleNamespace(metric="mae", model=SimpleNamespace(threads=1)),
)


def event(hours: float, phase: str, step: int, weight: int) -> Event:
    at = BEGUN + timedelta(hours=hours)
    return Event(
        "p", 1, "moved", {"to": State(phase, step, weight, BEGUN, at).to_json(), "at": at.isoformat()}, GENESIS, ""
    )


def rollout(*events: Event, compared_up_to: int = 100_000) -> Rollout:
    rules = Rules(guardrails=Guardrails(estimated_loss=None)).to_json() | {"compared_up_to": compared_up_to}
    told = (event(0, "shadow", 0, 0), *events)
    return Rollout("r", A, B, "2024-03", "", "canary", rules, State("shadow", 0, 0, BEGUN, BEGUN), told)


class Traffic:
    """Requests, scorings beside and labels of two servers, written as they come."""

    def __init__(self, root: Path) -> None:
        self.rng, self.numbers = np.random.default_rng(0), count()
        self.requests, self.beside = (SegmentWriter(str(root), "p", f"{who}.1") for who in "ab")
        self.asked: list[tuple[str, int, float]] = []

    def serve(
        self, hours: float, requests: int = 40, minutes: float = 3, *, stuck: bool = False
    ) -> tuple[list[Entry], list[Entry]]:
        start = microseconds(BEGUN + timedelta(hours=hours))
        answers, shadows = [], []
        for at in np.sort(self.rng.integers(0, int(minutes * 60e6), requests)).tolist():
            own, other = (A, B) if self.rng.random() < 0.7 else (B, A)
            name, truth = f"request {next(self.numbers)}", float(self.rng.gamma(4, 4))
            one = Entry(name, 0, start + at, "", "champion" if own == A else "candidate", "answered", own, (1.0,),
                        truth + float(self.rng.normal()), int(self.rng.integers(200, 900)), None, None)  # fmt: skip
            answers.append(one)
            scored = truth + float(self.rng.normal())
            shadows.append(one._replace(role="shadow", bundle=other, prediction=scored))
            self.asked.append((name, start + at, truth))
        if not stuck:
            self.requests.write("requests", frame_of(answers))
            self.beside.write("requests", frame_of(shadows))
        return answers, shadows

    def label(self, hours: float, share: float) -> None:
        at = microseconds(BEGUN + timedelta(hours=hours))
        told = [one for one in self.asked if one[1] < at and self.rng.random() < share]
        labels = [Entry(name, 0, at + i, "", "", "label", "", None, truth + float(self.rng.normal()), 0, None, None)
                  for i, (name, _, truth) in enumerate(told)]  # fmt: skip
        self.requests.write("labels", frame_of(labels))


@pytest.fixture
def traffic(tmp_path):
    return Traffic(tmp_path / "log")


@pytest.fixture
def logs(tmp_path):
    return PredictionLogs(root=str(tmp_path / "log"), read=str(tmp_path / "read"))


def seen(logs: PredictionLogs, told: Rollout):
    return seen_of(PIPELINE, told, None, None, logs)


def anew(logs: PredictionLogs, told: Rollout):
    return seen(PredictionLogs(root=logs.root), told)


def read_whole(logs: PredictionLogs, told: Rollout):
    """What is seen where the log is read as one table."""
    rows = joined_by_request(logs.rows("p", "requests"), logs.rows("p", "labels"))
    return legs_of(told, rows, lambda label, p: losses("mae", label, p))


def in_full(legs) -> list[str]:
    """All that was seen, floats to the bit."""
    rules = Rules.from_json(rollout().rules)
    bins = [leg.candidate.latencies.tolist() + leg.champion.latencies.tolist() for leg in legs]
    return [repr(legs), repr(bins), repr([f.to_json() for f in judge(legs, rules.guardrails, paired=True)])]


@pytest.mark.parametrize("compared_up_to", [100_000, 100])
def test_looks_see_the_same_with_and_without_what_was_read_before(traffic, logs, compared_up_to):
    """Over midnight, with a step of the rollout, a segment and labels that come late, and a day that is merged."""
    steps: list[Event] = []

    def look() -> None:
        told = rollout(*steps, compared_up_to=compared_up_to)
        assert in_full(seen(logs, told)) == in_full(anew(logs, told))

    for hour in range(2):
        traffic.serve(hour + 0.98)
        traffic.serve(hour + 1.5)
    look()
    traffic.serve(2.48)
    look()
    steps.append(event(1.52, "canary", 1, 500))
    look()
    stuck = traffic.serve(0.2, requests=11, stuck=True)
    traffic.label(3.2, 0.3)
    for hour in (5, 6):
        traffic.serve(hour + 0.1)
    look()
    for entries in stuck:
        traffic.requests.write("requests", frame_of(entries))
    look()
    for hour in (3, 5):
        traffic.serve(hour + 0.6)
        traffic.label(hour + 0.9, 0.2)
    look()
    before = in_full(seen(logs, rollout(*steps, compared_up_to=compared_up_to)))
    assert logs.compact("p", "2024-04-10") == ["2024-04-09"]
    assert in_full(seen(logs, rollout(*steps, compared_up_to=compared_up_to))) == before
    traffic.label(7.5, 1.0)
    look()
    legs = seen(logs, rollout(*steps, compared_up_to=compared_up_to))
    assert sum(int(leg.champion.tried) for leg in legs) == len(traffic.asked)
    for leg, whole in zip(legs, read_whole(logs, rollout(*steps)), strict=True):
        assert (leg.candidate.answered, leg.candidate.tried) == (whole.candidate.answered, whole.candidate.tried)
        if compared_up_to > len(traffic.asked):
            assert (leg.losses, leg.predictions) == (whole.losses, whole.predictions), "to the bit"
            assert leg.candidate.losses == whole.candidate.losses
    labels = sum(int(leg.losses.rows) for leg in legs)
    assert labels == len(traffic.asked) if compared_up_to > 1_000 else 100 < labels < 0.8 * len(traffic.asked)


def test_what_was_read_is_not_read_again(traffic, logs, monkeypatch):
    for hour in range(4):
        traffic.serve(hour + 0.5)
        traffic.label(hour + 0.9, 0.5)
    seen(logs, rollout())
    read, whole = [], log_reading.PiecesOfADay.rows

    def rows(self, piece):
        read.append((piece.kind, piece.hour - BEGUN.timestamp() // 3600))
        return whole(self, piece)

    monkeypatch.setattr(log_reading.PiecesOfADay, "rows", rows)
    seen(logs, rollout())
    assert read == [("requests", 3), ("labels", 2), ("labels", 3)]
    read.clear()
    logs.compact("p", "2024-04-10")
    traffic.serve(4.5)
    seen(logs, rollout())
    assert read == [("requests", 3), ("requests", 4), ("labels", 2), ("labels", 3)]


@pytest.mark.parametrize("other", ["candidate", "begun", "compared_up_to", "id"])
def test_what_was_read_of_something_else_is_not_taken(traffic, logs, other):
    for hour in range(3):
        traffic.serve(hour + 0.5)
    traffic.label(2.9, 0.5)
    told = rollout()
    seen(logs, told)
    changed = {
        "candidate": replace(told, candidate="c" * 64),
        "begun": replace(told, events=(event(1.51, "shadow", 0, 0),)),
        "compared_up_to": rollout(compared_up_to=10),
        "id": replace(told, id="s"),
    }[other]
    assert in_full(seen(logs, changed)) == in_full(anew(logs, changed))
    assert (in_full(seen(logs, changed)) == in_full(seen(logs, told))) == (other == "id")


def test_of_many_requests_some_are_compared_and_all_are_counted(traffic, logs):
    for hour in range(4):
        traffic.serve(hour + 0.5, requests=200)
    traffic.label(4.1, 1.0)
    [every], [some] = seen(logs, rollout()), seen(logs, rollout(compared_up_to=100))
    assert every.champion.tried == some.champion.tried == 800
    assert every.candidate.answered == some.candidate.answered > 100
    assert (every.champion.latencies == some.champion.latencies).all()
    assert every.champion.predictions == some.champion.predictions
    assert every.losses.rows == every.predictions.rows == 800
    assert 250 < some.losses.rows == some.predictions.rows < 500
    assert some.losses.rows == some.champion.losses.rows + some.candidate.losses.rows


def test_a_label_in_the_hour_before_its_request_counts(traffic, logs):
    traffic.serve(1.001, minutes=0.1)
    traffic.asked = [(name, at - 7_200_000_000, truth) for name, at, truth in traffic.asked]
    traffic.label(0.999, 1.0)
    for hour in (2, 3):
        traffic.serve(hour + 0.5)
        [leg] = seen(logs, rollout())
        assert leg.losses.rows == 40
