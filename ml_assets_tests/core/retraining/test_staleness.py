"""Staleness of the drift asset, state by state; each state is what is known of four months of 2020."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from ml_assets.core.errors import ConfigError, EvidenceError
from ml_assets.core.releases import GENESIS, Event
from ml_assets.core.retraining.evidence import Evidence
from ml_assets.core.retraining.observed import Observed, Partition, Realised, Report, Tenure, tenures
from ml_assets.core.retraining.staleness import seen, staleness
from ml_assets.core.retraining.staleness_rules import KOfN, StalenessRules
from ml_assets.core.windows import Window

DAY = timedelta(days=1)
RULES = StalenessRules()


def start(month: int) -> datetime:
    return datetime(2020, month, 1)


def landing(month: int) -> datetime:
    return datetime(2020, month + 1, 2, tzinfo=UTC)


def partition(month: int, version: str = "v1", **facts) -> Partition:
    window = Window(f"2020-{month:02}", start(month), start(month + 1))
    versions = {"features": f"f{month}{version}", "predictions": f"p{month}{version}"}
    return Partition(window, **{"at": landing(month), "versions": versions, "rows": 1000, "labelled": 1000, **facts})


def report(month: int, verdict: str = "stable", champion: str = "a", version: str = "v1", **facts) -> Report:
    about = partition(month, version)
    made = {"at": landing(month) + DAY / 24, "versions": about.versions, "id": f"run {month}", **facts}
    return Report(about.key, champion=champion, verdict=verdict, **made)


def realised(month: int, *, broken: bool, champion: str = "a", version: str = "v1") -> Realised:
    about = partition(month, version)
    value = 3.4 if broken else 3.0
    return Realised(about.key, landing(month), about.versions, champion, value, 3.2, broken=broken, rows=900)


A = Tenure("a", start(1), datetime(2020, 1, 2, tzinfo=UTC))
B = Tenure("b", start(3), landing(2) + DAY)
D, S, FEW = "drifted", "stable", "not_enough_rows"


def observed(partitions, reports=(), realised=(), champions=(A,), failed=None) -> Observed:
    return Observed(partitions, reports, realised, champions, failed or {})


ALL = [partition(m) for m in (1, 2, 3, 4)]
JUDGED = [report(m) for m in (1, 2, 3, 4)]
SOON, LATE = landing(4) + DAY, landing(4) + 8 * DAY

STATES = [
    # name, what is known, now, (partition, reason, source) of every finding
    ("nothing landed", observed([]), SOON, []),
    ("no champion yet", observed(ALL, champions=()), LATE, []),
    ("first partition landed, not judged", observed(ALL[:1]), landing(1), [("2020-01", "unjudged", "monitor")]),
    ("everything judged", observed(ALL, JUDGED), LATE, []),
    ("half new", observed(ALL, JUDGED[:3]), SOON, [("2020-04", "unjudged", "monitor")]),
    ("both new", observed([*ALL[:2], partition(3, at=landing(4)), ALL[3]], JUDGED[:2]), landing(4),
     [(f"2020-0{m}", "unjudged", "monitor") for m in (3, 4)]),
    (
        "never judged by the deadline",
        observed(ALL, JUDGED[:3]),
        LATE,
        [("2020-04", "overdue", "monitor"), ("2020-04", "unjudged", "monitor")],
    ),
    ("one instant before the deadline", observed(ALL, JUDGED[:3]), landing(4) + 7 * DAY - DAY / 1e6,
     [("2020-04", "unjudged", "monitor")]),
    ("at the deadline", observed(ALL, JUDGED[:3]), landing(4) + 7 * DAY,
     [("2020-04", "overdue", "monitor"), ("2020-04", "unjudged", "monitor")]),
    ("a hole that a later verdict has closed", observed(ALL, [JUDGED[0], *JUDGED[2:]]), LATE,
     [("2020-02", "unjudged", "monitor")]),
    (
        "landed late, judged partitions are newer",
        observed([*ALL[:1], partition(2, at=landing(4)), *ALL[2:]], [JUDGED[0], *JUDGED[2:]]),
        landing(4) + 20 * DAY,
        [("2020-02", "unjudged", "monitor")],
    ),
    (
        "ingested anew after the report",
        observed([*ALL[:3], partition(4, "v2", at=LATE)], JUDGED),
        LATE,
        [("2020-04", "superseded", "monitor")],
    ),
    (
        "ingested anew long ago and never judged since",
        observed([*ALL[:3], partition(4, "v2")], JUDGED),
        LATE,
        [("2020-04", "overdue", "monitor"), ("2020-04", "superseded", "monitor")],
    ),
    (
        "predictions came after the report",
        observed(ALL, [*JUDGED[:3], replace(JUDGED[3], versions={"features": "f4v1"})]),
        LATE,
        [("2020-04", "overdue", "monitor"), ("2020-04", "unjudged", "monitor")],
    ),
    ("k of n drifted", observed(ALL, [*JUDGED[:2], report(3, D), report(4, D)]), SOON,
     [(f"2020-0{m}", "reference_outdated", "drift") for m in (3, 4)]),
    ("k of n drifted, not in a row", observed(ALL, [*JUDGED[:1], report(2, D), report(3), report(4, D)]), SOON,
     [(f"2020-0{m}", "reference_outdated", "drift") for m in (2, 4)]),
    ("one drifted", observed(ALL, [*JUDGED[:3], report(4, D)]), SOON, []),
    ("drifted too long ago", observed(ALL, [report(1, D), *JUDGED[1:3], report(4, D)]), SOON, []),
    ("fewer reports than n, k of them drifted", observed(ALL[:2], [report(1, D), report(2, D)]), landing(2) + DAY,
     [(f"2020-0{m}", "reference_outdated", "drift") for m in (1, 2)]),
    ("too few rows do not count", observed(ALL, [report(1, D), report(2, FEW), report(3, FEW), report(4, D)]), SOON,
     [(f"2020-0{m}", "reference_outdated", "drift") for m in (1, 4)]),
    ("a judged partition that landed late is old", observed(ALL, [*JUDGED[1:3], report(4, D), report(1, D, at=LATE)]),
     LATE, []),
    ("a drifted report that is out of date does not count", observed([*ALL[:3], partition(4, "v2")],
     [*JUDGED[:2], report(3, D), report(4, D)]), SOON, [("2020-04", "superseded", "monitor")]),
    ("judged anew: the newest report counts",
     observed(ALL, [*JUDGED[:2], report(3, D), report(4, D), report(4, at=LATE)]), LATE, []),
    ("judged by former bounds",
     observed(ALL, [*JUDGED[:2], report(3, D), report(4, D, by_former_bounds=True)]), SOON, []),
    ("judged by former bounds keeps its place",
     observed(ALL, [report(1, D), report(2, by_former_bounds=True), report(3, by_former_bounds=True), report(4, D)]),
     SOON, []),
    ("one of three judged by former bounds",
     observed(ALL, [JUDGED[0], report(2, D, by_former_bounds=True), report(3, D), report(4, D)]), SOON,
     [(f"2020-0{m}", "reference_outdated", "drift") for m in (3, 4)]),
    ("error measured by former bounds",
     observed(ALL, JUDGED, [replace(realised(4, broken=True), by_former_bounds=True)]), SOON, []),
    ("the bound broken once", observed(ALL, JUDGED, [realised(3, broken=False), realised(4, broken=True)]), SOON,
     [("2020-04", "reference_outdated", "performance")]),
    ("the bound broken before the last", observed(ALL, JUDGED, [realised(3, broken=True), realised(4, broken=False)]),
     SOON, []),
    ("no labels: nothing is known of the error", observed(ALL, JUDGED, []), LATE, []),
    ("too few rows once", observed(ALL, [*JUDGED[:3], report(4, FEW)]), LATE, []),
    ("too few rows in a row", observed(ALL, [JUDGED[0], *(report(m, FEW) for m in (2, 3, 4))]), LATE,
     [(f"2020-0{m}", "overdue", "monitor") for m in (2, 3, 4)]),
    ("a verdict after a row of too few rows",
     observed(ALL, [*(report(m, FEW) for m in (1, 2, 3)), report(4)]), LATE, []),
    (
        "a champion just released, nothing to judge yet",
        observed(ALL[:2], JUDGED[:2], champions=(A, B)),
        landing(2) + 30 * DAY,
        [],
    ),
    (
        "partitions that wait for a champion: its clock starts at the release",
        observed(ALL, JUDGED[:2], champions=(A, replace(B, at=LATE))),
        LATE + 6 * DAY,
        [(f"2020-0{m}", "unjudged", "monitor") for m in (3, 4)],
    ),
    (
        "the same after the deadline",
        observed(ALL, JUDGED[:2], champions=(A, replace(B, at=LATE))),
        LATE + 7 * DAY,
        [(f"2020-0{m}", reason, "monitor") for m in (3, 4) for reason in ("overdue", "unjudged")],
    ),
    (
        "superseded by a new champion",
        observed(ALL[:3], JUDGED[:3], champions=(A, B)),
        landing(3) + DAY,
        [("2020-03", "superseded", "monitor")],
    ),
    (
        "what drifted from the replaced champion says nothing about the new one",
        observed(ALL, [report(1, D), report(2, D), report(3, champion="b"), report(4, D, "b")], champions=(A, B)),
        SOON,
        [],
    ),
    (
        "older than the release and not judged: no evidence against the new champion",
        observed(ALL, [report(3, champion="b")], champions=(A, B)),
        LATE,
        [("2020-01", "unjudged", "monitor"), ("2020-02", "unjudged", "monitor"), ("2020-04", "overdue", "monitor"),
         ("2020-04", "unjudged", "monitor")],
    ),
    ("older than the first champion",
     observed(ALL, JUDGED[2:], champions=(replace(A, scores_from=start(3)),)), LATE, []),
    (
        "back to the champion before: what drifted from it counts again",
        observed(ALL, [report(1), report(2, D), report(3, champion="b"), report(4, D)],
                 champions=(A, B, Tenure("a", start(4), landing(3)))),
        SOON,
        [("2020-02", "reference_outdated", "drift"), ("2020-04", "reference_outdated", "drift")],
    ),
    (
        "the source is silent",
        observed([*ALL[:3], partition(4, landed=False, versions={})], JUDGED[:3]),
        LATE,
        [("2020-04", "overdue", "monitor")],
    ),
    (
        "the source is silent for ever, which was accepted",
        observed([*ALL[:3], partition(4, landed=False, accepted=True, versions={})], JUDGED[:3]),
        LATE,
        [],
    ),
    (
        "it landed after all",
        observed([*ALL[:3], partition(4, accepted=True)], JUDGED[:3]),
        LATE,
        [("2020-04", "overdue", "monitor"), ("2020-04", "unjudged", "monitor")],
    ),
    ("its run failed", observed(ALL, JUDGED[:3], failed={"2020-04": "r17"}), LATE,
     [("2020-04", "overdue", "monitor"), ("2020-04", "unjudged", "monitor")]),
]  # fmt: skip


@pytest.mark.parametrize(("known", "now", "expected"), [s[1:] for s in STATES], ids=[s[0] for s in STATES])
def test_state(known, now, expected):
    found = staleness(known, RULES, now)
    assert sorted((f.subject, f.reason, f.source) for f in found) == sorted(expected)
    assert [f.subject for f in found] == sorted(f.subject for f in found), "oldest first"
    assert {f.action for f in found if f.reason in ("unjudged", "superseded")} <= {"refresh"}
    assert {f.action for f in found if f.reason in ("reference_outdated", "overdue")} <= {"retrain"}
    backwards = Observed(known.partitions[::-1], known.reports[::-1], known.realised, known.tenures, known.failed_runs)
    assert staleness(backwards, RULES, now) == found


def test_findings_say_what_they_rest_on_in_words_numbers_and_ids():
    reports = [*JUDGED[:2], report(3, D, abrupt=True), report(4, D)]
    drift, _ = staleness(observed(ALL, reports), RULES, SOON)
    assert drift.words == "2 of the last 3 reports drifted (2 are enough): 2020-03 (abruptly), 2020-04"
    assert (drift.abrupt, drift.champion, drift.versions, drift.ids) == (
        True, "a", {"features": "f3v1", "predictions": "p3v1"}, {"report": "run 3"},
    )  # fmt: skip
    assert drift.numbers == {"bad": 2, "of": 3, "k": 2, "n": 3}
    (broken,) = staleness(observed(ALL, JUDGED, [realised(4, broken=True)]), RULES, SOON)
    assert not broken.abrupt
    shifted = [*JUDGED[:3], report(4, D, abrupt=True)]
    (broken,) = staleness(observed(ALL, shifted, [realised(4, broken=True)]), RULES, SOON)
    assert broken.abrupt, "as the drift report of the same partition says"
    assert broken.words == "2020-04 (3.4 above 3.2 on 900 rows) broke its bound"
    _, overdue = staleness(observed(ALL, JUDGED[:3], failed={"2020-04": "r17"}), RULES, LATE)
    assert overdue.words == "2020-04: no report with a verdict by 2020-05-09 00:00 UTC: run r17 failed"
    assert overdue.ids == {"run": "r17"}
    silent = observed([partition(4, landed=False, versions={})])
    assert "it has not landed" in staleness(silent, RULES, LATE)[0].words
    empty = staleness(observed(ALL, [report(m, FEW) for m in (2, 3, 4)]), RULES, SOON)
    assert "3 reports in a row had too few rows" in empty[-1].words
    (changed,) = staleness(observed(ALL[:3], JUDGED[:3], champions=(A, B)), RULES, landing(3))
    assert changed.words == "2020-03: champion changed after the report"


def test_a_failed_run_is_asked_for_again_when_a_partition_lands_and_not_before():
    def keys(last: int, failed, **rules):
        known = observed(ALL[:last], JUDGED[:1], failed={f"2020-0{m}": f"r{m}" for m in failed})
        return Evidence.of(staleness(known, replace(RULES, after=None, **rules), LATE)).refreshes

    new, after_failure = keys(2, []), keys(2, [2])
    assert new == after_failure, "a failing run is not a storm"
    assert keys(3, [2])["2020-02"] != new["2020-02"] == keys(3, [])["2020-02"]
    assert keys(4, [2])["2020-02"] not in (keys(3, [2])["2020-02"], new["2020-02"])
    assert keys(4, [2, 3], retries=1)["2020-02"] == new["2020-02"], "not for old ones"
    assert keys(4, [2, 3], retries=1)["2020-03"] != keys(4, [2])["2020-03"]


def test_what_does_not_depend_on_the_clock_stays_the_same_finding():
    known = observed(ALL, JUDGED[:3])
    sooner, later = (staleness(known, RULES, now) for now in (LATE, LATE + 30 * DAY))
    assert sooner == later


def test_every_rule_changes_something():
    silent = observed(ALL, JUDGED[:3])
    drifted = observed(ALL, [*JUDGED[:2], report(3, D), report(4, D)], [realised(4, broken=True)])
    few = observed(ALL, [*JUDGED[:2], report(3, FEW), report(4, FEW)])

    def reasons(known, **rules):
        return {f"{f.reason} {f.source}" for f in staleness(known, replace(RULES, **rules), LATE)}

    assert reasons(silent) == {"unjudged monitor", "overdue monitor"}
    assert reasons(silent, after=None) == {"unjudged monitor"} == reasons(silent, after=9 * DAY)
    assert reasons(silent, grace=9 * DAY) == {"overdue monitor"}
    assert reasons(drifted) == {"reference_outdated drift", "reference_outdated performance"}
    assert reasons(drifted, drift=None) == {"reference_outdated performance"}
    assert reasons(drifted, drift=KOfN(3, 3), performance=None) == set()
    assert reasons(drifted, performance=KOfN(2, 3)) == {"reference_outdated drift"}
    assert reasons(few) == set() != reasons(few, empty=2)


@pytest.mark.parametrize(("k", "n"), [(0, 3), (4, 3), (0, 0)])
def test_an_impossible_share_is_refused(k, n):
    with pytest.raises(ConfigError, match="1 <= k <= n"):
        KOfN(k, n)


def test_clocks_that_cannot_be_compared_are_refused_all_at_once():
    with pytest.raises(EvidenceError) as caught:
        Observed(
            [partition(1, at=start(2)), partition(1)],
            [report(1, at=start(2))],
            [replace(realised(1, broken=True), at=start(2))],
            [Tenure("a", landing(1), start(1))],
        )
    assert len(caught.value.found) == 6
    with pytest.raises(EvidenceError, match="aware time"):
        staleness(observed(ALL), RULES, start(4))


def test_tenures_are_read_from_the_ledger():
    facts = {"bundle": "a", "scores_from": "2020-02-01T00:00:00", "at": "2020-02-02T06:00:00+00:00"}
    events = [
        Event("p", 1, "decided", {"bundle": "a"}, GENESIS, ""),
        Event("p", 2, "released", facts, GENESIS, ""),
        Event("p", 3, "rolled_back", {**facts, "bundle": "z"}, GENESIS, ""),
    ]
    assert [t.bundle for t in tenures(events)] == ["a", "z"]
    assert tenures(events)[0] == Tenure("a", start(2), datetime(2020, 2, 2, 6, tzinfo=UTC))


def test_a_thousand_partitions_take_less_than_a_tenth_of_a_second():
    import time

    hours = [datetime(2020, 1, 1) + timedelta(hours=h) for h in range(1000)]
    parts = [
        Partition(
            Window(f"{h:%Y-%m-%d-%H}", h, h + timedelta(hours=1)), h.replace(tzinfo=UTC), versions={"features": "1"}
        )
        for h in hours
    ]
    reports = [Report(p.key, p.at, p.versions, f"c{i // 100}", D) for i, p in enumerate(parts)]
    champions = [Tenure(f"c{i}", hours[100 * i], parts[100 * i].at) for i in range(10)]
    began = time.process_time()
    found = staleness(Observed(parts, reports, (), champions), RULES, LATE)
    assert time.process_time() - began < 0.1
    assert [f.reason for f in found] == ["reference_outdated"] * 3


def test_what_is_seen_is_what_other_bounds_would_make_findings_of():
    results = [realised(m, broken=False) for m in (1, 2, 3)]
    known = observed(ALL, [report(1, FEW), *JUDGED[1:3], report(4, champion="old")], results)
    loose = seen(known)
    assert sorted(loose.values()) == [0, 0, 900, 900, 900], "too few rows, and another champion, say nothing"
    tight = observed(ALL, [report(1, FEW), report(2, D), report(3, D)], [realised(3, broken=True)])
    found = staleness(tight, StalenessRules(after=None), SOON)
    outdated = [f for f in found if f.reason == "reference_outdated"]
    assert {f.identity: f.numbers.get("rows", 0) for f in outdated}.items() <= loose.items()
    assert len(outdated) == 3
    assert seen(observed(ALL, JUDGED, champions=())) == {}
    repaired = observed([*ALL[:3], partition(4, "v2")], JUDGED)
    assert len(seen(repaired)) == 3
