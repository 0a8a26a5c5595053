"""Which run a step belongs to, as trackers are told: from Dagster's context and from git; and the way to its page.

What is done with it is in `tracking`.
"""

import subprocess
import time
from functools import lru_cache

import dagster as dg

from ml_assets.core.tracked import TrackedRun
from ml_assets.resources.settings import REPOSITORY
from ml_assets.resources.tracking_database import is_database

REASON_TAG = "ml_assets/reason"
_GIT_SECONDS = 5


def run_of(context: dg.AssetExecutionContext, as_of: str | None = None) -> TrackedRun:
    """The run of a step.

    Args:
        context: of an asset `<pipeline>/<noun>`.
        as_of: key of the as-of partition; by default the one that the step materializes.
    """
    run = context.run
    record = context.instance.get_run_record_by_id(run.run_id)
    partition = context.partition_key if as_of is None and context.has_partition_key else as_of
    return TrackedRun(
        pipeline=min(key.path[0] for key in context.selected_asset_keys),
        dagster_run_id=run.run_id,
        as_of=partition or "",
        started_at=(record.start_time if record else None) or time.time(),
        job=run.job_name,
        reason=run.tags.get(REASON_TAG),
        git_commit=git_commit(),
    )


def page_of(place: str, experiment: str, run_id: str) -> dict[str, dg.MetadataValue]:
    """Metadata that lead from an asset to a run's page in MLflow.

    Args:
        place: MLflow's URI, without a password: a server's pages are there, for a database the command is told.
        experiment, run_id: MLflow's ids.
    """
    path = f"#/experiments/{experiment}/runs/{run_id}"
    page: dg.MetadataValue = dg.MetadataValue.url(f"{place.rstrip('/')}/{path}")
    if is_database(place):
        page = dg.MetadataValue.md(f"`mlflow ui --backend-store-uri '{place}'`, then `http://127.0.0.1:5000/{path}`")
    return {"mlflow_run": page, "mlflow_run_id": dg.MetadataValue.text(run_id)}


@lru_cache(maxsize=1)
def git_commit() -> str | None:
    """The commit of the code; None where it is in no repository, or git is not installed."""
    try:
        told = subprocess.run(
            ["git", "rev-parse", "HEAD"],  # noqa: S607
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            timeout=_GIT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return told.stdout.strip() or None if told.returncode == 0 else None
