"""Which replaced champion scores a partition too, and the one way in which what a release was worth is told.

Which champion that is, and what it was worth, is decided in `core.retraining`. Assets and the summary only call this.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ml_assets.core.errors import LedgerConflict
from ml_assets.core.releases import ATTRIBUTED, Champion, Event, attribution_of
from ml_assets.core.windows import Window
from ml_assets.partitions import windows_from
from ml_assets.problem import Pipeline
from ml_assets.resources.ledger import Ledger
from ml_assets.resources.models import Models
from ml_assets.resources.storage import Store

if TYPE_CHECKING:
    from ml_assets.core.retraining.attribution import Attribution
    from ml_assets.core.retraining.replaced import Account, Replacement


def account_of(pipeline: Pipeline, replacement: "Replacement | None") -> "Account | None":
    """The account of a release; None without one, and where replaced champions don't score on."""
    from ml_assets.core.retraining.replaced import Account

    if replacement is None or not pipeline.attribution:
        return None
    windows = windows_from(pipeline.table.partitions, replacement.since, pipeline.attribution)
    return Account.of(replacement, windows, pipeline.attribution)


def replaced_champion(pipeline: Pipeline, events: Sequence[Event], window: Window) -> Champion | None:
    """The champion before that scores a partition too; None where none does."""
    from ml_assets.core.retraining.replaced import replacement_at

    account = account_of(pipeline, replacement_at(events, window.start))
    return account.replacement.replaced if account and window in account.partitions else None


def worth_told(pipeline: Pipeline, store: Store, events: Sequence[Event], release: int) -> Mapping[str, Any] | None:
    """What a release was worth: as the ledger has it, or else as the last measurement of its partitions found it.

    Args:
        pipeline: whose release.
        store: where records are.
        events: the ledger.
        release: sequence of the release.

    Returns:
        See `Attribution.to_json`; None where nothing has been counted.
    """
    from ml_assets.core.retraining.replaced import replacements

    if (settled := attribution_of(events, release)) is not None:
        return settled.facts
    replacement = next((r for r in replacements(events) if r.replacing.sequence == release), None)
    account = account_of(pipeline, replacement)
    records = [store.record(pipeline.key("performance"), w.key) for w in account.partitions] if account else []
    told = [r for r in records if r and (r.get("worth") or {}).get("release") == release]
    return max(told, key=lambda r: str(r["known_by"]))["worth"] if told else None


@dataclass(frozen=True)
class Accountant:
    """Counts what the releases of a pipeline were worth, and tells the ledger once what it knows for good."""

    pipeline: Pipeline
    store: Store
    models: Models
    ledger: Ledger

    def settle(self, window: Window, known_by: datetime) -> dict[str, Any] | None:
        """Count the account that a partition belongs to, tell the ledger of it if it is closed, and return it.

        Those of the champion that answers the partition and of the one before it are told of too, if they are closed
        and not told of yet: labels may have been late, or a release may have ended one.

        Args:
            window: the partition; it is scored.
            known_by: the instant; a label known later does not count.

        Returns:
            See `Attribution.to_json`, with `release`, the sequence in the ledger; None where no replaced champion
            scores on.

        Raises:
            BundleError: a champion is missing or damaged.
            LedgerError: the ledger can't be written.
        """
        from ml_assets.core.retraining.replaced import ended_before, replacement_at

        events, counted = self.ledger.events(self.pipeline.name), None
        for replacement in (ended_before(events, window.start), replacement_at(events, window.start)):
            account = account_of(self.pipeline, replacement)
            is_own = account is not None and window in account.partitions
            if account and (is_own or attribution_of(events, account.release) is None):
                found = self._count(account, known_by).to_json(self.pipeline.loss_unit)
                counted = {**found, "release": account.release} if is_own else None
        return counted

    def _count(self, account: "Account", known_by: datetime) -> "Attribution":
        from ml_assets.core.retraining.account import Counting

        config, bundle = self.pipeline.config, self.models.load(account.replacement.replacing.bundle)
        counting = Counting(
            metric=config.metric,
            alpha=self.pipeline.alpha,
            bound=config.monitoring.performance.bound(),
            seed=config.model.seed,
        )
        features, predictions = (self.pipeline.key(noun) for noun in ("features", "predictions"))
        scored = set(self.store.partitions(predictions))
        tables = {
            w.key: (self.store.scan(features, w.key), self.store.scan(predictions, w.key))
            for w in account.partitions
            if w.key in scored
        }
        found = counting.count(account, tables, known_by=known_by, labelled_share=bundle.labelled_share)
        if found.closed:
            self._tell(account, found)
        return found

    def _tell(self, account: "Account", found: "Attribution") -> None:
        """Append what a release was worth, unless it stands; whoever is first, it is one event."""
        about = {"bundle": found.replacing, "as_of": account.replacement.replacing.as_of, "release": account.release}
        facts = about | found.to_json(self.pipeline.loss_unit)
        events = self.ledger.events(self.pipeline.name)
        while attribution_of(events, account.release) is None:
            try:
                self.ledger.append(self.pipeline.name, ATTRIBUTED, facts, after=len(events))
            except LedgerConflict:
                read, events = len(events), self.ledger.events(self.pipeline.name)
                if len(events) == read:
                    raise
            else:
                return
