"""Who answers, as the ledger has it: the fold of a pipeline's events to a routing.

A rollout counts only as long as the champion it began with is live: whoever releases or goes back to another bundle
meanwhile has the last word at once, before anybody has written down the rollout's end.
"""

from collections.abc import Sequence

from ml_assets.core.releases import Event, before_live, live
from ml_assets.core.rollout.recorded import open_rollout
from ml_assets.core.rollout.rules import Rules
from ml_assets.core.routing import CANDIDATE, CHAMPION, Arm, Routing, alone


def routing_of(events: Sequence[Event]) -> Routing | None:
    """The routing that a pipeline's ledger asks for; None before the first release."""
    now, before = live(events), before_live(events)
    if now is None:
        return None
    standby = (before.bundle,) if before is not None else ()
    rollout = open_rollout(events)
    if rollout is None or rollout.champion != now.bundle:
        return alone(now.bundle, standby)
    bundles = {CHAMPION: rollout.champion, CANDIDATE: rollout.candidate}
    facts = rollout.events[-1].facts
    return Routing(
        champion=now.bundle,
        arms=tuple(Arm(variant, bundle, facts["weights"][variant]) for variant, bundle in bundles.items()),
        salt=rollout.id,
        shadows=tuple(bundles[variant] for variant in facts["shadows"]),
        standby=standby,
        breaker=Rules.from_json(rollout.rules).breaker,
    )
