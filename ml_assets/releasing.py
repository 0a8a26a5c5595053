"""The one way to a release: deciding is recorded here, bundles are released and gone back to here, whoever asks.

What gives the right to it is in `core.release_rights`, what it means for scoring in `core.releases`. Assets and the
command line only call it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ml_assets.core.decision_record import canonical, decided_facts, record_faults
from ml_assets.core.errors import BundleError, ReleaseRefused
from ml_assets.core.release_rights import released_bundle, require_right
from ml_assets.core.releases import (
    DECIDED,
    RELEASED,
    ROLLED_BACK,
    Champion,
    Event,
    before_live,
    champions,
    decision_as_of,
    decision_on,
    decisions,
    live,
)
from ml_assets.problem import Pipeline
from ml_assets.resources.ledger import Ledger
from ml_assets.resources.models import Models
from ml_assets.resources.storage import Store
from ml_assets.resources.whole_files import write_whole

if TYPE_CHECKING:
    from ml_assets.core.bundle import Bundle


@dataclass(frozen=True)
class ReleaseDesk:
    """Where decisions on the candidates of a pipeline are recorded, and carried out."""

    pipeline: Pipeline
    store: Store
    models: Models
    ledger: Ledger

    @property
    def name(self) -> str:
        """Name of the pipeline."""
        return self.pipeline.name

    def events(self) -> list[Event]:
        """The ledger, its chain checked."""
        return self.ledger.events(self.name)

    def live(self) -> Champion | None:
        """The champion now."""
        return live(self.events())

    def kept_record(self, sha256: str) -> dict[str, Any] | None:
        """A decision record, by its hash; None where there is none."""
        return self._decision(f"records/{sha256}")

    def _decision(self, name: str) -> dict[str, Any] | None:
        """A file of the asset `decision`; without content where it can't be read, which no hash fits."""
        try:
            record = self.store.record(self.pipeline.key("decision"), name)
        except ValueError:
            return {}
        return record if record is None or isinstance(record, dict) else {}

    def record_decision(
        self, record: Mapping[str, Any], evaluation: Mapping[str, Any], reason: str, cause: str | None = None
    ) -> None:
        """Keep a decision's record under its hash, then name it in the ledger, unless it is the last one on its bundle.

        The record comes first: an event never speaks of a record that is not there.

        Args:
            record: see `core.decision_record.freeze`.
            evaluation: what it rests on.
            reason: why the candidate was trained.
            cause: key of the evidence that asked for the training; None where a person did.
        """
        path = self.store.path(self.pipeline.key("decision"), f"records/{record['sha256']}", ".json")
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, canonical(record))
        events = self.events()
        last = decision_on(events, record["bundle"])
        if last is None or (last.facts["record"], last.facts.get("cause")) != (record["sha256"], cause):
            facts = decided_facts(record, evaluation, reason, cause)
            self.ledger.append(self.name, DECIDED, facts, after=len(events))

    def standing_record(self, bundle: str) -> dict[str, Any] | None:
        """The record by which the live champion was decided on, if that is this bundle; None if anything is amiss."""
        events = self.events()
        now, decision = live(events), decision_on(events, bundle)
        if now is None or now.bundle != bundle or decision is None:
            return None
        record = self.kept_record(decision.facts["record"])
        return None if record_faults(record, decision) else record

    def release(
        self,
        bundle: str,
        *,
        by: str,
        reason: str,
        forced: bool = False,
        not_before: datetime | None = None,
        after: int | None = None,
    ) -> Champion:
        """Make a bundle the champion; one that is already live stays it, without a new event.

        Args:
            bundle: its SHA-256.
            by: who or what releases it.
            reason: why.
            forced: a person takes it upon themselves, without a passing decision.
            not_before: from when in event time it scores, if that is later than the end of its as-of partition.
            after: how many events whoever wants it has seen; None: it does not rest on any.

        Raises:
            ReleaseRefused: it has no right to be released, or is damaged.
            LedgerConflict: somebody else wrote to the ledger meanwhile.
        """
        events = self.events()
        now = live(events)
        if now is not None and now.bundle == bundle:
            return now
        decision = decision_on(events, bundle)
        model = self.intact(bundle) if forced else self.require_releasable(events, bundle)
        facts = {"record": decision.facts["record"] if decision else None, "forced": forced, "by": by, "reason": reason}
        return self._make_live(RELEASED, model, facts, not_before, len(events) if after is None else after)

    def require_releasable(self, events: list[Event], bundle: str) -> "Bundle":
        """The bundle, read anew.

        Raises:
            ReleaseRefused: it has no right to be released, or is damaged.
        """
        model, decision = self.intact(bundle), decision_on(events, bundle)
        record = self.kept_record(decision.facts["record"]) if decision else None
        require_right(self.name, events, bundle, record)
        self._require_shown(events, bundle)
        return model

    def roll_back(self, *, to: str | None, by: str, reason: str, not_before: datetime | None) -> Champion:
        """Go back to a bundle that was live once; one that is live now stays it, without a new event.

        Args:
            to: the beginning of its SHA-256; None: the champion before the live one, see `releases.before_live`.
            by: who goes back.
            reason: why.
            not_before: end of the newest partition that is scored, so that nothing is scored again; None: nothing is.

        Raises:
            ReleaseRefused: there is nothing to go back to, or it is damaged.
            LedgerConflict: somebody else wrote to the ledger meanwhile.
        """
        events = self.events()
        now = live(events)
        target = released_bundle(self.name, events, to) if to is not None else before_live(events)
        if now is None or target is None:
            raise ReleaseRefused(
                f"rollback of {self.name}",
                found=f"no champion before {now.bundle[:12]}, trained as of {now.as_of}" if now else "no champion",
                expected="a champion that the live one replaced",
                cure=f"name another version that was live once with --to (`ml-assets history --pipeline {self.name}`)",
            )
        if target.bundle == now.bundle:
            return now
        facts = {"from_bundle": now.bundle, "by": by, "reason": reason}
        return self._make_live(ROLLED_BACK, self.intact(target.bundle), facts, not_before, len(events))

    def scored_until(self) -> datetime | None:
        """The end of the newest partition that has scores; None where none has."""
        key = self.pipeline.key("predictions")
        kept = (self.pipeline.table.window(k) for k in self.store.partitions(key))
        newest_first = sorted(kept, key=lambda w: w.start, reverse=True)
        return next((w.end for w in newest_first if self.store.rows(key, w.key)), None)

    def _make_live(
        self, kind: str, model: "Bundle", facts: Mapping[str, Any], not_before: datetime | None, after: int
    ) -> Champion:
        end = as_of_end(model)
        told = {
            "bundle": model.sha256,
            "as_of": model.as_of,
            "as_of_end": end.isoformat(),
            "scores_from": max(end, not_before or end).isoformat(),
            **facts,
        }
        [champion] = champions([self.ledger.append(self.name, kind, told, after=after)])
        return champion

    def intact(self, bundle: str) -> "Bundle":
        """A bundle of this pipeline, read from where it is kept and not from memory."""
        try:
            model = self.models.load_anew(bundle)
        except BundleError as e:
            raise ReleaseRefused(
                e.thing, found=e.found, expected="an intact bundle; nobody can force a damaged one", cure=e.cure
            ) from e
        if model.facts["pipeline"] != self.name:
            raise ReleaseRefused(
                f"bundle {bundle[:12]}",
                found=f"a model of the pipeline {model.facts['pipeline']}",
                expected=f"one of {self.name}",
                cure="name another version, or another --pipeline",
            )
        return model

    def _require_shown(self, events: list[Event], bundle: str) -> None:
        """Raise a ReleaseRefused if the record that people see is none that the ledger names."""
        decision = decision_on(events, bundle)
        if decision is None or decision_as_of(events, decision.facts["as_of"]) is not decision:
            return
        if faults := self.faults_shown(events, decision.facts["as_of"]):
            raise ReleaseRefused(
                f"decision of {self.name} as of {decision.facts['as_of']}",
                found=faults,
                expected=f"the record that the ledger names, {decision.facts['record'][:12]}…",
                cure=f"materialize {self.name}/decision for {decision.facts['as_of']} again",
            )

    def faults_shown(self, events: list[Event], as_of: str) -> list[str]:
        """What is wrong with the record that the asset `decision` shows for a partition; empty if nothing is.

        It may be older than the last decision, where a process was killed after it had written to the ledger.
        """
        shown = self._decision(as_of)
        if shown is None:
            return []
        same = [e for e in decisions(events) if e.facts["record"] == shown.get("sha256")]
        if not same:
            return [f"the record shown as of {as_of}, {str(shown.get('sha256'))[:12]}…, is none that the ledger names"]
        return record_faults(shown, same[-1])


def as_of_end(model: "Bundle") -> datetime:
    """The end of the partition as of which a bundle was trained."""
    return datetime.fromisoformat(model.facts["training"]["split"]["as_of"])
