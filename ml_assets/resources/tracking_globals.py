"""MLflow's state that is global to a process, lent out for the time of a delivery and put back after it.

Environment variables, the current URI and experiment, and how loud its loggers are. MLflow itself is passed in by
`tracking`.
"""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_LOUD = ("mlflow", "alembic")
_FIXED = {
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING": "false",
    "MLFLOW_UV_AUTO_DETECT": "false",  # would copy files of the working folder into the model
}


@contextmanager
def own_environment(timeout_seconds: int) -> Iterator[None]:
    """MLflow without telemetry, and answered within seconds or not at all; what the user has set stays.

    No retries: a request that is repeated could make a second run, and the journal repeats it soundly.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    before = {name: value for name, value in os.environ.items() if name.startswith("MLFLOW_")}
    limits = {"MLFLOW_HTTP_REQUEST_TIMEOUT": str(timeout_seconds), "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    os.environ.update({**limits, **before, **_FIXED})
    try:
        yield
    finally:
        for name in [n for n in os.environ if n.startswith("MLFLOW_")]:
            del os.environ[name]
        os.environ.update(before)


@contextmanager
def quiet() -> Iterator[None]:
    """Without the lines of MLflow and of its migrations: what goes wrong is raised, and told once, in words of ours.

    To be entered after MLflow is imported, which sets the levels anew. MLflow's own warning is one that SQLAlchemy 2.1
    gives it for how it declares its tables.
    """
    levels = {name: logging.getLogger(name).level for name in _LOUD}
    for name in _LOUD:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="The ``noload`` loader strategy is deprecated")
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


@contextmanager
def own_globals(mlflow: Any) -> Iterator[None]:
    """Whatever is set inside, the current tracking URI and experiment are afterwards those of before.

    To be used within `own_environment`, which puts the variable back in which MLflow keeps its URI as well.
    """
    fluent = mlflow.tracking.fluent
    experiment = fluent._active_experiment_id  # no public name for "none yet"
    try:
        yield
    finally:
        mlflow.set_tracking_uri(None)
        fluent._active_experiment_id = experiment
