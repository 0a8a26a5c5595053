"""A Dagster job of three tracked assets, run by tests in processes of its own.

    JOB_DATA=… JOB_EXECUTOR=multiprocess|in_process JOB_OUTCOME=success|failure|cancellation python tracking_job.py

Runs the job, settles, and prints the Dagster run's status.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import dagster as dg

from ml_assets.core.tracked import Entry, Trial
from ml_assets.resources.tracking import Tracking

DATA, EXECUTOR, OUTCOME = (os.environ.get(f"JOB_{name}", "") for name in ("DATA", "EXECUTOR", "OUTCOME"))
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


def train() -> dg.JobDefinition:
    """The job of the three."""
    executor = dg.multiprocess_executor if EXECUTOR == "multiprocess" else dg.in_process_executor
    job = dg.define_asset_job("train", selection="*", executor_def=executor)
    tracking = Tracking(uri=f"sqlite:///{DATA}/mlflow.db", queue=f"{DATA}/tracking")
    return dg.Definitions(
        assets=[training_set, tuning, candidate], jobs=[job], resources={"tracking": tracking}
    ).resolve_job_def("train")


def run():
    """Run the job in this process and those that it starts."""
    with dg.DagsterInstance.get() as instance:
        dg.execute_job(dg.reconstructable(train), instance, tags={"dagster/partition": "2019-03"})


def cancel(child):
    """As the UI does it."""
    deadline = time.monotonic() + 240
    while not Path(DATA, "waiting").exists():
        assert child.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)
    with dg.DagsterInstance.get() as instance:
        [going_on] = instance.get_runs()
        instance.report_run_canceling(going_on)
    child.send_signal(signal.SIGINT)


def main():
    """Start it, and end it as asked."""
    child = subprocess.Popen([sys.executable, __file__, "run"])
    if OUTCOME == "cancellation":
        cancel(child)
    child.wait()
    with dg.DagsterInstance.get() as instance:
        [done] = instance.get_runs()
        Tracking(uri=f"sqlite:///{DATA}/mlflow.db", queue=f"{DATA}/tracking").settle(instance)
        sys.stdout.write(done.status.value)


if __name__ == "__main__":
    run() if sys.argv[1:] == ["run"] else main()
