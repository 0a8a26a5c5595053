"""MLflow's calls in bulk: a batch in place of a call per value, datasets, and a bundle as a `pyfunc` model folder.

MLflow is passed in by `tracking`; what is logged under which name is decided in `tracking_runs`.
"""

import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ml_assets.resources.sources.masking import scrub
from ml_assets.resources.tracking_bundle import described, example_of, requirements
from ml_assets.resources.tracking_delivery import EntryRefused, TrackerDown
from ml_assets.resources.tracking_scoring import LOADER

OLD_SCHEMA = "out-of-date database schema"
_REFUSALS = ("INVALID_PARAMETER_VALUE", "INVALID_STATE", "RESOURCE_DOES_NOT_EXIST", "RESOURCE_ALREADY_EXISTS")

METRICS_A_BATCH, PARAMS_A_BATCH = 800, 100

Point = tuple[str, float, int, int]
"""Name, value, Unix time in milliseconds, step of a metric."""


def log_values(
    mlflow: Any,
    client: Any,
    run_id: str,
    *,
    params: Mapping[str, str],
    points: Sequence[Point],
    tags: Mapping[str, str] | None = None,
) -> None:
    """Parameters, points of metrics, then tags; points that are there already stay single."""
    of = mlflow.entities
    told = [of.Param(name, value) for name, value in params.items()]
    for start in range(0, max(len(told), 1), PARAMS_A_BATCH):
        some = told[start : start + PARAMS_A_BATCH]
        rest = points if start + PARAMS_A_BATCH >= len(told) else ()
        for first in range(0, max(len(rest), 1), METRICS_A_BATCH):
            metrics = [of.Metric(*point) for point in rest[first : first + METRICS_A_BATCH]]
            is_last = rest is points and first + METRICS_A_BATCH >= len(points)
            last = [of.RunTag(name, value) for name, value in (tags or {}).items()] if is_last else []
            if some or metrics or last:
                client.log_batch(run_id, params=some, metrics=metrics, tags=last)
            some = []


def log_datasets(mlflow: Any, client: Any, run_id: str, datasets: Sequence[Mapping[str, Any]]) -> None:
    """What a run has read; the same again changes nothing."""
    of = mlflow.entities
    client.log_inputs(
        run_id,
        [
            of.DatasetInput(
                of.Dataset(
                    name=d["name"],
                    digest=d["digest"],
                    source_type="ml_assets",
                    source=json.dumps(d["source"]),
                    profile=json.dumps(d["profile"]),
                ),
                [of.InputTag("mlflow.data.context", d["context"])],
            )
            for d in datasets
        ],
    )


def save_model(mlflow: Any, bundle_folder: Path, target: Path) -> None:
    """A bundle as MLflow's model folder: the bundle's files, and the name of the module of ours that loads them.

    The signature tells what comes out. It does not tell what goes in: MLflow, enforcing it, would refuse integers,
    categories and NumPy, and drop unknown columns; our loader takes the first and refuses the last. The columns stand
    in the model's metadata, and there is an input example.

    Raises:
        BundleError: the bundle is damaged.
    """
    import pandas as pd
    import polars as pl

    from ml_assets.resources.bundle_files import load

    bundle = load(bundle_folder.parent, bundle_folder.name)
    example = example_of(bundle)
    scores = bundle.predict(pl.DataFrame(example, schema={s.name: s.dtype for s in bundle.specs}))
    shape = (-1, *scores.shape[1:])
    types = mlflow.types.schema
    with warnings.catch_warnings():
        # MLflow is of opinion that integers and objects in examples are risky; here they are read by our loader.
        warnings.filterwarnings("ignore", module=r"mlflow\.")
        mlflow.pyfunc.save_model(
            path=str(target),
            loader_module=LOADER,
            data_path=str(bundle_folder),
            signature=mlflow.models.ModelSignature(outputs=types.Schema([types.TensorSpec(scores.dtype, shape)])),
            input_example=pd.DataFrame(example, dtype=object),
            pip_requirements=requirements(),
            metadata={"ml_assets": described(bundle)},
        )


def trouble(place: str, error: Exception) -> TrackerDown | EntryRefused:
    """An error of MLflow, its database, the network or the disk in our words.

    Args:
        place: MLflow's URI, without a password.
    """
    said = scrub(str(error), []).split(" (Background on this error")[0][:600] or repr(error)
    kind = EntryRefused if getattr(error, "error_code", None) in _REFUSALS else TrackerDown
    cure = f"see that {place} can be reached, is let in by its credentials, and has disk space"
    if OLD_SCHEMA in said:
        cure = f"run `mlflow db upgrade {place}` after a backup"
    elif kind is EntryRefused:
        cure = "do what it says; a deleted experiment or run can be restored in MLflow"
    return kind(f"MLflow at {place}", found=said, expected="an answer", cure=cure)
