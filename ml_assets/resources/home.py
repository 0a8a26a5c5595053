"""Dagster's home: the folder of its databases, and the instance that the UI and every command share."""

import glob
import json
import os
from pathlib import Path

import dagster as dg

from ml_assets.core.errors import ConfigError
from ml_assets.resources.settings import REPOSITORY, settings


def prepare_home() -> Path:
    """Make DAGSTER_HOME under the data root and point this process to it; returns it.

    Its `dagster.yaml` is this repository's, with the databases' folder in full.

    Raises:
        ConfigError: Dagster would not find its settings there.
    """
    home = settings().dagster_home
    if glob.escape(str(home)) != str(home):
        # Dagster takes the path of its own settings for a pattern, finds none, and sends telemetry.
        raise ConfigError(
            f"data folder {home.parent}", found="one of the letters * ? [ in its path", expected="a path without them",
            cure="name another folder with --data or ML_ASSETS_DATA",
        )  # fmt: skip
    home.mkdir(parents=True, exist_ok=True)
    ours = (
        (REPOSITORY / "dagster.yaml")
        .read_text()
        .replace("base_dir: data/dagster", f"base_dir: {json.dumps(str(home))}")
    )
    theirs = home / "dagster.yaml"
    if not theirs.exists() or theirs.read_text() != ours:
        scratch = theirs.with_name(f".dagster.yaml.{os.getpid()}")
        scratch.write_text(ours)
        scratch.replace(theirs)
    os.environ["DAGSTER_HOME"] = str(home)
    return home


def instance() -> dg.DagsterInstance:
    """The instance whose runs the UI shows."""
    prepare_home()
    return dg.DagsterInstance.get()
