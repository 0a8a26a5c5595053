"""Columns and a classifier together: no more false alarms than configured, and what columns alone can't see."""

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from scipy import stats

from ml_assets.core.drift.bins import Column
from ml_assets.core.drift.both_tests import Joint
from ml_assets.core.drift.domain_classifier import DomainShift
from ml_assets.core.drift.joint_reference import JointReference, joint_reference
from ml_assets.core.drift.policy import DriftPolicy
from ml_assets.core.drift.profile import Profile
from ml_assets.core.drift.profiling import count_partition, profile_of
from ml_assets.core.drift.verdict import judge

COLUMNS = [Column("miles", "number"), Column("minutes", "number"), Column("zone", "category")]
IMPORTANCES = {"miles": 0.5, "minutes": 0.3, "zone": 0.2}
MONTHS, ROWS, CORRELATION = 6, 400, 0.7
POLICY = DriftPolicy(domain_classifier=True)


def trips(rng, correlation=CORRELATION):
    """Each column has the same distribution whatever the correlation."""
    miles, own = rng.standard_normal((2, ROWS))
    return pl.DataFrame(
        {
            "row_number": pl.Series(range(ROWS), dtype=pl.UInt32),
            "miles": miles,
            "minutes": correlation * miles + np.sqrt(1 - correlation**2) * own,
            "zone": rng.choice(["x", "y", "z"], ROWS),
        }
    )


def learnt(rng) -> tuple[Profile, JointReference]:
    parts = {f"m{i}": trips(rng) for i in range(MONTHS)}
    profile = profile_of(pl.concat(parts.values()), COLUMNS, pl.Series(np.repeat(list(parts), ROWS)))
    return profile, joint_reference(COLUMNS, {key: part.lazy() for key, part in parts.items()})


def judged(reference, now):
    """The report of columns alone, what the classifier said, and the report of both."""
    joint = said(reference[1], now)
    alone = columns(reference[0], now, joint.for_columns(POLICY))
    return alone, joint, joint.beside(alone, POLICY)


def said(rows, now) -> Joint:
    found = rows.compare(now.lazy(), "now")
    return Joint(None, found, {}) if isinstance(found, str) else Joint(found, "", {})


def columns(profile, now, policy):
    return judge(profile, count_partition(now.lazy(), profile.bins, "now"), IMPORTANCES, policy)


@pytest.fixture(scope="module")
def reference():
    return learnt(np.random.default_rng(0))


RATES = (0.05, 0.1)


@pytest.fixture(scope="module")
def without_drift():
    """180 streams: rate -> the reports of both tests."""
    reports = {rate: [] for rate in RATES}
    for seed in range(60):
        rng = np.random.default_rng([11, seed])
        profile, rows = learnt(rng)
        for now in (trips(rng), trips(rng), trips(rng)):
            joint = said(rows, now)
            for rate in RATES:
                policy = replace(POLICY, false_alarm_rate=rate)
                reports[rate].append(joint.beside(columns(profile, now, joint.for_columns(policy)), policy))
    return reports


@pytest.mark.slow
@pytest.mark.parametrize("rate", RATES)
def test_both_tests_together_raise_no_more_false_alarms_than_configured(without_drift, rate):
    streams = len(without_drift[rate])
    _, high = stats.binom.interval(0.95, streams, rate)
    alarms = sum(r.verdict == "drifted" for r in without_drift[rate])
    # Fewer are no mistake: Bonferroni's bound, and that of the classifier with few partitions, are no equalities.
    assert streams * rate / 4 <= alarms <= high
    assert [r.p <= rate for r in without_drift[rate]] == [r.verdict == "drifted" for r in without_drift[rate]]


def test_columns_that_drift_only_together_are_found_by_it_and_not_without_it(reference):
    found, missed = [], []
    for seed in range(20):
        now = trips(np.random.default_rng([5, seed]), correlation=-CORRELATION)
        _, joint, both = judged(reference, now)
        found.append(both.verdict == "drifted")
        missed.append(columns(reference[0], now, DriftPolicy()).verdict)
        assert set(list(joint.shift.telling)[:2]) == {"miles", "minutes"}
    assert all(found)
    assert missed.count("stable") >= 19


def test_what_one_column_shows_is_found_at_half_the_rate_too(reference):
    now = trips(np.random.default_rng(3)).with_columns(pl.col("miles") + 0.4)
    alone, joint, both = judged(reference, now)
    assert alone.policy.false_alarm_rate == POLICY.false_alarm_rate / 2
    assert (both.verdict, both.drivers, both.policy) == ("drifted", ("miles",), POLICY)
    told = joint.to_json(alone, POLICY)
    assert told["columns_p"] == alone.p
    assert both.p == min(1.0, 2 * min(alone.p, told["p"]))


def test_it_is_told_in_numbers_and_words(reference):
    alone, joint, both = judged(reference, trips(np.random.default_rng(1), correlation=-CORRELATION))
    told = json.loads(json.dumps(joint.to_json(alone, POLICY), allow_nan=False))
    assert (told["drifted"], told["threshold"], told["rows"]) == (True, 0.005, joint.shift.rows)
    assert told["auc"] > told["chance"][1]
    assert told["words"].startswith("drifted in how columns go together, most of all m")
    assert "bound 0.005" in told["words"]
    assert both.drivers == ()
    alone, joint, _ = judged(reference, trips(np.random.default_rng(2)))
    assert joint.to_json(alone, POLICY)["words"].startswith("how columns go together is as ever (AUC 0.")


def test_where_the_classifier_says_nothing_the_columns_have_the_whole_rate(reference):
    joint = Joint(None, "there is no sample", {})
    assert joint.for_columns(POLICY) == POLICY
    alone = columns(reference[0], trips(np.random.default_rng(4)), POLICY)
    both = joint.beside(alone, POLICY)
    assert (both.verdict, both.p, both.policy) == (alone.verdict, alone.p, POLICY)
    told = joint.to_json(alone, POLICY)
    assert {told[n] for n in ("auc", "p", "threshold", "drifted", "telling", "columns_p")} == {None}
    assert told["words"] == "how columns go together was not looked at: there is no sample"


def test_a_partition_with_too_few_rows_stays_unjudged(reference):
    alone = columns(reference[0], trips(np.random.default_rng(4)).head(60), POLICY)
    joint = Joint(DomainShift(0.9, (0.4, 0.6), 1e-9, 60, {"miles": 1.0}), "", {})
    assert joint.beside(alone, POLICY).verdict == "not_enough_rows"
