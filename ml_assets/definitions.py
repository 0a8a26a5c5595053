"""The code location: every `defs.yaml` below `ml_assets/defs`, and the resources of the settings.

The only module that knows all the others.
"""

import warnings
from pathlib import Path

import dagster as dg

from ml_assets.resources.clock import Clock
from ml_assets.resources.io_managers import JsonStore, ParquetStore
from ml_assets.resources.ledger import Ledger
from ml_assets.resources.models import Models
from ml_assets.resources.prediction_log import PredictionLogs
from ml_assets.resources.reports import Reports
from ml_assets.resources.settings import settings
from ml_assets.resources.storage import Store
from ml_assets.resources.studies import Studies
from ml_assets.resources.tables import CsvStore
from ml_assets.resources.tracking import Tracking
from ml_assets.resources.versioning import Versions
from ml_assets.retraining_sensors import trainings_end
from ml_assets.sensors import automation, tracking_ends


def resources() -> dict[str, object]:
    """Every outside world that assets talk to, as the settings say."""
    roots = settings()
    return {
        "store": Store(root=roots.store),
        "models": Models(root=roots.models),
        "reports": Reports(root=roots.reports),
        "prediction_logs": PredictionLogs(root=roots.predictions, read=roots.read_predictions),
        "clock": Clock(),
        "ledger": Ledger(url=roots.ledger),
        "studies": Studies(url=roots.studies),
        "tracking": Tracking(uri=roots.tracking, queue=roots.tracking_queue),
        "versions": Versions(root=roots.versions, remote=roots.dvc_remote, command=roots.dvc),
        "io_manager": ParquetStore(root=roots.store),
        "records": JsonStore(root=roots.store),
        "tables": CsvStore(root=roots.store),
    }


# Dagster 1.13 warns of its own use of a parameter whenever a location has checks of several kinds in one step.
warnings.filterwarnings("ignore", "Parameter `execution_type` of function `AssetsDefinition", dg.BetaWarning)


@dg.definitions
def defs() -> dg.Definitions:
    """All tables and pipelines as one set of definitions."""
    return within(Path(__file__))


def within(path: Path) -> dg.Definitions:
    """The tables and pipelines of the project that a path lies in, with the resources and sensors of every project."""
    return dg.Definitions.merge(dg.load_from_defs_folder(path_within_project=path), shared_by_all())


def shared_by_all() -> dg.Definitions:
    """What every table and pipeline needs beside its own assets: resources, sensors, and where steps run."""
    return dg.Definitions(
        resources=resources(),
        sensors=[automation(), *tracking_ends(), *trainings_end()],
        executor=dg.in_process_executor,
    )
