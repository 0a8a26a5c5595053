"""The one way into, through and out of a rollout: what moves it is decided in `core.rollout`, and written down here.

Sensor, command line and the asset that carries decisions out only call it. Releasing itself is in `releasing`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from ml_assets.core.errors import ReleaseRefused
from ml_assets.core.releases import ROLLOUT_BEGUN, Champion, Event, live
from ml_assets.core.rollout.recorded import Rollout, begun_facts, kind_of, moved_facts, next_id, open_rollout, rollouts
from ml_assets.core.rollout.state import Action
from ml_assets.releasing import ReleaseDesk

if TYPE_CHECKING:
    from ml_assets.core.rollout.observed import Leg
    from ml_assets.core.rollout.rules import Rules
    from ml_assets.core.rollout.state import Transition

Observe = Callable[[Rollout], "Sequence[Leg]"]
SHOWN = 12
NO_TRAFFIC_TAG = "ml_assets/no_traffic"
"""Of a run in which no candidate is rolled out: where history is replayed, nobody asks meanwhile."""


@dataclass(frozen=True)
class RolloutDesk:
    """Where the rollouts of a pipeline are begun, moved and ended."""

    desk: ReleaseDesk

    def rules(self) -> "Rules | None":
        """What a rollout would go by; None where candidates are released at once."""
        return self.desk.pipeline.rollout_rules

    def now(self) -> Rollout | None:
        """The rollout that is open; None where there is none."""
        return open_rollout(self.desk.events())

    def last(self) -> Rollout | None:
        """The rollout that began last, open or not; None where none has."""
        return next(reversed(rollouts(self.desk.events())), None)

    def begin(self, decision: Event, rules: "Rules", *, by: str, reason: str, now: datetime) -> str:
        """Begin the rollout of a candidate that a decision promotes; one that is open is superseded.

        Args:
            decision: the event.
            rules: what it goes by until its end.
            by: who or what begins it.
            reason: why.
            now: time, aware.

        Returns:
            Its id.

        Raises:
            ReleaseRefused: the candidate has no right to be released, or is damaged.
            LedgerConflict: somebody else wrote to the ledger meanwhile.
        """
        events, bundle = self.desk.events(), decision.facts["bundle"]
        self.desk.require_releasable(events, bundle)
        record = {"as_of": decision.facts["as_of"], "sha256": decision.facts["record"]}
        return self._begin(events, bundle, record, rules, by=by, reason=reason, now=now)

    def force(self, bundle: str, rules: "Rules", *, by: str, reason: str, now: datetime) -> str:
        """Begin the rollout of any intact bundle of the pipeline, as `begin`; a person takes it upon themselves.

        Traffic tells what it is worth; without a passing decision it is not released at the end.
        """
        record = {"as_of": self.desk.intact(bundle).as_of, "sha256": None}
        return self._begin(self.desk.events(), bundle, record, rules, by=by, reason=reason, now=now)

    def _begin(
        self,
        events: "Sequence[Event]",
        bundle: str,
        record: "Mapping[str, str | None]",
        rules: "Rules",
        *,
        by: str,
        reason: str,
        now: datetime,
    ) -> str:
        from ml_assets.core.rollout.machine import begin, supersede

        name, ledger = self.desk.name, self.desk.ledger
        champion = live(events)
        if champion is None:
            raise ReleaseRefused(
                f"rollout of {name}", found="no champion", expected="one that answers meanwhile",
                cure="release the first model directly: `ml-assets release`",
            )  # fmt: skip
        before = open_rollout(events)
        if before is not None:
            why = f"the rollout of another candidate begins: {bundle[:SHOWN]} as of {record['as_of']}"
            told = supersede(before.state, why)
            ledger.append(name, kind_of(told), moved_facts(before, told, by), after=len(events))
            events = self.desk.events()
        told, rollout = begin(rules, now, reason), next_id(events, bundle)
        facts = begun_facts(rollout, champion.bundle, bundle, record, rules.to_json(), told, by)
        ledger.append(name, ROLLOUT_BEGUN, facts, after=len(events))
        return rollout

    def look(self, observe: Observe, *, by: str, now: datetime) -> "Transition | None":
        """Look at the open rollout, and do what follows; None where none is open.

        What a process leaves that is killed between a release and the end of its rollout, the next look completes.

        Args:
            observe: reads what was seen of it.
            by: who looks.
            now: time, aware.

        Raises:
            LedgerConflict: somebody else wrote meanwhile; nothing was done, and the next look decides anew.
            LedgerError: the ledger can't be read or written.
        """
        events = self.desk.events()
        rollout, champion = open_rollout(events), live(events)
        if rollout is None or champion is None:
            return None
        told, after = _follows(rollout, champion, observe, now), len(events)
        if told.action == "promote" and champion.bundle != rollout.candidate:
            told, after = self._release(rollout, told, by, after)
        if told.moves:
            self.desk.ledger.append(self.desk.name, kind_of(told), moved_facts(rollout, told, by), after=after)
        return told

    def outlook(self, observe: Observe, *, now: datetime) -> "Transition | None":
        """What a look would do now, with its reasons; nothing is written. None where none is open.

        Args:
            observe: reads what was seen of it.
            now: time, aware.
        """
        events = self.desk.events()
        rollout, champion = open_rollout(events), live(events)
        return None if rollout is None or champion is None else _follows(rollout, champion, observe, now)

    def ask(self, action: Action, *, by: str, reason: str, now: datetime) -> "Transition":
        """Pause, resume or abort the open rollout, for a person.

        Raises:
            ReleaseRefused: none is open.
            LedgerConflict: somebody else wrote meanwhile.
        """
        from ml_assets.core.rollout import machine

        events = self.desk.events()
        rollout = open_rollout(events)
        if rollout is None:
            raise ReleaseRefused(
                f"rollout of {self.desk.name}", found="none is open", expected="one that has not ended",
                cure=f"see `ml-assets rollout status --pipeline {self.desk.name}`",
            )  # fmt: skip
        told = {
            "pause": lambda: machine.pause(rollout.state, now, reason),
            "resume": lambda: machine.resume(rollout.state, now, reason),
            "abort": lambda: machine.abort(rollout.state, reason),
        }[action]()
        if told.moves:
            self.desk.ledger.append(self.desk.name, kind_of(told), moved_facts(rollout, told, by), after=len(events))
        return told

    def _release(self, rollout: Rollout, told: "Transition", by: str, after: int) -> "tuple[Transition, int]":
        """Make the candidate the champion; where it may no longer be released, the rollout goes back.

        The release comes first: until then the candidate keeps the traffic it has, and nobody is sent to and fro.
        """
        from ml_assets.core.rollout.machine import turn_down

        reason = f"rollout {rollout.id}: {told.reasons[0]}"
        try:
            champion = self.desk.release(
                rollout.candidate, by=by, reason=reason, not_before=self.desk.scored_until(), after=after
            )
        except ReleaseRefused as e:
            return turn_down(rollout.state, f"it can't be released: {'; '.join(e.found)}", told.evidence), after
        return told, champion.sequence


def _follows(rollout: Rollout, champion: Champion, observe: Observe, now: datetime) -> "Transition":
    from ml_assets.core.rollout.machine import step
    from ml_assets.core.rollout.rules import Rules

    rules = Rules.from_json(rollout.rules)
    return _overtaken(rollout, champion) or step(rollout.state, observe(rollout), rules, now)


def _overtaken(rollout: Rollout, champion: Champion) -> "Transition | None":
    """What follows from a champion that is another one than when the rollout began; None where it is the same."""
    from ml_assets.core.rollout.machine import released, supersede

    if champion.bundle == rollout.champion:
        return None
    if champion.bundle == rollout.candidate:
        return released(rollout.state, f"its candidate is the champion since event {champion.sequence}")
    why = f"{champion.bundle[:SHOWN]}, as of {champion.as_of}, became the champion in event {champion.sequence}"
    return supersede(rollout.state, why)
