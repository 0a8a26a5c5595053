"""The right to be released: a passing record for that very bundle, against the champion that is live now.

What events mean is in `releases`; a person may override this with a reason, which `ml_assets.releasing` records.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ml_assets.core.decision_record import record_faults
from ml_assets.core.errors import ReleaseRefused
from ml_assets.core.releases import Champion, Event, champions, decision_on, live, rollout_begun, rollout_end, withdrawn

SHORTEST_PREFIX = 6
SHOWN = 12


def require_right(pipeline: str, events: Sequence[Event], bundle: str, record: Mapping[str, Any] | None) -> None:
    """Raise a ReleaseRefused that lists everything that speaks against releasing a bundle.

    Args:
        pipeline: whose ledger.
        events: the ledger.
        bundle: SHA-256 of what is to be released.
        record: the decision record that is kept for it; None where there is none.
    """
    decision, cure = decision_on(events, bundle), f"run {pipeline}_train again for its as-of partition"
    if decision is None:
        found = ["there is no decision on it"]
    elif decision.facts["verdict"] != "promote":
        found = [f"the decision on it is `{decision.facts['verdict']}`", *decision.facts["reasons"]]
        cure = f"improve the model or wait for more labels, then {cure}"
    else:
        found = [*record_faults(record, decision), *_outdated(events, decision, record)]
    if decision is not None and (ended := _turned_down(events, decision)) is not None:
        why = f"{ended.facts['action']}: {ended.facts['reasons'][0]}"
        found.append(f"its rollout ended in event {ended.sequence}, {why}")
    if (back := withdrawn(events, bundle)) is not None:
        found.append(f"{back.facts['by']} went back from it in event {back.sequence}: {back.facts['reason']}")
    if found:
        raise ReleaseRefused(
            f"bundle {bundle[:SHOWN]} of {pipeline}",
            found=found,
            expected="a passing decision on this very bundle, compared with the champion that is live now",
            cure=f"{cure}; or take it upon yourself with "
            f"`ml-assets release --pipeline {pipeline} --bundle {bundle[:SHOWN]} --force --reason …`",
        )


def _turned_down(events: Sequence[Event], decision: Event) -> Event | None:
    """The end, without a release, of the rollout that this decision led to; None where there is none."""
    begun = rollout_begun(events, decision)
    ended = None if begun is None else rollout_end(events, begun.facts["rollout"])
    return None if ended is None or ended.facts["to"]["phase"] == "promoted" else ended


def _outdated(events: Sequence[Event], decision: Event, record: Mapping[str, Any] | None) -> list[str]:
    compared = (record or {}).get("champion")
    now = live(events)
    if record is None or (compared and compared["bundle"]) == (now and now.bundle):
        return []
    was = f"champion {compared['bundle'][:SHOWN]}" if compared else "no champion"
    return [f"decision {decision.sequence} compares it with {was}; live is {now.bundle[:SHOWN] if now else 'none'}"]


def released_bundle(pipeline: str, events: Sequence[Event], version: str) -> Champion:
    """The bundle whose SHA-256 starts so, among those that were live once; as it was made live last.

    Raises:
        ReleaseRefused: there is none, or several.
    """
    known = {c.bundle: c for c in champions(events)}
    found = [c for bundle, c in known.items() if bundle.startswith(version.lower())]
    if len(found) != 1 or len(version) < SHORTEST_PREFIX:
        listed = [f"{c.bundle[:SHOWN]}, trained as of {c.as_of}" for c in known.values()]
        raise ReleaseRefused(
            f"version {version!r} of {pipeline}",
            found=[f"{len(found)} bundles that were live once begin so", *listed],
            expected=f"at least {SHORTEST_PREFIX} characters with which one of them begins",
            cure=f"copy it from `ml-assets history --pipeline {pipeline}`; a bundle that was never live can only be "
            "released",
        )
    return found[0]
