"""Where it is decided whether a pipeline is retrained, and written down, whoever asks: sensor, schedule or replay.

The rules are in `core.retraining`; what is known is looked up by `observing`. Sensors only turn a decision into runs.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import dagster as dg

from ml_assets.core.errors import ConfigError, TrainingError
from ml_assets.core.releases import ACCEPTED, ASKED, BEGUN, ENDED, JUDGED, Event
from ml_assets.core.retraining.trainings import Plan
from ml_assets.observing import Observer, is_over
from ml_assets.partitions import windows_through
from ml_assets.problem import Pipeline
from ml_assets.resources.ledger import Ledger

if TYPE_CHECKING:
    from ml_assets.core.retraining.decision import Decision
    from ml_assets.core.retraining.evidence import Finding
    from ml_assets.core.retraining.observed import Tenure

CAUSE_TAG = "ml_assets/cause"
"""Tag of a run: key of the evidence that asked for it."""
PIPELINE_TAG = "ml_assets/pipeline"


@dataclass(frozen=True)
class RetrainingDesk:
    """Decides on one pipeline.

    Args:
        observer: looks at it.
        ledger: where decisions are written down.
    """

    observer: Observer
    ledger: Ledger

    @property
    def pipeline(self) -> Pipeline:
        """Which."""
        return self.observer.pipeline

    def decide(self, by: str) -> "Decision":
        """What is to be done now; written to the ledger where it is another than was written last.

        That a training is asked for stands in the ledger before any run is: of two who decide at once, one wins. What
        was asked for and has not begun is asked for again, under the same key.

        Args:
            by: who decides.

        Raises:
            LedgerConflict: somebody else wrote meanwhile; nothing is asked for.
            LedgerError: the ledger can't be read or written.
        """
        from ml_assets.core.retraining.causes import first, unprepared
        from ml_assets.core.retraining.decision import decide
        from ml_assets.core.retraining.evidence import Evidence
        from ml_assets.core.retraining.recorded import judged
        from ml_assets.core.retraining.staleness import seen, staleness

        events, config = self.ledger.events(self.pipeline.name), self.pipeline.config
        written = judged(events)
        asked = [(e, d) for e, d in written if d.action == "retrain"]
        rules, now = self.pipeline.retraining_rules, self.observer.clock.now()
        observed = self.observer.observed(events)
        champion = observed.live.bundle if observed.live else None
        stale = config.retraining.staleness_rules(config.monitoring) if config.retraining else None
        waiting = self.observer.waiting(observed)
        found = Evidence.of(
            staleness(observed, stale, now) if stale else (),
            first(observed.partitions, champion, config.model.window),
            unprepared(observed.partitions, champion, config.model.window, config.monitoring.grace_length, now),
            self.observer.held_up(observed),
            self._ticks(asked, observed.live),
            _asked(events, asked, champion),
        ).findings
        evidence = Evidence.of(f for f in found if f.action == "retrain" or f.subject not in waiting)
        trainings = self.observer.trainings(events)
        decision = decide(evidence, observed.partitions, trainings, rules, seen(observed))
        is_news = not written or written[-1][0].facts["digest"] != decision.digest
        if is_news and not (decision.action == "retrain" and decision.key in {d.key for _, d in asked}):
            facts = {**decision.to_json(), "digest": decision.digest, "by": by, "now": now.isoformat()}
            self.ledger.append(self.pipeline.name, JUDGED, facts, after=len(events))
        return decision

    def _ticks(self, asked: "list[tuple[Event, Decision]]", live: "Tenure | None") -> "list[Finding]":
        """What the schedule asks for since the champion was released and a training was last asked for."""
        from ml_assets.core.retraining.causes import scheduled

        config = self.pipeline.config.retraining
        if config is None or config.schedule is None or live is None:
            return []
        tick = self.observer.clock.last_tick(config.schedule)
        then = [datetime.fromisoformat(e.facts["now"]) for e, _ in asked]
        return [scheduled(tick, config.schedule, live.bundle)] if tick > max([live.at, *then]) else []


def ask(pipeline: Pipeline, ledger: Ledger, *, by: str, why: str) -> Event:
    """Write down that a person asks for a training; the sensor decides on it at its next look.

    Cooldown and budget don't hold for it; broken data, missing labels and a training under way do.

    Raises:
        ConfigError: nothing retrains this pipeline by itself.
        LedgerConflict: somebody else wrote meanwhile.
    """
    pipeline.retraining_rules  # noqa: B018 - raises
    return ledger.append(pipeline.name, ASKED, {"by": by, "why": why}, after=len(ledger.events(pipeline.name)))


def accept(pipeline: Pipeline, ledger: Ledger, partition: str, *, landed: Collection[str], by: str, why: str) -> Event:
    """Write down that a partition never lands: trainings do without it, and its silence is no reason to retrain.

    Should it land all the same, it is learnt from like any other.

    Args:
        pipeline: which.
        ledger: of all pipelines.
        partition: its key.
        landed: keys of the partitions of the table that have landed.
        by: who.
        why: in their words.

    Raises:
        ConfigError: there is no such partition, its window is not over, or it has landed.
        LedgerConflict: somebody else wrote meanwhile.
    """
    over = [w.key for w in windows_through(pipeline.table.partitions)]
    if partition not in over or partition in landed:
        raise ConfigError(
            f"partition {partition} of {pipeline.table.name}",
            found="it has landed" if partition in landed else "no partition whose window is over",
            expected="one of " + (", ".join(key for key in over if key not in landed) or "none: all have landed"),
            cure="accept only what is missing; what landed broken is repaired and ingested again",
        )
    facts = {"partition": partition, "by": by, "why": why}
    return ledger.append(pipeline.name, ACCEPTED, facts, after=len(ledger.events(pipeline.name)))


def _asked(events: list[Event], requests: "list[tuple[Event, Decision]]", champion: str | None) -> "list[Finding]":
    """What persons ask for and no training was asked for yet."""
    from ml_assets.core.retraining.causes import asked

    answered = {f.identity for _, d in requests for f in d.evidence.asks}
    found = [asked(str(e.sequence), e.facts["by"], e.facts["why"], champion) for e in events if e.kind == ASKED]
    return [finding for finding in found if finding.identity not in answered]


def plan(pipeline: Pipeline, ledger: Ledger, as_of: str, cause: str | None) -> Plan:
    """What a training as of a partition is to do; where nothing was decided on it, all that the YAML says.

    Args:
        pipeline: which.
        ledger: of all pipelines.
        as_of: key of the as-of partition.
        cause: key of the evidence that asked for it; None where a person starts it.
    """
    from ml_assets.core.retraining.recorded import plan_of

    config = pipeline.config
    told = plan_of(ledger.events(pipeline.name), as_of, cause)
    return told or Plan(as_of, "tune" if config.tuning else "refit", config.model.window, why="started by a person")


def begin(pipeline: Pipeline, ledger: Ledger, instance: dg.DagsterInstance, run: dg.DagsterRun) -> None:
    """Write down that the training of a cause begins, so that no other run trains for it at the same time.

    Raises:
        TrainingError: another run does.
        LedgerConflict: somebody else wrote meanwhile.
    """
    from ml_assets.core.retraining.recorded import begun
    from ml_assets.core.retraining.recorded import is_over as ended

    cause, as_of = run.tags.get(CAUSE_TAG), run.tags.get("dagster/partition")
    if cause is None:
        return
    events = ledger.events(pipeline.name)
    last = begun(events, cause)
    if last is not None:
        other = str(last.facts["run"])
        if other == run.run_id:
            return
        if not ended(events, cause, other) and not is_over(instance, other):
            raise TrainingError(
                f"training of {pipeline.name} as of {as_of}, run {run.run_id}",
                found=f"run {other}, which trains for the same cause and has not ended",
                expected="one run for one cause",
                cure="let that run end; see that only one Dagster daemon works on this instance",
            )
    ledger.append(pipeline.name, BEGUN, {"key": cause, "run": run.run_id, "as_of": as_of}, after=len(events))


def end(ledger: Ledger, run: dg.DagsterRun, outcome: str, why: str) -> bool:
    """Write down that the training of a cause ended without a decision; False where that, or a decision, stands.

    Args:
        ledger: of all pipelines.
        run: the training's.
        outcome: `failed`, or `rejected` where there was nothing to decide on.
        why: in words.
    """
    from ml_assets.core.releases import DECIDED
    from ml_assets.core.retraining.recorded import is_over as ended

    tags = run.tags
    cause, name, as_of = tags.get(CAUSE_TAG), tags.get(PIPELINE_TAG), tags.get("dagster/partition")
    if cause is None or name is None:
        return False
    events = ledger.events(name)
    decided = any(e.kind == DECIDED and e.facts.get("cause") == cause for e in events)
    if decided or ended(events, cause, run.run_id):
        return False
    facts = {"key": cause, "run": run.run_id, "as_of": as_of, "outcome": outcome, "why": why}
    ledger.append(name, ENDED, facts, after=len(events))
    return True
