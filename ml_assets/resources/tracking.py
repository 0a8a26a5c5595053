"""Tracking of trainings: the resource `Tracking`, and the only code that knows MLflow and dagster-mlflow.

A step writes an entry (`core.tracked`) into a journal (`tracking_queue`), which is delivered right after, or later
where a tracker is down (`tracking_delivery`). What MLflow is told is decided in `tracking_runs`; here is how.
"""

import logging
import sqlite3
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
from pydantic import Field, field_validator

from ml_assets.core.tracked import Entry, TrackedRun
from ml_assets.resources.sources.masking import mask_url
from ml_assets.resources.tracking_calls import trouble
from ml_assets.resources.tracking_context import page_of, run_of
from ml_assets.resources.tracking_database import (
    create_whole,
    is_database,
    probe,
    require_uri,
    revision_of,
    sqlite_file,
    upgrade_whole,
    with_driver,
)
from ml_assets.resources.tracking_delivery import Delivered, EntryRefused, Say, Tracker, TrackerDown, deliver
from ml_assets.resources.tracking_globals import own_environment, own_globals, quiet
from ml_assets.resources.tracking_others import MLFLOW, other_trackers, require_known
from ml_assets.resources.tracking_queue import Queue, Queued
from ml_assets.resources.tracking_runs import find_run, log_entry, register, run_for, set_champion, settle_runs, tags_of

_log = logging.getLogger("ml_assets.tracking")


class Tracking(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Tell trackers what a training does: `track`, `settle`, `alias`, `catch_up`. None of them fails on an outage."""

    uri: str = Field(description="MLflow's tracking URI: a server (http, https) or a database (sqlite, postgresql).")
    queue: str = Field(description="Local folder for what is not yet delivered.")
    trackers: list[str] = Field(default=["mlflow"], description="Any of mlflow, wandb, tensorboard.")
    artifacts: str = Field(default="", description="Where MLflow's artifacts go without a server; default: beside it.")
    timeout_seconds: int = Field(default=5, description="How long a tracker may take to answer, in seconds.")
    dagster_url: str = Field(default="", description="Of Dagster's web pages, for links from MLflow.")

    @field_validator("trackers")
    @classmethod
    def _known(cls, trackers: list[str]) -> list[str]:
        return require_known(trackers)

    @field_validator("uri")
    @classmethod
    def _reachable(cls, uri: str) -> str:
        return require_uri(uri)

    def of(self, trackers: Sequence[str]) -> "Tracking":
        """The same for the trackers that a pipeline names.

        Raises:
            ConfigError: there is no such tracker, or its package is not installed.
        """
        return self.model_copy(update={"trackers": require_known(trackers)})

    def track(
        self, told: dg.AssetExecutionContext | TrackedRun, step: str, entry: Entry, *, as_of: str | None = None
    ) -> dict[str, dg.MetadataValue]:
        """Keep an entry of a step, and deliver it if the trackers can take it now.

        Args:
            told: the step's context, or the run it belongs to.
            step: such as `tuning` or `candidate`; names of what is logged begin with it.
            entry: what it has to tell.
            as_of: key of the as-of partition, where the step's own is another or none.

        Returns:
            Metadata: which trackers have it, and where MLflow shows it.
        """
        if isinstance(told, TrackedRun):
            run, say = told, _log.warning
        else:
            run, say = run_of(told, as_of), told.log.warning
        folder = Queue(Path(self.queue)).put(run, step, entry, self.trackers)
        delivered, trackers = self._deliver(say, mine=folder.parent)
        waiting = delivered.waiting
        shown = [f"{t.name}: {waiting[t.name]} waiting" if waiting[t.name] else t.name for t in trackers]
        metadata: dict[str, dg.MetadataValue] = {"tracked_by": dg.MetadataValue.text(", ".join(shown))}
        for tracker in trackers:
            if isinstance(tracker, MlflowTracker) and not waiting[tracker.name]:
                metadata |= tracker.link(run)
        return metadata

    def settle(self, instance: dg.DagsterInstance, say: Say = _log.warning) -> dict[str, str]:
        """End every MLflow run whose Dagster run of this instance is over, trials too; MLflow run id -> status."""
        tracker = self._mlflow()
        if MLFLOW not in self.trackers or not tracker.may_have_runs:
            return {}
        try:
            # Alone, since a delivery that goes on would put a run's status back.
            with Queue(Path(self.queue)).alone() as alone:
                if alone:
                    with tracker.opened() as client:
                        return settle_runs(client, instance)
            why = "another process is delivering"
        except (TrackerDown, EntryRefused) as error:
            why = str(error)
        say(f"tracking: runs in {tracker.name} that are over stay RUNNING until the next time: {why}")
        return {}

    def alias(self, pipeline: str, bundle: str, say: Say = _log.warning) -> None:
        """Point the alias `champion` of a pipeline's registered model to the version that holds a bundle."""
        nothing_run = TrackedRun(pipeline, "", "", time.time())
        folder = Queue(Path(self.queue)).put(nothing_run, "champion", Entry(champion=bundle), self.trackers)
        self._deliver(say, mine=folder.parent)

    def catch_up(self, instance: dg.DagsterInstance | None = None, say: Say = _log.warning) -> Delivered:
        """Deliver what waits, to whatever tracker, however long it takes; with an instance, settle after it."""
        every = {*self.trackers, *Queue(Path(self.queue)).awaiting()}
        delivered, _ = self.of(sorted(every))._deliver(say, everything=True)
        if instance is not None:
            self.settle(instance, say)
        return delivered

    def _deliver(
        self, say: Say, mine: Path | None = None, *, everything: bool = False
    ) -> tuple[Delivered, list[Tracker]]:
        queue, others = Queue(Path(self.queue)), other_trackers(Path(self.queue).parent, self.timeout_seconds)
        trackers = [self._mlflow() if name == MLFLOW else others[name] for name in self.trackers]
        delivered = deliver(queue, trackers, say, mine=mine, everything=everything)
        for tracker in trackers:
            if delivered.waiting[tracker.name]:
                say(delivered.complaint(tracker, queue))
        return delivered, trackers

    def _mlflow(self) -> "MlflowTracker":
        return MlflowTracker(self.uri, self.artifacts, Path(self.queue).parent, self.timeout_seconds, self.dagster_url)


@lru_cache(maxsize=1)
def _revisions() -> tuple[str, ...]:
    """Of the schema of MLflow's database, the newest first."""
    from alembic.script import ScriptDirectory
    from mlflow.store.db.utils import _get_alembic_config

    scripts = ScriptDirectory.from_config(_get_alembic_config(""))  # type: ignore[no-untyped-call]
    return tuple(script.revision for script in scripts.walk_revisions())


@dataclass
class MlflowTracker:
    """MLflow at one URI; `client` below is its `MlflowClient`."""

    uri: str
    artifacts: str
    beside: Path
    timeout_seconds: int
    dagster_url: str
    name: str = MLFLOW
    known: dict[TrackedRun, Any] = field(default_factory=dict)

    @property
    def place(self) -> str:
        """The URI without its password."""
        return mask_url(self.uri)

    @property
    def may_have_runs(self) -> bool:
        """False where the database was never made."""
        file = sqlite_file(self.uri)
        return file is None or file.exists()

    def deliver(self, queued: Queued, say: Say) -> None:
        """See `tracking_delivery.Tracker`."""
        # In a thread of its own, since dagster-mlflow would take a run that is active in this one for ours.
        with ThreadPoolExecutor(1) as alone:
            alone.submit(self._deliver, queued, say).result()

    def _deliver(self, queued: Queued, say: Say) -> None:
        run, entry = queued.run, queued.entry
        with self.opened() as client:
            if run.dagster_run_id:
                found = run_for(client, self._experiment(client, run.pipeline), run)
                self.known[run] = found.info
                tags = tags_of(run, entry, self.dagster_url)
                with self._session(run, found, tags) as (mlflow, session):
                    log_entry(mlflow, session, found.info.run_id, queued)
                if entry.bundle is not None and entry.bundle.register:
                    register(client, found, queued, entry.bundle)
            if entry.champion is not None:
                set_champion(client, run.pipeline, entry.champion, say)

    def link(self, run: TrackedRun) -> dict[str, dg.MetadataValue]:
        """Metadata that lead to a run's page; none where it can't be asked for now."""
        if run not in self.known:
            # Somebody else has delivered.
            with suppress(TrackerDown, EntryRefused), self.opened() as client:
                found = find_run(client, self._experiment(client, run.pipeline), run)
                if found is not None:
                    self.known[run] = found.info
        at = self.known.get(run)
        return {} if at is None else page_of(self.place, at.experiment_id, at.run_id)

    @contextmanager
    def opened(self) -> Iterator[Any]:
        """A client of a tracker that answers; its errors as ours.

        Raises:
            TrackerDown, EntryRefused: it doesn't answer, or won't do what is asked.
        """
        with own_environment(self.timeout_seconds):
            import sqlalchemy as sa
            from mlflow import MlflowClient
            from mlflow.exceptions import MlflowException

            try:
                with quiet():
                    uri = with_driver(self.uri, self.timeout_seconds)
                    if is_database(uri):
                        self._prepare(uri)
                    yield MlflowClient(uri, uri)
            except (MlflowException, OSError, sa.exc.SQLAlchemyError, sqlite3.Error) as error:
                raise trouble(self.place, error) from error

    def _prepare(self, uri: str) -> None:
        """A database with all tables: six processes that make them at once would fail, five of six."""
        from mlflow.store.db.utils import _upgrade_db
        from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

        def make(url: str) -> None:
            SqlAlchemyStore(url, self._artifact_root()).engine.dispose()  # type: ignore[no-untyped-call]

        def upgrade(url: str) -> None:
            engine = SqlAlchemyStore._get_or_create_engine(url)
            _upgrade_db(engine)  # type: ignore[no-untyped-call]
            engine.dispose()

        file = sqlite_file(uri)
        if file is not None and not file.exists():
            create_whole(file, make)
        probe(uri, self.timeout_seconds)
        # A newer one, or one that is no file, MLflow refuses by itself, with the command that upgrades it.
        if file is not None and revision_of(file) in _revisions()[1:]:
            kept = upgrade_whole(file, upgrade)
            _log.warning("tracking: upgraded MLflow's database %s; the old one is kept as %s", file, kept)

    def _artifact_root(self) -> str:
        file = sqlite_file(self.uri)
        return self.artifacts or f"{file.parent if file else self.beside}/mlartifacts"

    def _experiment(self, client: Any, name: str) -> str:
        experiment = client.get_experiment_by_name(name)
        if experiment is not None:
            return str(experiment.experiment_id)
        # A server decides by itself where artifacts go.
        is_ours = is_database(self.uri) or self.artifacts
        return str(client.create_experiment(name, f"{self._artifact_root()}/{name}" if is_ours else None))

    @contextmanager
    def _session(self, run: TrackedRun, found: Any, tags: Mapping[str, str]) -> Iterator[tuple[Any, Any]]:
        """A run opened by dagster-mlflow, which tags it; afterwards it has the status that it had before."""
        import mlflow

        with own_globals(mlflow), warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=dg.BetaWarning)
            from dagster_mlflow.resources import MlFlow

            config = {
                "experiment_name": run.pipeline,
                "mlflow_tracking_uri": with_driver(self.uri, self.timeout_seconds),
                "mlflow_run_id": found.info.run_id,
                "extra_tags": dict(tags),
            }
            step = SimpleNamespace(
                log=logging.getLogger("mlflow.dagster"),
                dagster_run=SimpleNamespace(job_name=run.name),  # becomes the MLflow run's name
                run_id=run.dagster_run_id,
                resource_config=config,
            )
            try:
                opened = MlFlow(step)  # type: ignore[no-untyped-call]
                yield mlflow, opened.tracking_client
            finally:
                with suppress(mlflow.MlflowException):
                    mlflow.end_run(found.info.status)
            if found.info.end_time is not None:
                opened.tracking_client.set_terminated(found.info.run_id, found.info.status, found.info.end_time)
