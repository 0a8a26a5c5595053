"""What an entry becomes in MLflow: one run per orchestrator run and as-of partition, trials below it, model versions.

Everything here may be repeated after a kill at any point, and ends as if done once: what is there is found by its tags
before it is made. MLflow itself is known to `tracking` alone, which passes it in.
"""

import hashlib
import json
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import dagster as dg

from ml_assets.core.tracked import (
    NAME_LENGTH,
    DatasetInput,
    Entry,
    TrackedBundle,
    TrackedRun,
    Trial,
    flattened,
    names_for,
    unused,
)
from ml_assets.resources.tracking_bundle import local_bundle
from ml_assets.resources.tracking_calls import log_datasets, log_values, save_model
from ml_assets.resources.tracking_queue import Queued

RUN_TAG = "dagster_run_id"
"""Of the run that stands for an orchestrator's run; the same tag as dagster-mlflow's own."""
TRIAL_OF_TAG, TRIAL_TAG, STATE_TAG = "trial_of_dagster_run_id", "trial", "trial_state"
PARENT_TAG = "mlflow.parentRunId"
BUNDLE_TAG = "bundle"
CHAMPION = "champion"
PAGE = 1000
TAG_LENGTH = 5000
"""Of a tag's text, at most: MLflow's limit on every store."""
VERSIONS_FILE = "data_versions.json"
DIGEST_LENGTH = 36
"""Of a dataset's digest, at most: MLflow's limit. The whole SHA-256 stands in its profile."""

STATUSES = {
    dg.DagsterRunStatus.SUCCESS: "FINISHED",
    dg.DagsterRunStatus.FAILURE: "FAILED",
    dg.DagsterRunStatus.CANCELED: "KILLED",
}
TRIAL_STATUSES = {"complete": "FINISHED", "pruned": "KILLED", "failed": "FAILED", "running": "KILLED"}
"""A pruned trial was stopped on purpose: KILLED in the list of runs, told from killed ones by its tag."""


def find_run(client: Any, experiment: str, run: TrackedRun) -> Any | None:
    """The run that stands for this one. Of several (made on two machines at once) the first stays for everyone."""
    found = [
        r
        for r in _paged(client.search_runs, [experiment], f"tags.{RUN_TAG} = '{run.dagster_run_id}'")
        if r.data.tags.get("as_of", "") == run.as_of
    ]
    found.sort(key=lambda r: (r.info.start_time, r.info.run_id))
    for other in found[1:]:
        client.delete_run(other.info.run_id)
    return found[0] if found else None


def tags_of(run: TrackedRun, entry: Entry, dagster_url: str) -> dict[str, str]:
    """What leads from MLflow back to the orchestrator, the data and the code."""
    versions = json.dumps(dict(entry.data_versions), sort_keys=True)
    told = {**entry.tags, **run.tags()}
    if entry.data_versions:
        digest = hashlib.sha256(versions.encode()).hexdigest()
        told["data_versions"] = versions if len(versions) <= TAG_LENGTH else f"SHA-256 {digest}, see {VERSIONS_FILE}"
    if dagster_url:
        told["dagster_url"] = f"{dagster_url.rstrip('/')}/runs/{run.dagster_run_id}"
    return {name[:NAME_LENGTH]: value[:TAG_LENGTH] for name, value in told.items()}


def run_for(client: Any, experiment: str, run: TrackedRun) -> Any:
    """The run that stands for this one, made if there is none."""
    found = find_run(client, experiment, run)
    if found is not None:
        return found
    source = {"mlflow.source.name": run.job, "mlflow.source.type": "JOB", "mlflow.source.git.commit": run.git_commit}
    tags = {**run.tags(), **{name: value for name, value in source.items() if value}}
    client.create_run(experiment, start_time=_ms(run.started_at), tags=tags, run_name=run.name)
    # Searched for again, since somebody on another machine may have made one meanwhile.
    return find_run(client, experiment, run)


def log_entry(mlflow: Any, client: Any, run_id: str, queued: Queued) -> None:
    """Everything an entry has, into its run."""
    step, entry, at = queued.step, queued.entry, _ms(queued.at)
    known = client.get_run(run_id).data.params
    named = _params(step, entry.params, known)
    metrics = names_for(step, [*entry.metrics, *entry.curves])
    points = [(metrics[name], value, at, 0) for name, value in entry.metrics.items()]
    for name, values in entry.curves.items():
        points += [(metrics[name], value, at, i) for i, value in enumerate(values, start=1)]
    log_values(mlflow, client, run_id, params=named, points=points)
    if entry.datasets:
        log_datasets(mlflow, client, run_id, [_dataset(d) for d in entry.datasets])
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "artifacts"
        for name, told in names_for("", entry.pictures).items():
            _write(folder / f"{told}.png", entry.pictures[name])
        for name, told in names_for("", entry.files).items():
            _write(folder / told, entry.files[name])
        if entry.data_versions:
            _write(folder / VERSIONS_FILE, json.dumps(dict(entry.data_versions), sort_keys=True, indent=1).encode())
        if entry.bundle is not None:
            save_model(mlflow, local_bundle(entry.bundle, Path(scratch)), folder / "model")
        if folder.is_dir():
            client.log_artifacts(run_id, str(folder), step)
    if entry.trials:
        log_trials(mlflow, client, run_id, queued)


def log_trials(mlflow: Any, client: Any, run_id: str, queued: Queued) -> None:
    """A nested run per trial; those that are there as they should be are left alone."""
    experiment = client.get_run(run_id).info.experiment_id
    there = {
        int(r.data.tags[TRIAL_TAG]): r
        for r in _paged(client.search_runs, [experiment], f"tags.{PARENT_TAG} = '{run_id}'")
        if TRIAL_TAG in r.data.tags
    }
    for trial in queued.entry.trials:
        found = there.get(trial.number)
        if found is None or _outcome(found) != (TRIAL_STATUSES[trial.state], trial.state):
            _log_trial(mlflow, client, run_id, experiment, queued, trial, found)


def _outcome(run: Any) -> tuple[str, str | None]:
    return run.info.status, run.data.tags.get(STATE_TAG)


def _log_trial(
    mlflow: Any, client: Any, parent: str, experiment: str, queued: Queued, trial: Trial, found: Any
) -> None:
    started = _ms(trial.started_at or queued.at)
    if found is None:
        tags = {
            PARENT_TAG: parent,
            TRIAL_TAG: str(trial.number),
            TRIAL_OF_TAG: queued.run.dagster_run_id,
            "as_of": queued.run.as_of,
        }
        name = f"trial {trial.number:03d}"
        found = client.create_run(experiment, start_time=started, tags=tags, run_name=name)
    ended = _ms(trial.ended_at or queued.at)
    points = [] if trial.score is None else [("score", trial.score, ended, 0)]
    params = _params("", trial.params, found.data.params)
    # The state last: a trial that has it is complete.
    log_values(mlflow, client, found.info.run_id, params=params, points=points, tags={STATE_TAG: trial.state})
    client.set_terminated(found.info.run_id, TRIAL_STATUSES[trial.state], ended)


def _params(step: str, params: Mapping[str, Any], known: Mapping[str, str]) -> dict[str, str]:
    """Parameters under names at which MLflow has nothing else: it never changes the value of one."""
    flat = flattened(params)
    named = {name: flat[given] for given, name in names_for(step, flat).items()}
    return {unused(name, value, known): value for name, value in named.items()}


def _dataset(dataset: DatasetInput) -> dict[str, Any]:
    return {
        "name": f"{dataset.name} ({dataset.part})"[:500],
        "digest": dataset.sha256[:DIGEST_LENGTH],
        "source": {"uri": dataset.source, "sha256": dataset.sha256},
        "profile": {"num_rows": dataset.rows, "sha256": dataset.sha256},
        "context": dataset.part,
    }


def register(client: Any, run: Any, queued: Queued, bundle: TrackedBundle) -> None:
    """The bundle as a version of the pipeline's model, once, after all of it has been uploaded."""
    name = queued.run.pipeline
    version = version_of(client, name, bundle.sha256)
    if version is not None and version.status == "READY":
        return
    if version is not None:
        client.delete_model_version(name, version.version)
    if not _paged(client.search_registered_models, f"name = '{name}'"):
        client.create_registered_model(name, description=f"Models of the pipeline {name}, made by ml_assets.")
    tags = {BUNDLE_TAG: bundle.sha256, "as_of": queued.run.as_of, RUN_TAG: queued.run.dagster_run_id}
    source = f"{run.info.artifact_uri}/{queued.step}/model"
    client.create_model_version(name, source, run.info.run_id, tags=tags)


def version_of(client: Any, name: str, sha256: str) -> Any | None:
    """The version of a registered model that holds a bundle."""
    found = _paged(client.search_model_versions, f"name = '{name}'")
    return next((v for v in found if v.tags.get(BUNDLE_TAG) == sha256), None)


def set_champion(client: Any, name: str, sha256: str, say: Callable[[str], None]) -> None:
    """Point the alias `champion` to the version that holds a bundle."""
    version = version_of(client, name, sha256)
    if version is None:
        say(
            f"tracking: no version of the registered model {name} holds bundle {sha256[:12]}, so its alias "
            f"{CHAMPION!r} stays as it is\n  cure: none is needed for serving, which reads the ledger; a bundle made "
            "before tracking was set up gets a version when it is trained again"
        )
    elif CHAMPION not in client.get_model_version(name, version.version).aliases:
        client.set_registered_model_alias(name, CHAMPION, version.version)


def settle_runs(client: Any, instance: dg.DagsterInstance) -> dict[str, str]:
    """End the runs, and the trials, whose Dagster run is over; run id -> status."""
    settled: dict[str, str] = {}
    experiments = [e.experiment_id for e in _paged(client.search_experiments)]
    ends: dict[str, tuple[str, float | None] | None] = {}
    for run in _paged(client.search_runs, experiments, "attributes.status = 'RUNNING'") if experiments else ():
        dagster_run = run.data.tags.get(RUN_TAG) or run.data.tags.get(TRIAL_OF_TAG)
        if not dagster_run:
            continue
        if dagster_run not in ends:
            ends[dagster_run] = _end_of(instance, dagster_run)
        end = ends[dagster_run]
        if end is not None:
            status, at = end
            client.set_terminated(run.info.run_id, status, None if at is None else _ms(at))
            settled[run.info.run_id] = status
    return settled


def _end_of(instance: dg.DagsterInstance, run_id: str) -> tuple[str, float | None] | None:
    """MLflow's word for how a Dagster run ended, and when; None while it goes on, or of another instance."""
    record = instance.get_run_record_by_id(run_id)
    if record is None or record.dagster_run.status not in STATUSES:
        return None
    return STATUSES[record.dagster_run.status], record.end_time


def _paged(search: Callable[..., Any], *asked: Any) -> list[Any]:
    found: list[Any] = []
    token: str | None = None
    while True:
        page = search(*asked, max_results=PAGE, **({"page_token": token} if token else {}))
        found += page
        token = page.token
        if not token:
            return found


def _ms(seconds: float) -> int:
    return int(seconds * 1000)


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
