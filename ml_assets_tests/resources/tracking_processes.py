"""Run by tests in a process of its own: tracks in forked children, as Dagster's steps do, and kills them on demand.

    python tracking_processes.py CASES.json

A case has the resource's fields, and children with a `step` each, which run at once or one after the other; a child
with `kill: [name, n]` kills itself with SIGKILL right before the n-th call of that name, or right after with `after`.
Prints the exit codes of each case. MLflow is imported once, before forking, and not used by the parent.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

from ml_assets.core.tracked import DatasetInput, Entry, TrackedBundle, TrackedRun, Trial

PNG = (
    b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x00\x00\x00\x00:~\x9bU"
    b"\x00\x00\x00\nIDATx\x9cc`\x00\x00\x00\x02\x00\x01H\xaf\xa4q\x00\x00\x00\x00IEND\xaeB`\x82"
)


def entry_of(step, bundle=None, trials=4):
    """An entry with something of everything."""
    return Entry(
        params={"trees": 30, "space": {"window": [2, 3]}},
        metrics={"mae": 1.5},
        curves={"train": [3.0, 2.0, 1.0]},
        pictures={"residuals": PNG},
        files={"report.html": b"<p>"},
        trials=[Trial(i, {"leaves": i}, float(i), "pruned" if i == 1 else "complete", 5.0, 6.0) for i in range(trials)]
        if step == "tuning"
        else (),
        datasets=[DatasetInput("p/training_set 2019-03", f"{i}" * 64, part, 7, "store")
                  for i, part in enumerate(("train", "validation", "holdout"))],
        data_versions={"2019-03": "ab" * 32},
        bundle=TrackedBundle(*bundle) if bundle and step == "candidate" else None,
        champion=bundle[1] if bundle and step == "champion" else None,
    )  # fmt: skip


def kill_at(name, n, after):
    """Replace a call by one that kills this process at its n-th time."""
    import mlflow

    from ml_assets.resources.tracking_queue import Queue

    owner = Queue if name == "mark" else mlflow.MlflowClient
    call, count = getattr(owner, name), 0

    def killing(*args, **kwargs):
        nonlocal count
        count += 1
        if count == n and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        result = call(*args, **kwargs)
        if count == n:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, name, killing)


def child(case, told):
    """Track one step."""
    from ml_assets.resources.tracking import Tracking

    if "kill" in told:
        kill_at(*told["kill"], told.get("after", False))
    run = TrackedRun("trip_duration", case["run"], "2019-03", told.get("started", time.time()), "train")
    tracking = Tracking(**case["tracking"])
    if told["step"] == "catch_up":
        tracking.catch_up()
    else:
        tracking.track(run, told["step"], entry_of(told["step"], case.get("bundle")))


def run_case(case):
    """Fork the children of a case; their exit codes."""
    codes, going_on = [], []
    for told in case["children"]:
        pid = os.fork()
        if pid == 0:
            try:
                child(case, told)
            except BaseException:
                import traceback

                traceback.print_exc()
                sys.stderr.flush()
                os._exit(1)
            os._exit(0)
        going_on.append(pid)
        if not case.get("at_once"):
            codes.append(os.waitstatus_to_exitcode(os.waitpid(going_on.pop(), 0)[1]))
    return codes + [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in going_on]


def main():
    """All cases of a file, one after the other."""
    cases = json.loads(Path(sys.argv[1]).read_text())
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    # Imported once, and not used by the parent: what has threads would not survive a fork.
    import dagster_mlflow  # noqa: F401
    import lightgbm  # noqa: F401
    import mlflow.pyfunc
    import mlflow.store.model_registry.sqlalchemy_store
    import mlflow.store.tracking.sqlalchemy_store  # noqa: F401
    import sqlalchemy.orm

    import ml_assets.resources.bundle_files
    import ml_assets.resources.tracking  # noqa: F401

    # Else every child would do it anew.
    sqlalchemy.orm.configure_mappers()
    sys.stdout.write(json.dumps([run_case(case) for case in cases]))


if __name__ == "__main__":
    main()
