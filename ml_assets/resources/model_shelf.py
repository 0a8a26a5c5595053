"""Bundles by the content of what they were trained on, so that the same training is never done twice.

Bundles are in `models`, content-addressed; an index record per training says which one came of it.
"""

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import dagster as dg

from ml_assets.core.errors import BundleError
from ml_assets.resources.models import Models
from ml_assets.resources.storage import Store, canonical_json
from ml_assets.resources.whole_files import write_whole

if TYPE_CHECKING:
    from upath import UPath

    from ml_assets.core.bundle import Bundle


@dataclass(frozen=True)
class ModelShelf:
    """The trainings of an asset: `<store>/<asset key>/models/<SHA-256 of the inputs>.json`.

    Args:
        store: where the index records are.
        models: where the bundles are.
        key: of the asset whose trainings these are.
    """

    store: Store
    models: Models
    key: dg.AssetKey

    def find(self, inputs: str) -> "Bundle | None":
        """The bundle that was trained on some inputs; None where there is none, or record or bundle are damaged.

        Args:
            inputs: SHA-256 of all that the model depends on.
        """
        path = self._path(inputs)
        if not path.exists():
            return None
        try:
            record = json.loads(path.read_text())
            # From where it is kept and not from memory: what is on disk is what later runs will find.
            return self.models.load_anew(record["bundle"]) if record["inputs"] == inputs else None
        except (ValueError, KeyError, TypeError, BundleError):
            return None

    def keep(self, inputs: str, bundle: "Bundle") -> None:
        """Keep a bundle, then its record: a process that is killed in between trains again and finds the bundle there.

        Args:
            inputs: SHA-256 of all that the model depends on.
            bundle: what was trained.
        """
        sha256 = self.models.save(bundle)
        path = self._path(inputs)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, canonical_json({"inputs": inputs, "bundle": sha256}))

    def _path(self, inputs: str) -> "UPath":
        return self.store.path(self.key, f"models/{inputs}", ".json")
