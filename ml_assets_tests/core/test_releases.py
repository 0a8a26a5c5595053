from dataclasses import replace
from datetime import datetime

import pytest

from ml_assets.core.errors import LedgerError
from ml_assets.core.releases import GENESIS, Event, champion_for, check_chain, event_hash, live


def chain(*facts: tuple[str, dict[str, str]]) -> list[Event]:
    events, previous = [], GENESIS
    for sequence, (kind, fact) in enumerate(facts, start=1):
        digest = event_hash("p", sequence, kind, fact, previous)
        events.append(Event("p", sequence, kind, fact, previous, digest))
        previous = digest
    return events


def released(bundle: str, as_of: str, scores_from: str) -> tuple[str, dict[str, str]]:
    return "released", {"bundle": bundle, "as_of": as_of, "scores_from": scores_from}


HISTORY = chain(
    released("a", "2018-12", "2019-01-01T00:00:00"),
    ("rejected", {"bundle": "b", "as_of": "2019-03"}),
    released("c", "2019-06", "2019-07-01T00:00:00"),
)


def test_live_is_the_last_release_and_rejections_change_nothing():
    assert live([]) is None
    assert live(HISTORY[:2]).bundle == "a"
    assert live(HISTORY).bundle == "c"


@pytest.mark.parametrize(
    ("start", "bundle"),
    [
        (datetime(2018, 12, 1), None),
        (datetime(2019, 1, 1), "a"),
        (datetime(2019, 6, 1), "a"),
        (datetime(2019, 7, 1), "c"),
    ],
)
def test_a_partition_is_scored_by_what_had_learnt_from_nothing_later(start, bundle):
    champion = champion_for(HISTORY, start)
    assert (champion and champion.bundle) == bundle


def test_an_intact_chain_passes():
    check_chain(HISTORY)


@pytest.mark.parametrize(
    "tampered",
    [
        [replace(HISTORY[0], facts={**HISTORY[0].facts, "bundle": "evil"}), *HISTORY[1:]],
        HISTORY[1:],
        [HISTORY[0], HISTORY[2]],
        [HISTORY[0], replace(HISTORY[1], sequence=3), HISTORY[2]],
        [HISTORY[0], replace(HISTORY[1], previous=GENESIS), HISTORY[2]],
    ],
    ids=["changed", "first removed", "middle removed", "renumbered", "relinked"],
)
def test_a_tampered_chain_is_refused(tampered):
    with pytest.raises(LedgerError, match="restore the ledger"):
        check_chain(tampered)
