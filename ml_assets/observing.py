"""What Dagster's event log, the checks and the ledger know of a pipeline, as the records that decisions are made on.

What follows from them is in `core.retraining`. Nothing that is stored is read here, so that a look costs little.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import dagster as dg
from dagster._core.event_api import PartitionKeyFilter
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES
from dagster._core.storage.tags import PARTITION_NAME_TAG

from ml_assets.core.releases import BEGUN, Event
from ml_assets.core.retraining.observed import Observed, Partition, Realised, Report, tenures
from ml_assets.core.retraining.recorded import accepted, trainings
from ml_assets.core.retraining.trainings import Training
from ml_assets.core.windows import Window
from ml_assets.partitions import windows_through
from ml_assets.problem import Pipeline
from ml_assets.resources.clock import Clock
from ml_assets.resources.materializations import Made, latest

if TYPE_CHECKING:
    from ml_assets.core.retraining.evidence import Finding

TABLE_CHECKS = ("contract", "rows", "keys", "volume")
REALISED = "realised"
"""Metadata of a measured partition: champion, value, bound, whether it is broken, rows."""
MOST_LOOKED_BACK = 64
"""Reports of a champion by which a change is called abrupt; only the last few of them count."""
ASKED_AT_ONCE = 500
"""Partitions in one question to the run storage."""
BOUNDS_VERSION = "bounds_version"
"""Metadata of a measured or judged partition: of the bounds of `defs.yaml` by which, see `Pipeline.bounds_versions`."""
LABELS, LABELS_KNOWN = "labels", "labels_known"
"""Metadata of features: rows with a label, and those whose label was known by the end of the partition."""
FEATURES_VERSION = "features_version"
"""Metadata of features: of what `defs.yaml` says about them, see `Pipeline.features_version`."""


@dataclass(frozen=True)
class Observer:
    """Looks at one pipeline.

    Args:
        pipeline: which.
        instance: whose event log.
        clock: what time it is.
    """

    pipeline: Pipeline
    instance: dg.DagsterInstance
    clock: Clock

    def observed(self, events: Sequence[Event]) -> Observed:
        """Everything that the staleness of the monitor follows from.

        In a replay, whose events happen in an order of their own, everything counts as done at the end of the
        partition that it is about.

        Args:
            events: the pipeline's ledger.
        """
        nouns = ("raw", "validated", "features", "predictions", "performance", "drift")
        made = {noun: latest(self.instance, self.pipeline.key(noun)) for noun in nouns}
        now = self.clock.now().replace(tzinfo=None)
        windows = {w.key: w for w in windows_through(self.pipeline.table.partitions) if w.end <= now}
        defects = self.defects([key for key in windows if key in made["raw"]][-self.pipeline.config.model.window :])
        newest = max((key for key in windows if key in made["raw"]), key=lambda k: windows[k].end, default=None)
        partitions = [self._partition(w, made, defects.get(w.key, ()), w.key == newest) for w in windows.values()]
        given_up = accepted(events)
        partitions = [replace(p, accepted=True) if p.key in given_up else p for p in partitions]
        reports = self._reports({key: m for key, m in made["drift"].items() if key in windows}, windows)
        realised = [
            Realised(
                partition=key, at=self._at(m, windows[key]), versions=_read(self.pipeline, m, key), id=m.run_id,
                by_former_bounds=by_former_bounds(self.pipeline, "performance", m), **m.metadata[REALISED],
            )
            for key, m in made["performance"].items()
            if key in windows and m.metadata.get(REALISED)
        ]  # fmt: skip
        live = tenures(events)
        if self.clock.is_replayed:
            live = tuple(replace(t, at=_utc(t.scores_from)) for t in live)
        failed = self._failed([p.key for p in partitions if p.landed])
        return Observed(partitions, reports, realised, live, failed)

    def held_up(self, observed: Observed) -> "tuple[Finding, ...]":
        """Partitions that would never get features by themselves, see `causes`; not while what they lack is coming."""
        from ml_assets.core.retraining.causes import gaps, held_up

        lacking = gaps(observed, self.pipeline.partitions_before)
        rows = self._unread(sorted(lacking)) if lacking else {}
        found = held_up(observed, lacking, rows, self.pipeline.config.monitoring.grace_length, self.clock.now())
        coming = self._coming({key for f in found for key in lacking[f.subject]})
        return tuple(f for f in found if coming.isdisjoint(lacking[f.subject]))

    def waiting(self, observed: Observed) -> set[str]:
        """Partitions without features that look back at one which a run is bringing in."""
        from ml_assets.core.retraining.causes import gaps

        lacking = gaps(observed, self.pipeline.partitions_before)
        unready = {p.key: lacking[p.key] for p in observed.partitions if not p.ready and p.key in lacking}
        coming = self._coming({key for missing in unready.values() for key in missing})
        return {key for key, missing in unready.items() if not coming.isdisjoint(missing)}

    def _unread(self, partitions: Sequence[str]) -> dict[str, str]:
        """Partition -> version of the rows that its features would be made from, where they were made from others."""
        from ml_assets.core.decision_record import sha256_of

        pipeline, found = self.pipeline, {}
        validated, features = (latest(self.instance, pipeline.key(noun)) for noun in ("validated", "features"))
        for key in partitions:
            reach = [w.key for w in pipeline.table.windows_before(key, pipeline.partitions_before)]
            now = {k: validated[k].data_version for k in (*reach, key) if k in validated}
            made = features.get(key)
            if made is None or made.made_from.get(pipeline.key("validated").to_user_string(), now) != now:
                found[key] = sha256_of(now)
        return found

    def _coming(self, partitions: Collection[str]) -> set[str]:
        """Those of some partitions whose rows a run is bringing in, or waits to."""
        rows, found = self.pipeline.key("validated"), set[str]()
        for start in range(0, len(partitions), ASKED_AT_ONCE):
            some = sorted(partitions)[start : start + ASKED_AT_ONCE]
            wanted = dg.RunsFilter(statuses=NOT_FINISHED_STATUSES, tags={PARTITION_NAME_TAG: some})
            runs = self.instance.get_runs(wanted)
            found |= {
                r.tags[PARTITION_NAME_TAG] for r in runs if r.asset_selection is None or rows in r.asset_selection
            }
        return found

    def trainings(self, events: Sequence[Event]) -> tuple[Training, ...]:
        """All trainings of the pipeline; of one that has begun and whose run has ended, it is said that it failed."""
        runs = {str(e.facts["run"]) for e in events if e.kind == BEGUN}
        return trainings(events, {run for run in runs if is_over(self.instance, run)})

    def defects(self, partitions: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """Partition -> checks of its table that failed as errors, the last time they were run."""
        keys = {dg.AssetCheckKey(self.pipeline.key("validated"), name): name for name in TABLE_CHECKS}
        log = self.instance.event_log_storage
        found: dict[str, tuple[str, ...]] = {}
        for info in log.get_asset_check_partition_info(list(keys), partition_keys=list(partitions)):
            if info.latest_execution_status != AssetCheckExecutionRecordStatus.FAILED or info.partition_key is None:
                continue
            [record, *_] = log.get_asset_check_execution_history(
                info.check_key, limit=1, status={AssetCheckExecutionRecordStatus.FAILED},
                partition_filter=PartitionKeyFilter(key=info.partition_key),
            )  # fmt: skip
            event = record.event.dagster_event if record.event else None
            if event is not None and event.asset_check_evaluation_data.severity == dg.AssetCheckSeverity.ERROR:
                found[info.partition_key] = (*found.get(info.partition_key, ()), keys[info.check_key])
        return found

    def _partition(
        self, window: Window, made: Mapping[str, Mapping[str, Made]], defects: tuple[str, ...], is_newest: bool
    ) -> Partition:
        raw, features = made["raw"].get(window.key), made["features"].get(window.key)
        if raw is None:
            return Partition(window, _utc(window.end), landed=False, validated=False)
        there = {noun: made[noun].get(window.key) for noun in ("features", "predictions")}
        validated = made["validated"].get(window.key)
        labels = features.metadata.get(LABELS_KNOWN if is_newest else LABELS, 0) if features else 0
        return Partition(
            window,
            self._at(raw, window),
            versions={noun: one.data_version for noun, one in there.items() if one},
            rows=int(validated.metadata["dagster/row_count"]) if validated else 0,
            labelled=int(labels),
            defects=defects,
            ready=features is not None,
            validated=validated is not None,
        )

    def _reports(self, made: Mapping[str, Made], windows: Mapping[str, Window]) -> list[Report]:
        """What the drift asset says of each partition; where its champion is unknown, nothing was judged."""
        from ml_assets.core.drift.onset import Judged, began_with_newest

        in_order = sorted((key for key in made if made[key].metadata.get("champion")), key=lambda k: windows[k].start)
        told: dict[str, list[Judged]] = {}
        reports = []
        for key in in_order:
            one = made[key]
            said, champion = one.metadata, str(one.metadata["champion"])
            line = told.setdefault(champion, [])
            line.append(Judged(key, said["verdict"], said.get("magnitude")))
            del line[:-MOST_LOOKED_BACK]
            reports.append(
                Report(
                    key, self._at(one, windows[key]), _read(self.pipeline, one, key), champion, said["verdict"],
                    abrupt=began_with_newest(line), by_former_bounds=by_former_bounds(self.pipeline, "drift", one),
                    id=one.run_id,
                )
            )  # fmt: skip
        return reports

    def _failed(self, partitions: Collection[str]) -> dict[str, str]:
        """Partition -> the run that should have judged it since it was judged last, and failed."""
        log, key = self.instance.event_log_storage, self.pipeline.key("drift")
        tried = log.get_latest_asset_partition_materialization_attempts_without_materializations(key)
        return {p: run for p, (run, _) in tried.items() if p in partitions and is_over(self.instance, run)}

    def _at(self, made: Made, window: Window) -> datetime:
        if self.clock.is_replayed:
            return _utc(window.end)
        return datetime.fromtimestamp(made.timestamp, UTC)


def by_former_bounds(pipeline: Pipeline, noun: str, made: Made) -> bool:
    """Whether the YAML has set other bounds since a partition was measured or judged."""
    version = pipeline.bounds_versions[noun]
    return bool(made.metadata.get(BOUNDS_VERSION, version) != version)


def is_over(instance: dg.DagsterInstance, run_id: str) -> bool:
    """Whether a run has ended, or is not known any more."""
    run = instance.get_run_by_id(run_id)
    return run is None or run.is_finished


def _read(pipeline: Pipeline, made: Made, partition: str) -> dict[str, str]:
    """Noun -> data version that something was made from."""
    read = {noun: made.made_from.get(pipeline.key(noun).to_user_string(), {}) for noun in ("features", "predictions")}
    return {noun: versions[partition] for noun, versions in read.items() if partition in versions}


def _utc(at: datetime) -> datetime:
    return at.replace(tzinfo=UTC)
