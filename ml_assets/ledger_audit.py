"""Whether the ledger and all that it names are as they were written: behind `ml-assets verify`.

What makes a chain whole is in `core.releases`, a record intact in `core.decision_record`.
"""

from collections.abc import Iterator, Sequence

import dagster as dg

from ml_assets.core.decision_record import record_faults
from ml_assets.core.errors import BundleError
from ml_assets.core.releases import (
    ASKED,
    ATTRIBUTED,
    BEGUN,
    DECIDED,
    ENDED,
    JUDGED,
    RELEASED,
    ROLLED_BACK,
    ROLLOUT_BEGUN,
    ROLLOUT_ENDED,
    ROLLOUT_MOVED,
    Event,
    chain_faults,
)
from ml_assets.releasing import ReleaseDesk

_MOVED = {"rollout", "bundle", "as_of", "action", "from", "to", "weights", "shadows", "reasons", "evidence", "by"}
NEEDED = {
    DECIDED: {"bundle", "as_of", "verdict", "record"},
    RELEASED: {"bundle", "as_of", "scores_from", "record", "forced"},
    ROLLED_BACK: {"bundle", "as_of", "scores_from", "from_bundle"},
    ASKED: {"by", "why"},
    JUDGED: {"action", "reasons", "evidence", "key", "plan", "digest", "by"},
    BEGUN: {"key", "run", "as_of"},
    ENDED: {"key", "run", "as_of", "outcome", "why"},
    ATTRIBUTED: {"bundle", "as_of", "release", "replaced", "interval", "words"},
    ROLLOUT_BEGUN: _MOVED | {"champion", "record", "strategy", "rules"},
    ROLLOUT_MOVED: _MOVED,
    ROLLOUT_ENDED: _MOVED,
}


def audit(desk: ReleaseDesk, expected_head: str | None = None) -> tuple[list[Event], list[str]]:
    """The ledger as it is stored, and every fault that was found, in words.

    Args:
        desk: whose ledger, records and bundles.
        expected_head: `12:<hash>`, as an earlier `verify` or `status` told it. Without it, events that are missing at
            the end can only be noticed by what they left behind: the shown decisions and the champion's page.
    """
    events = desk.ledger.as_stored(desk.name)
    incomplete = [e for e in events if NEEDED.get(e.kind, {e.kind}) - set(e.facts)]
    readable = [e for e in events if e not in incomplete]
    return events, [
        *chain_faults(events),
        *(f"event {e.sequence} lacks facts of a `{e.kind}`" for e in incomplete),
        *([] if expected_head is None else head_faults(events, expected_head)),
        *missing_at_the_end(desk, events),
        *(fault for e in readable if e.kind == DECIDED for fault in decision_faults(desk, e)),
        *shown_faults(desk, readable),
        *without_right(readable),
        *attributed_wrongly(readable),
        *bundle_faults(desk, readable),
    ]


def head_faults(events: Sequence[Event], expected: str) -> Iterator[str]:
    """What is missing, or was written anew, since a head was noted."""
    sequence, _, digest = expected.partition(":")
    at = int(sequence)
    if at > len(events):
        yield f"the ledger ends with event {len(events)}; event {at} was its last when this head was noted"
    elif at and not events[at - 1].hash.startswith(digest.lower()):
        yield f"event {at} is another one than when this head was noted: the ledger was written anew"


def missing_at_the_end(desk: ReleaseDesk, events: Sequence[Event]) -> Iterator[str]:
    """Whether the champion's page speaks of an event that is not there."""
    try:
        page = desk.store.record(dg.AssetKey([desk.name]), "champion")
    except ValueError:
        yield "the champion's page can't be read: materialize it again"
        return
    if page is not None and page["sequence"] > len(events):
        yield f"the champion's page speaks of event {page['sequence']}; the ledger ends with event {len(events)}"


def decision_faults(desk: ReleaseDesk, decision: Event) -> list[str]:
    """What is wrong with the record of a decision."""
    return record_faults(desk.kept_record(decision.facts["record"]), decision)


def shown_faults(desk: ReleaseDesk, events: list[Event]) -> Iterator[str]:
    """What is wrong with the records that the asset `decision` shows; the ledger names each before it is shown."""
    folder = desk.store.base.joinpath(*desk.pipeline.key("decision").path)
    shown = sorted(p.stem for p in folder.iterdir() if p.suffix == ".json") if folder.exists() else []
    for as_of in shown:
        yield from desk.faults_shown(events, as_of)


def without_right(events: Sequence[Event]) -> Iterator[str]:
    """Releases and rollouts that nobody decided on and nobody forced, and ways back to what was never live."""
    for i, e in enumerate(events):
        rests_on_one = e.kind == ROLLOUT_BEGUN and e.facts["record"] is not None
        if rests_on_one or (e.kind == RELEASED and not e.facts["forced"]):
            right = {"verdict": "promote", "bundle": e.facts["bundle"], "record": e.facts["record"]}
            if not any(b.kind == DECIDED and right.items() <= b.facts.items() for b in events[:i]):
                does = "releases" if e.kind == RELEASED else "rolls out"
                yield f"event {e.sequence} {does} {e.facts['bundle'][:12]} without a passing decision before it"
        if e.kind == ROLLED_BACK:
            live_once = {b.facts["bundle"] for b in events[:i] if b.kind in (RELEASED, ROLLED_BACK)}
            if e.facts["bundle"] not in live_once:
                yield f"event {e.sequence} goes back to {e.facts['bundle'][:12]}, which was never live before"


def attributed_wrongly(events: Sequence[Event]) -> Iterator[str]:
    """Accounts of what was never released, and a second one of the same release."""
    released = {e.sequence: e.facts["bundle"] for e in events if e.kind == RELEASED}
    told: set[int] = set()
    for e in (e for e in events if e.kind == ATTRIBUTED):
        release = e.facts["release"]
        if release > e.sequence or released.get(release) != e.facts["bundle"]:
            yield f"event {e.sequence} says what event {release} was worth, which released another bundle or none"
        if release in told:
            yield f"event {e.sequence} says a second time what event {release} was worth"
        told.add(release)


def bundle_faults(desk: ReleaseDesk, events: Sequence[Event]) -> Iterator[str]:
    """Bundles that were live once and are missing or damaged."""
    for bundle in dict.fromkeys(e.facts["bundle"] for e in events if e.kind in (RELEASED, ROLLED_BACK)):
        try:
            desk.models.load_anew(bundle)
        except BundleError as e:
            yield f"{e.thing}: {'; '.join(e.found)}"
