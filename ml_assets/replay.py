"""Replays recorded history, partition by partition, through the real definitions and the instance that the UI shows.

Whether a model is trained is decided by the sensors that `dagster dev` runs, asked at the end of each partition as if
that were the present. What is done already, and still fits its inputs, is not done again; what was decided is not
decided anew. What the command line says about it is in `ml_assets.cli`.
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import dagster as dg
from dagster._core.definitions.data_version import CODE_VERSION_TAG
from dagster._core.storage.tags import RUN_KEY_TAG

from ml_assets.assets.dictionary import schema_version
from ml_assets.core import errors
from ml_assets.core.errors import ConfigError, MLAssetsError, SourceNotFound
from ml_assets.core.landing import refuse_other_source
from ml_assets.core.releases import live, settled
from ml_assets.core.windows import Window
from ml_assets.dead_runs import STARTED_BY_TAG, end_run
from ml_assets.observing import Observer
from ml_assets.partitions import windows_through
from ml_assets.problem import Pipeline
from ml_assets.resources.clock import Clock
from ml_assets.resources.ledger import Ledger
from ml_assets.resources.materializations import Made, latest, recent
from ml_assets.resources.sources.interface import Source, make_source
from ml_assets.resources.storage import Store
from ml_assets.resources.tracking import Tracking
from ml_assets.resources.tracking_context import REASON_TAG
from ml_assets.retraining import CAUSE_TAG, RetrainingDesk
from ml_assets.retraining_sensors import unfinished
from ml_assets.rolling_out import NO_TRAFFIC_TAG
from ml_assets.stale_data import SCORED, UNSCORED, DataSide

MOST_LOOKS = 10
"""Looks of a sensor at one partition; what it asks for is done in fewer, or it would never come to rest."""
JOBS = {"land": "follow", "follow": "follow", "refresh": "follow", "judge": "follow", "train": "train"}
"""What a replay does -> the job that does it."""


@dataclass(frozen=True)
class Step:
    """One thing that a replay did for a partition: `land`, `follow`, `refresh` (its error), `judge` (its drift) or
    `train`."""

    partition: str
    what: str
    seconds: float


class RunFailed(MLAssetsError):
    """A run of the replay failed; everything before it stands."""


class Replay:
    """The replay of one pipeline's history.

    Args:
        pipeline: whose history.
        definitions: the code location.
        instance: where the runs are recorded.
        first, last: keys of the first and last partition; None: as far as the source reaches.
        traffic: whether requests come meanwhile, so that candidates can be rolled out; otherwise they are released.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        definitions: dg.Definitions,
        instance: dg.DagsterInstance,
        first: str | None = None,
        last: str | None = None,
        *,
        traffic: bool = False,
    ) -> None:
        self.pipeline = pipeline
        self._tags = {STARTED_BY_TAG: "replay"} if traffic else {STARTED_BY_TAG: "replay", NO_TRAFFIC_TAG: "yes"}
        self.definitions = definitions
        self.instance = instance
        self.source: Source = make_source(pipeline.table.config.source, pipeline.table.folder)
        resources = definitions.resources or {}
        self.store: Store = resources["store"]
        self.ledger: Ledger = resources["ledger"]
        self.tracking: Tracking = resources["tracking"]
        self.windows = self._windows(first, last)

    def _windows(self, first: str | None, last: str | None) -> list[Window]:
        every = windows_through(self.pipeline.table.partitions)
        keys = [w.key for w in every]
        for option, key in (("--from", first), ("--through", last)):
            if key is not None and key not in keys:
                raise ConfigError(
                    f"{option} {key}", found=f"partitions {keys[0]} … {keys[-1]}", expected="one of them",
                    cure=f"give a partition of the table {self.pipeline.table.name}",
                )  # fmt: skip
        wanted = [w for w in every if (first is None or w.key >= first) and (last is None or w.key <= last)]
        there = set(self.source.partitions(wanted))
        found = [w for w in wanted if w.key in there]
        if not found:
            raise SourceNotFound(
                f"source of {self.pipeline.table.name}", found="none of the partitions asked for",
                expected=f"some of {wanted[0].key} … {wanted[-1].key}" if wanted else "--from not later than --through",
                cure="correct --source, --from or --through, or the table's source",
            )  # fmt: skip
        return found

    def steps(self) -> Iterator[Step]:
        """Do what is to be done, oldest partition first; yields each step when it is done.

        Raises:
            RunFailed: a run failed; its cause says what to do, and the same call goes on from there.
        """
        made, data_side = self._made(), DataSide(self.pipeline, self.source, self.ledger)
        table = self.pipeline.table
        refuse_other_source(
            table.name, table.config.source.kind, {str(m.metadata["source_kind"]) for m in made["raw"].values()}
        )
        self._describe_table()
        for position, window in enumerate(self.windows):
            if nouns := data_side.stale(window, made):
                yield self._run("follow", window, nouns, "history is replayed")
                for noun in nouns:
                    made[noun] |= recent(self.instance, self.pipeline.key(noun), [window.key])
            for request in self._asked("late_labels", self._clock(window)):
                yield self._carry_out("refresh", request)
                made["performance"] |= recent(
                    self.instance, self.pipeline.key("performance"), [request.partition_key or ""]
                )
            yield from self._trainings(position)
            if self._released_unseen(window.key):
                yield self._run("train", window, ["champion"], "the ledger has a release that nothing shows yet")

    def land(self) -> Iterator[Step]:
        """Bring in the last partition's rows and features, without scoring and judging them."""
        window = self.windows[-1]
        nouns = DataSide(self.pipeline, self.source, self.ledger).stale(window, self._made())
        if landing := [noun for noun in nouns if noun in UNSCORED]:
            yield self._run("land", window, landing, "its rows have landed")

    def look(self, sensor: str) -> list[dg.RunRequest]:
        """Ask a sensor of the pipeline as of now, as Dagster's daemon does, and carry out what is asked for by it."""
        requests = self._asked(sensor, Clock())
        for request in requests:
            keys = list(request.asset_selection or ())
            tags = {**request.tags, RUN_KEY_TAG: request.run_key or ""}
            job = self.definitions.resolve_implicit_global_asset_job_def().name
            self._execute(job, f"sensor {self.pipeline.name}_{sensor}", asset_selection=keys, tags=tags)
        return requests

    def _made(self) -> dict[str, dict[str, Made]]:
        return {noun: latest(self.instance, self.pipeline.key(noun)) for noun in SCORED}

    def _describe_table(self) -> None:
        """Write the data dictionary, unless it is that of the present schema."""
        table = self.pipeline.table
        written = self.instance.get_latest_materialization_event(table.key("dictionary"))
        tags = (written.asset_materialization.tags or {}) if written and written.asset_materialization else {}
        if tags.get(CODE_VERSION_TAG) != schema_version(table):
            self._execute(f"{table.name}_dictionary", f"dictionary of {table.name}")

    def _trainings(self, position: int) -> Iterator[Step]:
        """What the retraining sensor asks for at the end of a partition, until it asks for nothing new."""
        window = self.windows[position]
        if self.pipeline.config.retraining is None:
            # Nothing trains by itself then; without a first model there would be nothing to see.
            first = self.pipeline.config.model.window
            if position == first - 1 and not self._trained(position):
                reason = f"first model: a learning window of {first} partitions has passed"
                yield self._run("train", window, list(self.pipeline.training_side), reason)
            return
        if self._decided_later(window):
            return
        if (left := self._left_undone(window)) is not None:
            yield self._carry_out("train", left)
        for _ in range(MOST_LOOKS):
            new = self._asked("retraining", self._clock(window))
            for request in new:
                yield self._carry_out("train" if CAUSE_TAG in request.tags else "judge", request)
            if not new:
                return
        raise RunFailed(
            f"sensor {self.pipeline.name}_retraining at the end of {window.key}",
            found=f"new requests at each of {MOST_LOOKS} looks", expected="that it comes to rest",
            cure=f"read what it decided: `ml-assets history --pipeline {self.pipeline.name}`",
        )  # fmt: skip

    def _decided_later(self, window: Window) -> bool:
        """Whether something was decided after the end of a partition: the past is not decided on anew."""
        from ml_assets.core.retraining.recorded import judged

        told = judged(self.ledger.events(self.pipeline.name))
        last = max((datetime.fromisoformat(e.facts["now"]).replace(tzinfo=None) for e, _ in told), default=None)
        return last is not None and last > window.end

    def _left_undone(self, window: Window) -> dg.RunRequest | None:
        """The training as of a partition that was asked for and did not end, since a replay was killed or it failed."""
        desk = RetrainingDesk(Observer(self.pipeline, self.instance, self._clock(window)), self.ledger)
        return next((r for r in unfinished(desk) if r.partition_key == window.key), None)

    def _asked(self, sensor: str, clock: Clock) -> list[dg.RunRequest]:
        """What a sensor of the pipeline asks for at a time, and no run was made for yet."""
        name = f"{self.pipeline.name}_{sensor}"
        resources = {**(self.definitions.resources or {}), "clock": clock}
        with dg.build_sensor_context(
            self.instance, sensor_name=name, resources=resources, definitions=self.definitions
        ) as context:
            tick = self.definitions.resolve_sensor_def(name).evaluate_tick(context)
        return [r for r in tick.run_requests or [] if not self._has_run(r)]

    def _has_run(self, request: dg.RunRequest) -> bool:
        return bool(self.instance.get_runs(dg.RunsFilter(tags={RUN_KEY_TAG: request.run_key or ""}), limit=1))

    def _clock(self, window: Window) -> Clock:
        return Clock(at=window.end.isoformat())

    def _carry_out(self, what: str, request: dg.RunRequest) -> Step:
        """Do what a sensor asks for, with the tags that Dagster's daemon would set: it won't do it again."""
        nouns = [key.path[1] for key in request.asset_selection or ()]
        window = self.pipeline.table.window(str(request.partition_key))
        tags = {**request.tags, RUN_KEY_TAG: request.run_key or ""}
        nouns = nouns or (list(self.pipeline.training_side) if what == "train" else ["performance"])
        return self._run(what, window, nouns, request.tags.get(REASON_TAG, "more of its labels are known"), tags)

    def _trained(self, position: int) -> bool:
        """Whether a decision stands that was made from the present content of the learning window."""
        as_of = self.windows[position].key
        manifest = self.store.record(self.pipeline.key("training_set"), as_of)
        if manifest is None or not settled(self.ledger.events(self.pipeline.name), as_of):
            return False
        return all(
            self.store.sha256(self.pipeline.key("features"), key) == digest
            for key, digest in manifest["partitions"].items()
        )

    def _released_unseen(self, as_of: str) -> bool:
        """Whether the champion of an as-of partition is in the ledger only: a kill fell right after its release."""
        now = live(self.ledger.events(self.pipeline.name))
        page = self.store.record(dg.AssetKey([self.pipeline.name]), "champion") or {}
        return now is not None and now.as_of == as_of and page.get("sequence", 0) < now.sequence

    def end_what_was_killed(self) -> int:
        """Mark runs of a replay that was killed as failed; only while no other replay works on this data.

        Their processes are gone, and Dagster would show them as running until its monitor gives up on them; so would
        MLflow, also where the kill fell after the end of a training's run.
        """
        over = {dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED}
        going_on = [status for status in dg.DagsterRunStatus if status not in over]
        runs = self.instance.get_runs(dg.RunsFilter(statuses=going_on, tags={STARTED_BY_TAG: "replay"}))
        for run in runs:
            end_run(self.instance, run, "the replay that ran it was killed")
        newest = self.instance.get_runs(limit=1)
        if runs or any(run.job_name == f"{self.pipeline.name}_train" for run in newest):
            self._settle()
        return len(runs)

    def _settle(self) -> None:
        """No daemon watches the runs of a replay."""
        if self.pipeline.config.trackers:
            self.tracking.of(self.pipeline.config.trackers).settle(self.instance)

    def position(self, partition: str) -> int:
        """How many partitions are done when this one is."""
        return next(i for i, w in enumerate(self.windows, start=1) if w.key == partition)

    def _run(
        self, what: str, window: Window, nouns: list[str], reason: str, tags: Mapping[str, str] | None = None
    ) -> Step:
        job, started = JOBS[what], time.perf_counter()
        try:
            self._execute(
                f"{self.pipeline.name}_{job}",
                f"{self.pipeline.name}, {what} of partition {window.key}",
                partition_key=window.key,
                asset_selection=[self.pipeline.key(noun) for noun in nouns],
                tags={REASON_TAG: reason, **(tags or {})},
            )
        finally:
            if job == "train":
                self._settle()
        return Step(window.key, what, time.perf_counter() - started)

    def _execute(self, job: str, what: str, *, tags: dict[str, str] | None = None, **options: Any) -> None:
        result = self.definitions.resolve_job_def(job).execute_in_process(
            instance=self.instance,
            tags={**self._tags, **(tags or {})},
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            raise_on_error=False,
            **options,
        )
        if not result.success:
            raise RunFailed(
                f"{what}, run {result.run_id}",
                found=[cause_of(event) for event in result.get_step_failure_events()] or ["the run did not start"],
                expected="a run without a failure",
                cure="correct what the message names and give the same command again: it goes on from here",
            )


def cause_of(event: dg.DagsterEvent) -> str:
    """What the code of a failed step raised, without Dagster's frames around it, nor what one of our errors is from."""
    error = event.step_failure_data.error
    while error is not None and error.cause is not None and not hasattr(errors, error.cls_name or ""):
        error = error.cause
    return f"{event.step_key}: {error.message.strip() if error else 'no error was recorded'}"
