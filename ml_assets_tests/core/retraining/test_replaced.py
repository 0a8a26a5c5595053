"""Which champion a release replaced, and over which partitions both score: a table of ledgers."""

from datetime import datetime

import pytest

from ml_assets.core.releases import Event, champion_for
from ml_assets.core.retraining.replaced import Account, ended_before, replacement_at, replacements
from ml_assets.core.windows import Window

MONTHS = [Window(f"2019-{m:02}", datetime(2019, m, 1), datetime(2019, m + 1, 1)) for m in range(1, 12)]


def ledger(*events: tuple[str, dict[str, object]]) -> list[Event]:
    return [Event("p", i, kind, facts, "", "") for i, (kind, facts) in enumerate(events, start=1)]


def released(bundle: str, trained: int, scores: int | None = None, *, forced: bool = False):
    """A release as of the month before `trained`, which scores from the first of `scores`."""
    facts = {
        "bundle": bundle, "as_of": f"2019-{trained - 1:02}", "as_of_end": f"2019-{trained:02}-01",
        "scores_from": f"2019-{scores or trained:02}-01", "forced": forced, "record": None if forced else bundle,
    }  # fmt: skip
    return "released", facts


def back(bundle: str, from_bundle: str, scores: int, trained: int):
    return "rolled_back", {**released(bundle, trained, scores)[1], "from_bundle": from_bundle}


DECIDED = ("decided", {"bundle": "x", "as_of": "2019-06", "verdict": "reject", "record": "rx"})
ATTRIBUTED = ("attributed", {"bundle": "b", "as_of": "2019-04", "release": 2})
A, B, C = released("a", 2), released("b", 5), released("c", 7)

CASES = {
    "nothing": ((), {}),
    "a decision only": ((DECIDED,), {}),
    "the first champion": ((A,), {}),
    "a release": ((A, B), {"b": ("a", 5, None)}),
    "a release after a rejection": ((A, DECIDED, B, ATTRIBUTED), {"b": ("a", 5, None)}),
    "two releases": ((A, B, C), {"b": ("a", 5, 7), "c": ("b", 7, None)}),
    "a rollback": ((A, B, back("a", "b", 8, 2)), {"b": ("a", 5, 8)}),
    "a release after a rollback": (
        (A, B, back("a", "b", 8, 2), released("c", 9)), {"b": ("a", 5, 8), "c": ("a", 9, None)},
    ),
    "a rollback before it scored": ((A, B, back("a", "b", 5, 2)), {}),
    "released again after a rollback": (
        (A, B, back("a", "b", 8, 2), released("b", 5, 10)), {"b": ("a", 10, None)},
    ),
    "a forced release": ((A, released("b", 5, forced=True)), {"b": ("a", 5, None)}),
    "a release by hand, after partitions were scored": ((A, released("b", 5, 7)), {"b": ("a", 7, None)}),
    "the same bundle": ((A, A), {}),
    "the same bundle twice in a row ends no account": ((A, B, B), {"b": ("a", 5, None)}),
    "an older model by force: what it replaced has learnt from what came since": (
        (A, B, released("c", 3, forced=True)), {"c": ("b", 5, None)},
    ),
    "two as of the same partition: the first has answered nothing": ((A, B, released("c", 5)), {"c": ("b", 5, None)}),
}  # fmt: skip


@pytest.mark.parametrize(("events", "expected"), CASES.values(), ids=CASES)
def test_who_was_replaced_and_for_how_long_both_may_score(events, expected):
    found = replacements(ledger(*events))
    spans = {r.replacing.bundle: (r.replaced.bundle, r.since.month, r.until and r.until.month) for r in found}
    assert spans == expected
    for window in MONTHS:
        at = replacement_at(ledger(*events), window.start)
        assert at == next((r for r in found if r.covers(window.start)), None)
        if at is not None:
            answers = champion_for(ledger(*events), window.start)
            assert answers.bundle == at.replacing.bundle, "only of partitions that it answers"
            assert at.replaced.as_of_end <= window.start, "the one before has seen nothing of it"
            assert sum(r.covers(window.start) for r in found) == 1


def test_a_bundle_that_was_released_twice_has_two_accounts_side_by_side():
    found = replacements(ledger(A, B, back("a", "b", 8, 2), released("b", 5, 10)))
    assert [(r.replacing.sequence, r.since.month, r.until and r.until.month) for r in found] == [
        (2, 5, 8),
        (4, 10, None),
    ]


def account(*events, wanted=3, months=MONTHS) -> Account:
    [*_, last] = replacements(ledger(*events))
    return Account.of(last, [w for w in months if w.start >= last.since][:wanted], wanted)


@pytest.mark.parametrize(
    ("events", "wanted", "keys", "final"),
    [
        ((A, B), 3, ["2019-05", "2019-06", "2019-07"], True),
        ((A, B), 1, ["2019-05"], True),
        ((A, released("b", 10)), 3, ["2019-10", "2019-11"], False),
        ((A, B, back("a", "b", 7, 2)), 3, ["2019-05", "2019-06"], True),
    ],
)
def test_an_account_has_the_first_partitions_until_another_champion_answers(events, wanted, keys, final):
    found = account(*events, wanted=wanted)
    assert [w.key for w in found.partitions] == keys
    assert found.is_final is final
    assert found.release == 2


def test_the_account_that_ended_last_before_a_partition():
    events = ledger(A, B, C, back("b", "c", 9, 5))
    told = {m: ended_before(events, datetime(2019, m, 1)) for m in (5, 6, 7, 8, 9, 11)}
    assert {m: r and r.replacing.bundle for m, r in told.items()} == {5: None, 6: None, 7: "b", 8: "b", 9: "c", 11: "c"}
