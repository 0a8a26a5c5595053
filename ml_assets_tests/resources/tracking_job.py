"""A Dagster job of three tracked assets, run by tests in processes of its own.

    python tracking_job.py FOLDER…

A folder is named EXECUTOR-OUTCOME (multiprocess or in_process; success, failure or cancellation) and holds an MLflow
database and the home of a Dagster. Runs the job in each, settles, and prints how the Dagster runs ended.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import dagster as dg

from ml_assets.core.tracked import Entry, Trial
from ml_assets.resources.tracking import Tracking

DATA = os.environ.get("JOB_DATA", "")
EXECUTOR, _, OUTCOME = Path(DATA).name.partition("-")
# Processes of their own, which don't import everything anew.
MULTIPROCESS = {"start_method": {"forkserver": {"preload_modules": ["mlflow", "ml_assets.resources.tracking"]}}}
PARTITIONS = dg.StaticPartitionsDefinition(["2019-03"])


@dg.asset(key=["trip_duration", "training_set"], partitions_def=PARTITIONS)
def training_set(context: dg.AssetExecutionContext, tracking: Tracking) -> None:
    """Tracks."""
    tracking.track(context, "training_set", Entry(metrics={"rows": 7.0}))


@dg.asset(key=["trip_duration", "tuning"], partitions_def=PARTITIONS, deps=[training_set])
def tuning(context: dg.AssetExecutionContext, tracking: Tracking) -> None:
    """Tracks, then fails or waits to be cancelled."""
    tracking.track(context, "tuning", Entry(trials=[Trial(0, {"leaves": 7}, 1.5, "complete")]))
    if OUTCOME == "failure":
        raise ValueError("as asked")
    if OUTCOME == "cancellation":
        Path(DATA, "waiting").touch()
        time.sleep(300)


@dg.asset(key=["trip_duration", "candidate"], partitions_def=PARTITIONS, deps=[tuning])
def candidate(context: dg.AssetExecutionContext, tracking: Tracking) -> None:
    """Tracks."""
    tracking.track(context, "candidate", Entry(metrics={"mae": 1.5}))


def tracking_in(folder: Path | str) -> Tracking:
    """The tracking of a folder's MLflow database."""
    return Tracking(uri=f"sqlite:///{folder}/mlflow.db", queue=f"{folder}/tracking")


def train() -> dg.JobDefinition:
    """The job of the three."""
    multiprocess = dg.multiprocess_executor.configured(MULTIPROCESS)
    executor = multiprocess if EXECUTOR == "multiprocess" else dg.in_process_executor
    job = dg.define_asset_job("train", selection="*", executor_def=executor)
    tracking = tracking_in(DATA)
    return dg.Definitions(
        assets=[training_set, tuning, candidate], jobs=[job], resources={"tracking": tracking}
    ).resolve_job_def("train")


def run():
    """Run the job in this process and those that it starts."""
    with dg.DagsterInstance.get() as instance:
        dg.execute_job(dg.reconstructable(train), instance, tags={"dagster/partition": "2019-03"})


def cancel(folder: Path, child: subprocess.Popen) -> None:
    """As the UI does it."""
    deadline = time.monotonic() + 240
    while not (folder / "waiting").exists():
        assert child.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)
    with dg.DagsterInstance.from_config(str(folder / "dagster")) as instance:
        [going_on] = instance.get_runs()
        instance.report_run_canceling(going_on)
    child.send_signal(signal.SIGINT)


def ended(folder: Path) -> str:
    """How the run of a folder ended, which is started here and ended as asked."""
    environment = {**os.environ, "DAGSTER_HOME": str(folder / "dagster"), "JOB_DATA": str(folder)}
    child = subprocess.Popen([sys.executable, __file__], env=environment)
    if folder.name.endswith("cancellation"):
        cancel(folder, child)
    child.wait()
    with dg.DagsterInstance.from_config(str(folder / "dagster")) as instance:
        [done] = instance.get_runs()
        tracking_in(folder).settle(instance)
        return done.status.value


if __name__ == "__main__":
    if DATA:
        run()
    else:
        sys.stdout.write(json.dumps({Path(folder).name: ended(Path(folder)) for folder in sys.argv[1:]}))
