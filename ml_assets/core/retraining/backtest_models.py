"""Models of a backtest: really trained on recorded history as of a partition, and kept by the content of their inputs.

How a model is trained is given, so that it is what the pipeline's own training does.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import polars as pl

from ml_assets.core.bundle import Bundle
from ml_assets.core.manifest import Manifest, make_manifest
from ml_assets.core.retraining.recorded_history import Recorded
from ml_assets.core.retraining.trainings import Plan
from ml_assets.core.split import Split
from ml_assets.core.windows import Window


class Shelf(Protocol):
    """Where trained models are kept by the content of their inputs."""

    def find(self, inputs: str) -> Bundle | None:
        """The intact bundle of these inputs; None where there is none, or it is damaged.

        Args:
            inputs: SHA-256 of all that the model depends on.
        """

    def keep(self, inputs: str, bundle: Bundle) -> None:
        """Keep a bundle; a process that is killed in the middle leaves nothing that would be found."""


@dataclass(frozen=True)
class Trainer:
    """Trains as of recorded partitions.

    Args:
        recorded: what may be learnt from.
        fit: training set and feature partition -> its features table -> the trained bundle.
        split_over: partitions to learn from -> how their rows are divided.
        min_rows: rows to train on at least.
        told: JSON-able, all that `fit` depends on beside the training set.
        shelf: where bundles are kept.
        tell: progress.
    """

    recorded: Recorded
    fit: Callable[[Manifest, Mapping[str, pl.LazyFrame]], Bundle]
    split_over: Callable[[Sequence[Window]], Split]
    min_rows: int
    told: Mapping[str, Any]
    shelf: Shelf
    tell: Callable[[str], None]

    def train(self, as_of: str, plan: Plan) -> Bundle:
        """The model of a plan as of a partition: found, or trained and kept.

        Nothing but the newest `plan.window` partitions is given to what trains, and the split lets no label count that
        was not known in time. `plan.how` makes no difference: a search for parameters is a refit here.

        Raises:
            TrainingError: nothing can be learnt from these partitions.
        """
        windows = self.recorded.learnable(as_of, plan.window)
        split = self.split_over(windows)
        frames = {w.key: self.recorded.frames[w.key] for w in windows}
        digests = {key: self.recorded.digests[key] for key in frames}
        inputs = inputs_of(digests, split, {**self.told, "min_rows": self.min_rows})
        on = f"as of {as_of} on {len(windows)} partition{'s' * (len(windows) > 1)}"
        kept = self.shelf.find(inputs)
        if kept is not None and _is_of(kept, digests, split):
            self.tell(f"{on}: {kept.sha256[:12]} is there already")
            return kept
        self.tell(f"{on}: training")
        bundle = self.fit(make_manifest(frames, windows, digests, split=split, min_rows=self.min_rows), frames)
        self.shelf.keep(inputs, bundle)
        self.tell(f"{on}: {bundle.sha256[:12]}, learnt from {bundle.rows_trained:,} rows")
        return bundle


def inputs_of(digests: Mapping[str, str], split: Split, told: Mapping[str, Any]) -> str:
    """SHA-256 of all that a model depends on.

    Args:
        digests: feature partition -> SHA-256 of its content.
        split: how its rows are divided.
        told: JSON-able, the rest.
    """
    record = {"partitions": dict(digests), "split": split.to_json(), "told": dict(told)}
    return hashlib.sha256(json.dumps(record, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def training_set_of(bundle: Bundle) -> Manifest:
    """The training set that a bundle was made from."""
    return Manifest.from_json(bundle.facts["training"])


def _is_of(bundle: Bundle, digests: Mapping[str, str], split: Split) -> bool:
    """Whether a bundle was trained on these partitions: an index that was changed may name any other."""
    made = training_set_of(bundle)
    return dict(made.partitions) == dict(digests) and made.split.to_json() == split.to_json()
