"""What tests deliver to MLflow, and how they read it there."""

import sqlite3
from contextlib import closing
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

from ml_assets.core.tracked import TrackedRun
from ml_assets.resources.tracking import Tracking

_spec = spec_from_file_location("tracking_processes", Path(__file__).with_name("tracking_processes.py"))
entries = module_from_spec(_spec)
_spec.loader.exec_module(entries)

RUN = TrackedRun("trip_duration", "0a1b2c3d", "2019-03", 1000.5, "train", "drift", "ab" * 20)


def tracking_in(folder, **changed):
    return Tracking(**{"uri": f"sqlite:///{folder}/mlflow.db", "queue": f"{folder}/tracking", **changed})


def client_of(folder):
    from mlflow import MlflowClient

    return MlflowClient(f"sqlite:///{folder}/mlflow.db", f"sqlite:///{folder}/mlflow.db")


def runs_in(folder, name="trip_duration"):
    client = client_of(folder)
    experiment = client.get_experiment_by_name(name)
    found = client.search_runs([experiment.experiment_id], max_results=500) if experiment else []
    return {
        "runs": [r for r in found if "mlflow.parentRunId" not in r.data.tags],
        "trials": sorted((r for r in found if "mlflow.parentRunId" in r.data.tags), key=lambda r: r.info.run_name),
    }


def rows_in(folder):
    """Rows of every table, without clocks and random ids that differ by delivery."""
    with closing(sqlite3.connect(f"{folder}/mlflow.db")) as database:
        tables = [t for (t,) in database.execute("select name from sqlite_master where type = 'table'")]
        return {t: database.execute(f'select count(*) from "{t}"').fetchone()[0] for t in tables}


def files_in(folder):
    return sorted(str(p.relative_to(folder)) for p in (folder / "mlartifacts").rglob("*") if p.is_file())
