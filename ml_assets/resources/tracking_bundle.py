"""What MLflow is told about a bundle: where it is on disk, its features as an example, and what it needs.

How the bundle scores there is in `tracking_scoring`.
"""

from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_assets.core.errors import BundleError
from ml_assets.core.tracked import TrackedBundle
from ml_assets.resources.remote import is_remote

if TYPE_CHECKING:
    from ml_assets.core.bundle import Bundle

REQUIRED = ("ml-assets", "lightgbm", "numpy", "onnxruntime", "polars", "pandas")
"""Packages that score; their versions are pinned in the model's requirements, as nothing else gives the same bits."""


def local_bundle(bundle: TrackedBundle, scratch: Path) -> Path:
    """The bundle's folder on this machine, fetched into `scratch` if it is kept elsewhere.

    Raises:
        BundleError: it is not there.
    """
    from upath import UPath

    base = UPath(bundle.root)
    if not is_remote(base):
        folder = Path(bundle.root) / bundle.sha256
        if not (folder / "manifest.json").is_file():
            raise _missing(bundle)
        return folder
    target = scratch / bundle.sha256
    target.mkdir()
    try:
        files = [f for f in (base / bundle.sha256).iterdir() if f.is_file()]
    except FileNotFoundError as error:
        raise _missing(bundle) from error
    for file in files:
        (target / file.name).write_bytes(file.read_bytes())
    return target


def _missing(bundle: TrackedBundle) -> BundleError:
    return BundleError(
        f"bundle {bundle.sha256[:12]}, to be tracked",
        found=f"no manifest.json in {bundle.root}/{bundle.sha256}",
        expected="the bundle that the entry names",
        cure="save the bundle before it is tracked; restore the folder from a backup",
    )


def example_of(bundle: "Bundle") -> dict[str, list[Any]]:
    """Rows to show what the model takes: the bundle's golden rows, or one of missing values; feature -> values."""
    names = [s.name for s in bundle.specs]
    rows = bundle.facts.get("golden", {}).get("rows") or [[None] * len(names)]
    return {name: [row[i] for row in rows] for i, name in enumerate(names)}


def described(bundle: "Bundle") -> dict[str, Any]:
    """What a person finds in MLflow about the columns that the model takes."""
    return {
        "bundle": bundle.sha256,
        "features": [{"name": s.name, "kind": s.kind, "unit": s.unit} for s in bundle.specs],
    }


def requirements() -> list[str]:
    """What must be installed where MLflow serves the model."""
    return [f"{name}=={version(name)}" for name in REQUIRED]
