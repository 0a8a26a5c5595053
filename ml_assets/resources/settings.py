"""Where everything is: the roots of section "Data on disk" in the README, read from the environment.

The only module that reads the environment. Each root may be moved alone; `ML_ASSETS_DATA` moves them all.
"""

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from ml_assets.resources.sources.interface import SourceConfig

REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Settings:
    """Every root: a path or an fsspec URL (`s3://bucket/prefix`); `dvc` is a command.

    Ledger and studies are SQLAlchemy URLs, tracking is an MLflow tracking URI.
    """

    data: Path
    store: str
    models: str
    reports: str
    predictions: str
    ledger: str
    studies: str
    tracking: str
    dvc_remote: str
    dvc: str

    @property
    def versions(self) -> str:
        """Where DVC keeps its cache and pointers: a local folder."""
        return str(self.data / "versions")

    @property
    def tracking_queue(self) -> str:
        """What is not yet delivered to the trackers: a local folder."""
        return str(self.data / "tracking")

    @property
    def read_predictions(self) -> str:
        """What looks at a rollout have read of the prediction log: a local folder that may be deleted at any time."""
        return str(self.data / "rollouts")

    @property
    def serving(self) -> Path:
        """What a model server remembers of this machine: a local folder."""
        return self.data / "serving"

    @property
    def dagster_home(self) -> Path:
        """Where Dagster keeps its own records."""
        return self.data / "dagster"


def settings() -> Settings:
    """The settings of this process.

    `ML_ASSETS_DATA` (default: `data` in the repository), and to move one root alone `ML_ASSETS_STORE`,
    `ML_ASSETS_MODELS`, `ML_ASSETS_REPORTS`, `ML_ASSETS_PREDICTIONS` (paths or fsspec URLs), `ML_ASSETS_LEDGER` and
    `ML_ASSETS_STUDIES` (SQLAlchemy URLs), `ML_ASSETS_TRACKING` (an MLflow tracking URI), `ML_ASSETS_DVC_REMOTE`
    (a folder or any URL that DVC knows). `ML_ASSETS_DVC` is the dvc executable; absent, the
    one that `make setup` installs.
    """
    data = Path(os.environ.get("ML_ASSETS_DATA") or REPOSITORY / "data").expanduser().resolve()
    return Settings(
        data=data,
        store=_root("ML_ASSETS_STORE", data / "store"),
        models=_root("ML_ASSETS_MODELS", data / "models"),
        reports=_root("ML_ASSETS_REPORTS", data / "reports"),
        predictions=_root("ML_ASSETS_PREDICTIONS", data / "predictions"),
        ledger=os.environ.get("ML_ASSETS_LEDGER") or f"sqlite:///{data / 'ledger.db'}",
        studies=os.environ.get("ML_ASSETS_STUDIES") or f"sqlite:///{data / 'studies.db'}",
        tracking=os.environ.get("ML_ASSETS_TRACKING") or f"sqlite:///{data / 'mlflow.db'}",
        dvc_remote=_root("ML_ASSETS_DVC_REMOTE", data / "dvc-remote"),
        dvc=os.environ.get("ML_ASSETS_DVC") or _dvc(),
    )


def _dvc() -> str:
    """The dvc beside this environment, which `make setup` installs, or else the one on the path."""
    beside = Path(sys.prefix).with_name(".venv-dvc") / "bin" / "dvc"
    return str(beside) if beside.exists() else shutil.which("dvc") or str(beside)


def _root(variable: str, default: Path) -> str:
    told = (os.environ.get(variable) or str(default)).removeprefix("file://")
    # In full, since `ml-assets dev` changes the working folder.
    return told if "://" in told else str(Path(told).expanduser().resolve())


def source_for(configured: SourceConfig) -> SourceConfig:
    """The source of a table: as its YAML says, unless `ML_ASSETS_SOURCE` names a folder of real files.

    Only simulated sources are replaced: the folder holds the files that the simulation imitates.
    """
    folder = os.environ.get("ML_ASSETS_SOURCE") or "simulated"
    if folder == "simulated" or configured.kind != "simulated":
        return configured
    from ml_assets.resources.sources.interface import FilesSourceConfig
    from ml_assets.resources.sources.simulated import FILE_NAME

    return FilesSourceConfig(kind="files", path=str(Path(folder).expanduser().resolve() / FILE_NAME))
