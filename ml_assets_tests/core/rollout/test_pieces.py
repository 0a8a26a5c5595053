"""Pieces of a rollout's log: counts that add up to those of the whole, and requests drawn once and for all."""

import json
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import numpy as np
import polars as pl
import pytest

from ml_assets.core.log_segments import microseconds
from ml_assets.core.metrics import losses
from ml_assets.core.prediction_log import frame_of
from ml_assets.core.rollout.pieces import Counts, added_up, arms_since, counts_of, drawn, halvings
from ml_assets.core.rollout.reading import legs_of, periods_of
from ml_assets_tests.core.rollout.test_reading import BEGUN, EVENTS, ROLLOUT, A, B, event, row


def rows() -> pl.DataFrame:
    rng = np.random.default_rng(0)
    entries = []
    for i, minutes in enumerate(np.sort(rng.uniform(-2, 30, 300)).tolist()):
        own, other = (A, B) if rng.random() < 0.6 else (B, A)
        latency = int(rng.integers(100, 9_000))
        told = row(str(i), minutes, own, "answered", float(rng.normal()), latency_us=latency)
        if rng.random() < 0.1:
            told = told._replace(role="failed", prediction=None, error="no")
        entries += [told, row(str(i), minutes, other, "shadow", float(rng.normal()), variant=told.variant)]
    entries.append(row("by version", 12, B, "answered", 99.0, variant="pinned"))
    return frame_of(entries)


def pieces(every: int = 70) -> list[Counts]:
    told = rows()
    return [counts_of(ROLLOUT, arms_since(ROLLOUT, told[at : at + every])) for at in range(0, told.height, every)]


def test_counts_of_pieces_add_up_to_those_of_the_whole():
    whole = legs_of(ROLLOUT, arms_since(ROLLOUT, rows()).with_columns(label=pl.lit(None, pl.Float64)), None)
    for leg, (champion, candidate) in zip(whole, added_up(ROLLOUT, pieces()), strict=True):
        for seen, found in ((leg.champion, champion), (leg.candidate, candidate)):
            assert (found.answered, found.tried, found.failed) == (seen.answered, seen.tried, seen.failed)
            assert seen.tried > 30
            assert (found.latencies == seen.latencies).all()
            assert found.predictions.rows == seen.predictions.rows
            assert found.predictions.total == pytest.approx(seen.predictions.total)
            assert found.predictions.squares == pytest.approx(seen.predictions.squares)


def test_counts_come_back_from_json_to_the_bit():
    told = [c.to_json() for c in pieces()]
    back = [Counts.from_json(json.loads(json.dumps(t))) for t in told]
    assert [b.to_json() for b in back] == told
    assert sum(b.answered for b in back) == sum(c.answered for c in pieces())
    empty = counts_of(ROLLOUT, arms_since(ROLLOUT, rows().clear()))
    assert Counts.from_json(empty.to_json()) == empty
    assert empty.fit(periods_of(ROLLOUT))


def test_what_was_counted_fits_until_a_period_within_it_ends():
    told = pieces()
    assert all(piece.fit(periods_of(ROLLOUT)) for piece in told)
    moved = replace(ROLLOUT, events=(*EVENTS, event(25, "canary", 2, 2_500)))
    at = microseconds(BEGUN + timedelta(minutes=25))
    fits = [piece.fit(periods_of(moved)) for piece in told]
    assert fits == [not piece.first < at <= piece.last for piece in told]
    assert fits.count(False) == 1
    again = [counts_of(moved, arms_since(moved, rows()[at : at + 70])) for at in range(0, rows().height, 70)]
    kept = [piece if fit else new for piece, fit, new in zip(told, fits, again, strict=True)]
    for found, expected in zip(added_up(moved, kept), added_up(moved, again), strict=True):
        assert [s.tried for s in found] == [s.tried for s in expected]
    assert sum(s.tried for s in added_up(moved, kept)[-1]) > 50, "those after it are of the new period"
    later = replace(ROLLOUT, events=(*EVENTS, event(60, "canary", 2, 2_500)))
    assert all(piece.fit(periods_of(later)) for piece in told)


def test_who_is_drawn_at_a_smaller_share_is_drawn_at_every_larger_one_and_whole():
    told = frame_of([row(str(i), 1, b, "answered", 1.0) for i in range(4_000) for b in (A, B)])
    each = [drawn(told, halved) for halved in range(4)]
    for larger, smaller in pairwise(each):
        assert set(smaller["request_id"]) < set(larger["request_id"])
    assert each[0].height == told.height
    assert each[3]["request_id"].n_unique() == pytest.approx(500, rel=0.2)
    assert (each[3].group_by("request_id").len()["len"] == 2).all()


def test_the_share_is_halved_ever_later():
    assert [halvings(n, 1_000) for n in (0, 999, 1_000, 1_999, 2_000, 3_999, 4_000)] == [0, 0, 1, 1, 2, 2, 3]


def test_losses_need_no_count_and_counts_no_losses():
    told = arms_since(ROLLOUT, rows()).with_columns(label=pl.lit(0.5))
    seen = added_up(ROLLOUT, [counts_of(ROLLOUT, told)])

    def loss(label, p):
        return losses("mae", label, p)

    whole, part = legs_of(ROLLOUT, told, loss), legs_of(ROLLOUT, told[:100], loss, counts=seen)
    for a, b in zip(whole, part, strict=True):
        assert (a.champion.tried, a.candidate.failed) == (b.champion.tried, b.candidate.failed)
    assert sum(leg.losses.rows for leg in part) < sum(leg.losses.rows for leg in whole)
    assert part[0].champion.losses.rows > 0
