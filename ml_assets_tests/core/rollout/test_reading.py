"""The log as sums: each row where it belongs, and nothing that is no part of the rollout."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from ml_assets.core.log_segments import microseconds
from ml_assets.core.metrics import losses
from ml_assets.core.prediction_log import Entry, frame_of
from ml_assets.core.releases import GENESIS, Event
from ml_assets.core.rollout.observed import latency_quantile
from ml_assets.core.rollout.reading import legs_of, periods_of
from ml_assets.core.rollout.recorded import Rollout
from ml_assets.core.rollout.rules import Rules
from ml_assets.core.rollout.state import State

BEGUN = datetime(2020, 5, 1, 12, tzinfo=UTC)
A, B = "a" * 64, "b" * 64


def event(minutes: int, phase: str, step: int, weight: int) -> Event:
    at = BEGUN + timedelta(minutes=minutes)
    facts = {"to": State(phase, step, weight, BEGUN, at).to_json(), "at": at.isoformat()}
    return Event("p", 1, "rollout_moved", facts, GENESIS, "")


EVENTS = (event(0, "shadow", 0, 0), event(10, "canary", 1, 500), event(20, "canary", 1, 500))
ROLLOUT = Rollout("r", A, B, "2020-04", "", "canary", Rules().to_json(), State("canary", 1, 500, BEGUN, BEGUN), EVENTS)


def row(request: str, minutes: float, bundle: str, role: str, prediction: Any, **changes: Any) -> Entry:
    told = {
        "request_id": request, "row": 0, "at_us": microseconds(BEGUN + timedelta(minutes=minutes)), "unit": "",
        "variant": "champion" if bundle == A else "candidate", "role": role, "bundle": bundle, "values": (1.0,),
        "prediction": prediction, "latency_us": 500, "error": None, "feature_age_s": None,
    }  # fmt: skip
    return Entry(**{**told, **changes})


def legs(entries: list[Entry], labels: dict[str, float] | None = None, **told: Any) -> list[Any]:
    known = pl.DataFrame({"request_id": list(labels or {}), "label": list((labels or {}).values())},
                         schema={"request_id": pl.String, "label": pl.Float64})  # fmt: skip
    frame = frame_of(entries).join(known, on="request_id", how="left", maintain_order="left")
    return legs_of(ROLLOUT, frame, lambda label, p: losses("mae", label, p), sample=frame, **told)


def test_what_was_timed_beside_is_nobodys_request_and_compared_with_shadows_of_the_same_requests():
    entries = [
        row("1", 1, A, "answered", 10.0, latency_us=700),
        row("1", 1, B, "shadow", 12.0, latency_us=40),
        row("1", 1, A, "timed", None, values=None, latency_us=20),
        row("2", 2, A, "answered", 20.0, latency_us=700),
        row("2", 2, B, "shadow", 12.0, latency_us=90_000),
        row("3", 3, A, "answered", 20.0, latency_us=700),
        row("3", 3, B, "shadow", None, error="ValueError: no", latency_us=90_000),
        row("3", 3, A, "timed", None, values=None, latency_us=20),
    ]
    first, *_ = legs(entries)
    assert (first.champion.answered, first.champion.tried, first.champion.failed) == (3, 3, 0)
    assert (first.candidate.answered, first.candidate.tried, first.candidate.failed) == (0, 3, 1)
    assert (first.champion.beside.sum(), first.candidate.beside.sum()) == (2, 1)
    assert latency_quantile(first.champion.beside, 0.5) == pytest.approx(20, rel=0.02)
    assert latency_quantile(first.candidate.beside, 0.5) == pytest.approx(40, rel=0.02)
    assert (first.champion.latencies.sum(), first.candidate.latencies.sum()) == (3, 0)


def test_periods_are_those_between_the_events():
    told = [(p.step, p.weight, (p.start - BEGUN.replace(tzinfo=None)).seconds // 60, p.end is None) for p in
            periods_of(ROLLOUT)]  # fmt: skip
    assert told == [(0, 0, 0, False), (1, 500, 10, False), (1, 500, 20, True)]


def test_each_row_counts_in_its_period_and_for_its_model():
    entries = [
        row("before", -1, A, "answered", 1.0),
        row("1", 1, A, "answered", 10.0, latency_us=700),
        row("1", 1, B, "shadow", 12.0, latency_us=9_000),
        row("2", 2, A, "answered", 20.0),
        row("2", 2, B, "shadow", None, error="ValueError: no"),
        row("3", 11, B, "answered", 30.0, latency_us=800),
        row("3", 11, A, "shadow", 33.0),
        row("4", 12, B, "failed", None, error="ValueError: no"),
        row("4", 12, A, "answered", 40.0),
        row("by version", 13, B, "answered", 99.0, variant="pinned"),
        row("another model", 13, "c" * 64, "answered", 99.0),
    ]
    first, second, third = legs(entries, {"1": 11.0, "3": 31.0})
    assert (first.champion.answered, first.champion.tried, first.champion.failed) == (2, 2, 0)
    assert (first.candidate.answered, first.candidate.tried, first.candidate.failed) == (0, 2, 1)
    assert (first.champion.latencies.sum(), first.candidate.latencies.sum()) == (2, 0), "beside is no answer"
    assert (first.predictions.rows, first.predictions.difference().total) == (1, 2.0)
    assert (first.losses.champion.total, first.losses.candidate.total, first.champion.losses.rows) == (1.0, 1.0, 1)

    assert (second.candidate.answered, second.candidate.tried, second.candidate.failed) == (2, 2, 1)
    assert (second.champion.answered, second.champion.tried) == (1, 2)
    assert (second.losses.rows, second.losses.champion.total, second.losses.candidate.total) == (1, 2.0, 1.0)
    assert second.candidate.losses.rows == 1
    assert third.champion.tried == third.candidate.tried == 0


def test_a_request_of_several_rows_is_one_request_of_several_predictions():
    entries = [row("1", 1, A, "answered", float(i), row=i) for i in range(3)]
    entries += [row("1", 1, B, "shadow", float(i) + 1, row=i) for i in range(3)]
    [leg, *_] = legs(entries)
    assert (leg.champion.answered, leg.champion.latencies.sum()) == (1, 1)
    assert latency_quantile(leg.champion.latencies, 0.5) == pytest.approx(500 / 3, rel=0.03), "a row's share"
    assert (leg.predictions.rows, leg.champion.predictions.rows) == (3, 3)


def test_a_request_id_that_clients_used_twice_counts_once_as_a_pair():
    entries = [row("1", m, b, role, 1.0) for m in (1, 2) for b, role in ((A, "answered"), (B, "shadow"))]
    assert legs(entries)[0].predictions.rows == 1


def test_of_classes_the_loss_is_of_all_and_the_shift_of_the_likeliest():
    entries = [row("1", 1, A, "answered", [0.2, 0.3, 0.5]), row("1", 1, B, "shadow", [0.1, 0.2, 0.7])]
    frame = frame_of(entries).with_columns(label=pl.lit(2.0))
    [leg, *_] = legs_of(ROLLOUT, frame, lambda label, p: losses("log_loss", label, p))
    assert float(leg.predictions.difference().total) == pytest.approx(0.2)
    assert leg.losses.candidate.total == pytest.approx(-np.log(0.7))


def test_losses_are_estimated_of_the_rows_that_both_scored():
    entries = [row(str(i), 1, b, role, 1.0) for i in range(5) for b, role in ((A, "answered"), (B, "shadow"))]
    entries.append(row("alone", 1, A, "answered", 1.0))

    def expect(bundle: str, rows: pl.DataFrame) -> Any:
        return np.array([[-0.5], [0.5]]) + np.full(rows.height, 2.0 if bundle == A else 3.0)

    [leg, *_] = legs(entries, expect=expect)
    told = leg.estimated
    assert (told.pairs.rows, told.pairs.champion.total, told.pairs.candidate.total) == (5, 10.0, 15.0)
    assert (told.champion.tolist(), told.candidate.tolist()) == ([7.5, 12.5], [12.5, 17.5])
    assert legs(entries, expect=lambda *_: None)[0].estimated.pairs.rows == 0
    assert legs([], expect=expect)[0].estimated.pairs.rows == 0
