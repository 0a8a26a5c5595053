"""A model as one unit: what it is, what it was trained on, how it predicts. No pickle in it.

How a bundle is written and found again is in `bundle_files`; how it is trained is in `training`.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
import polars as pl

from ml_assets.core.encoding import FeatureSpec, Floats, encode
from ml_assets.core.errors import BundleError
from ml_assets.core.manifest import Manifest
from ml_assets.core.parameters import ModelParams
from ml_assets.core.target_encoding import FittedEncoding
from ml_assets.core.training import TrainedModel

FORMAT = 1
GOLDEN_ROWS = 8


@dataclass(frozen=True)
class Bundle:
    """One trained model.

    Args:
        facts: everything about it that is no tree: format, pipeline, label, features, parameters, training,
            validation, naive baseline, golden rows, and target encodings where it has any; JSON-able, and free of
            times and places.
        model_text: LightGBM's own text of the trees.
    """

    facts: Mapping[str, Any]
    model_text: str

    @cached_property
    def manifest(self) -> bytes:
        """The canonical text of the facts and of the hash of the model's text."""
        files = {"model.txt": hashlib.sha256(self.model_text.encode()).hexdigest()}
        record = {**self.facts, "files": files}
        return json.dumps(record, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False).encode()

    @cached_property
    def sha256(self) -> str:
        """The bundle's address: SHA-256 of its manifest, which holds the hashes of its files."""
        return hashlib.sha256(self.manifest).hexdigest()

    @cached_property
    def specs(self) -> tuple[FeatureSpec, ...]:
        """The features, in the model's order."""
        return tuple(FeatureSpec.from_json(f) for f in self.facts["features"])

    @cached_property
    def encodings(self) -> tuple[FittedEncoding, ...]:
        """The target encodings, which follow the features in the model's input; they are no columns to be given."""
        return tuple(FittedEncoding.from_json(e) for e in self.facts.get("target_encodings", ()))

    @property
    def naive(self) -> float:
        """The naive baseline: the median of the training labels, in the label's unit."""
        return float(self.facts["naive"])

    @property
    def as_of(self) -> str:
        """Key of the as-of partition."""
        return str(self.facts["training"]["as_of"])

    @property
    def rows_trained(self) -> int:
        """Rows it learnt from."""
        return int(self.facts["training"]["rows"]["train"])

    @cached_property
    def _booster(self) -> Any:
        import lightgbm as lgb

        return lgb.Booster(model_str=self.model_text)

    def feature_frame(self, features: pl.DataFrame) -> pl.DataFrame:
        """The columns that `predict` takes, out of a features table; it names those that are not there."""
        return features.select(s.name for s in self.specs if s.name in features.columns)

    def predict(self, frame: pl.DataFrame, *, threads: int = 1) -> Floats:
        """Scores in the label's unit, float64 `[rows]`; a category it does not know counts as missing.

        Args:
            frame: exactly the model's features, in their order and dtypes; see `feature_frame`.
            threads: how many LightGBM may use; the scores do not depend on it.

        Raises:
            ScoringError: the frame is not what the model was trained on; lists all mismatches.
        """
        matrix = encode(frame, self.specs, self.encodings)
        if not frame.height:
            return np.empty(0)
        scores: Floats = self._booster.predict(matrix, num_threads=threads)
        return scores

    def require_golden(self) -> None:
        """Raise a BundleError unless the rows scored when it was made score the same, to the bit."""
        golden = self.facts["golden"]
        schema = {s.name: s.dtype for s in self.specs}
        scores = self.predict(pl.DataFrame(golden["rows"], schema=schema, orient="row"))
        if scores.tolist() != golden["scores"]:
            raise BundleError(
                f"bundle {self.sha256[:12]}",
                found=f"scores {scores.tolist()} for its golden rows",
                expected=f"{golden['scores']}, as when it was made",
                cure="score with the version of lightgbm that requirements.lock names, or train again",
            )

    @classmethod
    def of(
        cls,
        trained: TrainedModel,
        *,
        pipeline: str,
        label: Mapping[str, str | None],
        params: ModelParams,
        seed: int,
        manifest: Manifest,
        train: pl.DataFrame,
    ) -> Self:
        """The bundle of a trained model.

        Args:
            trained: what training gave.
            pipeline: name of the pipeline.
            label: its `name`, `unit` and `task`.
            params, seed: what it was trained with.
            manifest: the training set.
            train: the training rows, with `label`.
        """
        facts = {
            "format": FORMAT,
            "pipeline": pipeline,
            "label": dict(label),
            "features": [s.to_json() for s in trained.specs],
            "params": params.to_json(),
            "seed": seed,
            "training": {**manifest.to_json(), "trees": trained.best_iteration},
            "validation": {trained.loss: trained.validation_curve[trained.best_iteration - 1]},
            "importances": trained.importances,
            "naive": float(train["label"].median()),  # type: ignore[arg-type]
            "golden": {"rows": [], "scores": []},
        }
        if trained.encodings:
            facts["target_encodings"] = [e.to_json() for e in trained.encodings]
        unproven = cls(facts, trained.text)
        rows = train.select(s.name for s in trained.specs)
        rows = rows.gather_every(max(1, rows.height // GOLDEN_ROWS)).head(GOLDEN_ROWS)
        golden = {"rows": [list(r) for r in rows.iter_rows()], "scores": unproven.predict(rows).tolist()}
        return cls({**facts, "golden": golden}, trained.text)
