"""A model as one unit: what it is, what it was trained on, how it predicts. No pickle in it.

How a bundle is written and found again is in `bundle_files`; how models of each kind are fitted and scored, in
`models`.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import polars as pl

from ml_assets.core.drift.profile import FILE, Profile
from ml_assets.core.encoding import FeatureSpec, Floats, require_fit
from ml_assets.core.errors import BundleError
from ml_assets.core.estimator import Estimator
from ml_assets.core.estimators import read_estimator
from ml_assets.core.features import LABEL
from ml_assets.core.manifest import Manifest
from ml_assets.core.models.fit import Fit
from ml_assets.core.models.fitted import FittedModel
from ml_assets.core.models.kinds import read_model
from ml_assets.core.models.spec import ModelSpec
from ml_assets.core.tasks import Task

if TYPE_CHECKING:
    from ml_assets.core.drift.joint_reference import JointReference
    from ml_assets.core.drift.reference import Reference

FORMAT = 2
GOLDEN_ROWS = 8
MANIFEST = "manifest.json"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True)
class Bundle:
    """One trained model.

    Args:
        facts: everything about it that is in none of its files: format, pipeline, label, task, classes, features,
            models (what `defs.yaml` says of them), seed, training, learning, tuning, validation, importances, naive
            baseline, golden rows, the `estimator` of its error and the `reference` of drift where it has them, and the
            fitted `model`'s own; JSON-able, and free of times and places.
        files: name -> content of the files that the fitted model, the estimator and drift need.

    Raises:
        BundleError: a file has a name that is none.
    """

    facts: Mapping[str, Any]
    files: Mapping[str, bytes]

    def __post_init__(self) -> None:
        require_names(self.files)

    @cached_property
    def manifest(self) -> bytes:
        """The canonical text of the facts and of the hashes of the files."""
        files = {name: hashlib.sha256(content).hexdigest() for name, content in self.files.items()}
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
    def model(self) -> FittedModel:
        """What scores."""
        return read_model(self.facts["model"], self.files)

    @cached_property
    def estimator(self) -> Estimator | None:
        """What estimates its error on rows without a label; None in bundles from before there was one."""
        return read_estimator(self.facts.get("estimator"), self.files)

    def estimated_by(self, estimator: Estimator) -> Self:
        """The same model with another estimator."""
        facts = {**self.facts, "estimator": estimator.facts()}
        return type(self)(facts, {**self.files, **estimator.files()})

    @cached_property
    def profile(self) -> Profile | None:
        """What it was trained on, as counts; None in bundles from before there was one.

        Raises:
            ProfileError: it is of another format.
        """
        content = self.files.get(FILE)
        return None if content is None else Profile.from_bytes(content)

    @cached_property
    def reference(self) -> "Reference | None":
        """What its features weigh in drift; None in bundles from before there was a profile."""
        from ml_assets.core.drift.reference import Reference

        told = self.facts.get("reference")
        return None if told is None else Reference.from_json(told)

    @cached_property
    def joint_reference(self) -> "JointReference | None":
        """Rows of what it was trained on, for the domain classifier; None where that option was off.

        Raises:
            ProfileError: they are of another format, or damaged.
        """
        from ml_assets.core.drift.joint_reference import FILE as SAMPLE
        from ml_assets.core.drift.joint_reference import JointReference

        content = self.files.get(SAMPLE)
        return None if content is None else JointReference.from_bytes(content)

    def compared_with(self, profile: Profile, reference: "Reference", joint: "JointReference | None" = None) -> Self:
        """The same model with the profile that drift is distance from, and with rows for the domain classifier."""
        from ml_assets.core.drift.joint_reference import FILE as SAMPLE

        facts = {**self.facts, "reference": reference.to_json()}
        files = {**self.files, FILE: profile.to_bytes(), **({} if joint is None else {SAMPLE: joint.to_bytes()})}
        return type(self)(facts, files)

    @property
    def task(self) -> Task:
        """The kind of problem."""
        task: Task = self.facts["task"]
        return task

    @property
    def classes(self) -> int:
        """Columns of a prediction: how many classes a multiclass problem has; 1 for all others."""
        naive = self.naive
        return len(naive) if isinstance(naive, list) else 1

    @property
    def naive(self) -> float | list[float]:
        """The naive baseline: the median (of a quantile's model the quantile) of the training labels, in the label's
        unit; of a binary problem the base rate, of a multiclass one the rate of each class."""
        naive: float | list[float] = self.facts["naive"]
        return naive

    @property
    def as_of(self) -> str:
        """Key of the as-of partition."""
        return str(self.facts["training"]["as_of"])

    @property
    def rows_trained(self) -> int:
        """Rows it learnt from."""
        return int(self.facts["learning"]["rows"])

    @property
    def labelled_share(self) -> float:
        """Share of its holdout's rows that have a label at all, as soon as one could be known; some never get one."""
        training = self.facts["training"]
        rows, without = (int(training[name].get("holdout", 0)) for name in ("rows", "unlabelled"))
        return rows / (rows + without) if rows else 1.0

    def naive_scores(self, rows: int) -> Floats:
        """What the naive baseline predicts for so many rows, as `predict` would."""
        answer = np.asarray(self.naive, dtype=np.float64)
        return np.tile(answer, (rows, *[1] * answer.ndim))

    def feature_frame(self, features: pl.DataFrame) -> pl.DataFrame:
        """The columns that `predict` takes, out of a features table; it names those that are not there."""
        return features.select(s.name for s in self.specs if s.name in features.columns)

    def predict(self, frame: pl.DataFrame, *, threads: int = 1) -> Floats:
        """Scores as `tasks` says, float64 `[rows]` or `[rows, classes]`; an unknown category counts as missing.

        Args:
            frame: exactly the model's features, in their order and dtypes; see `feature_frame`.
            threads: how many may be used; the scores do not depend on it.

        Raises:
            ScoringError: the frame is not what the model was trained on; lists all mismatches.
        """
        require_fit(frame, self.specs)
        if not frame.height:
            return self.naive_scores(0)
        return self.model.scores(frame, self.specs, threads=threads)

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
                cure="score with the versions of lightgbm and onnxruntime that requirements.lock names, or train again",
            )

    @classmethod
    def of(
        cls,
        fit: Fit,
        *,
        pipeline: str,
        label: Mapping[str, Any],
        spec: ModelSpec | Sequence[ModelSpec],
        seed: int,
        manifest: Manifest,
        train: pl.DataFrame,
        learning: Mapping[str, Any],
        tuning: Mapping[str, Any] | None = None,
    ) -> Self:
        """The bundle of a fitted model.

        Args:
            fit: what fitting gave.
            pipeline: name of the pipeline.
            label: its `name`, `unit` and `task`, and `classes`: their names, or None.
            spec: the model, or the models of an ensemble; their parameters as they were fitted.
            seed: of everything random.
            manifest: the training set.
            train: the rows that were learnt from, with `label`.
            learning: `window` and `half_life` in partitions or None, `rows` learnt from, and whether the validation
                rows are among them: `refit`.
            tuning: name of the `study`, number of `trials`, and the `best` sets of parameters; None without.
        """
        specs = [spec] if isinstance(spec, ModelSpec) else list(spec)
        loss = fit.validation_loss
        model = fit.model.facts()
        facts = {
            "format": FORMAT,
            "pipeline": pipeline,
            "label": dict(label),
            "task": specs[0].task,
            "classes": None if label.get("classes") is None else list(label["classes"]),
            "features": [s.to_json() for s in fit.specs],
            "models": [s.to_json() for s in specs],
            "model": model,
            "seed": seed,
            "training": manifest.to_json(),
            "learning": dict(learning),
            "tuning": None if tuning is None else dict(tuning),
            "iterations": fit.best_iteration,
            "validation": None if loss is None else {fit.loss: loss},
            "importances": fit.importances,
            "naive": _naive(train, specs[0]),
            "golden": {"rows": [], "scores": []},
        }
        rows = train.select(s.name for s in fit.specs)
        rows = rows.gather_every(max(1, rows.height // GOLDEN_ROWS)).head(GOLDEN_ROWS)
        files = fit.model.files()
        golden = {"rows": [list(r) for r in rows.iter_rows()], "scores": cls(facts, files).predict(rows).tolist()}
        return cls({**facts, "golden": golden}, files)


def require_names(files: Mapping[str, Any]) -> None:
    """Raise a BundleError that lists every name that could lead out of the bundle's folder, or be taken for another.

    >>> require_names({"model.txt": b"", "member_a.onnx": b""})
    """
    seen = {MANIFEST}
    wrong = []
    for name in files:
        if not _NAME.fullmatch(name):
            wrong.append(f"{name!r}: not of letters, digits, `.`, `_` and `-`, or too long")
        elif name.lower() in seen:
            wrong.append(f"{name!r}: already the name of another file, where large and small letters are the same")
        seen.add(name.lower())
    if wrong:
        raise BundleError(
            "files of a bundle",
            found=wrong,
            expected=f"names like model.txt, all different, none {MANIFEST}",
            cure="train again; do not use a bundle from elsewhere",
        )


def _naive(train: pl.DataFrame, spec: ModelSpec) -> float | list[float]:
    label = train[LABEL].cast(pl.Float64)
    if spec.task == "regression":
        middle = label.quantile(0.5 if spec.alpha is None else spec.alpha, "linear")
        return float(middle)  # type: ignore[arg-type]
    rates = np.bincount(label.to_numpy().astype(np.intp), minlength=spec.classes) / label.len()
    return float(rates[1]) if spec.task == "binary" else [float(rate) for rate in rates]
