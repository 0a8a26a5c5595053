"""The trackers beside MLflow, by the names that the setting `trackers` knows; each is in a module of its own."""

from collections.abc import Sequence
from pathlib import Path

from ml_assets.core.errors import ConfigError
from ml_assets.resources.tracking_delivery import Tracker
from ml_assets.resources.tracking_tensorboard import TensorboardTracker
from ml_assets.resources.tracking_wandb import WandbTracker

MLFLOW = "mlflow"
_OTHERS = (WandbTracker, TensorboardTracker)


def require_known(trackers: Sequence[str]) -> list[str]:
    """The names, if each is a tracker's, and the packages of all are installed.

    Raises:
        ConfigError: otherwise.
    """
    known = [MLFLOW, *(t.name for t in _OTHERS)]
    if unknown := [t for t in trackers if t not in known]:
        raise ConfigError(
            "trackers", found=", ".join(unknown), expected=f"any of {', '.join(known)}", cure="correct the name"
        )
    for tracker in _OTHERS:
        if tracker.name in trackers:
            tracker.require_package()
    return list(trackers)


def other_trackers(beside: Path, timeout_seconds: int) -> dict[str, Tracker]:
    """Name -> tracker; each keeps what it writes in a folder of its name.

    Args:
        beside: the folder of these folders.
        timeout_seconds: how long a server may take to answer.
    """
    return {
        WandbTracker.name: WandbTracker(beside / WandbTracker.name, timeout_seconds),
        TensorboardTracker.name: TensorboardTracker(beside / TensorboardTracker.name),
    }
