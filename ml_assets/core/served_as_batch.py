"""Whether the batch path gives the answers that were served: to the bit, or the feature by which they differ.

Two questions. From the features as they were used, does the bundle predict the same? It must: it is the same code. And
were those features what the data side computes for the same event? Where a natural key says which one that is; history
may have come later to one side than to the other, so that is told, feature by feature.
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from ml_assets.core.bundle import Bundle
from ml_assets.core.encoding import FeatureSpec
from ml_assets.core.features import ROW_NUMBER
from ml_assets.core.models.trees_model import TreesModel
from ml_assets.core.prediction_log import ANSWERED, SHADOW
from ml_assets.core.served import feature_frame

SAMPLE = 1000
"""Requests of a bundle that are predicted once more."""
EXPLAINED = 3
"""Differing requests whose feature is looked for."""
MISSING = "missing"


@dataclass(frozen=True)
class Difference:
    """A request that the batch path answers differently.

    Args:
        request_id, row, bundle: which.
        served, batch: the predictions.
        feature: the one that alone explains it; None where none does, or it was not looked for.
        used: its value in the log.
        instead: a value with which the batch path gives the answer that was served.
    """

    request_id: str
    row: int
    bundle: str
    served: float | list[float]
    batch: float | list[float]
    feature: str | None = None
    used: Any = None
    instead: Any = None

    @property
    def words(self) -> str:
        """What differs, in a sentence."""
        told = f"request {self.request_id}, row {self.row}: served {self.served}, the batch path gives {self.batch}"
        if self.feature is None:
            return f"{told}; no other value of a single feature explains it: the model or its code is another"
        return f"{told}; it was served as with {self.feature} = {self.instead}, and {self.used} is in the log"


def sampled(rows: pl.DataFrame, sample: int, seed: int) -> pl.DataFrame:
    """Up to `sample` of the requests that a bundle scored, whatever their order: the same ones for the same seed."""
    scored = rows.filter(pl.col("role").is_in([ANSWERED, SHADOW]) & pl.col("prediction").is_not_null())
    ordered = scored.sort("request_id", "row", "at", "role", maintain_order=True)
    chosen = np.sort(np.random.default_rng(seed).permutation(ordered.height)[:sample])
    return ordered[chosen]


def differences(rows: pl.DataFrame, bundle: Bundle, *, threads: int = 1) -> list[Difference]:
    """Where a bundle does not predict, to the bit, what the log says it answered; the first ones with their feature.

    Args:
        rows: rows of the log that this bundle scored.
        bundle: it.
        threads: how many may be used.
    """
    if rows.is_empty():
        return []
    frame = feature_frame(rows, bundle.specs)
    again = _listed(bundle.predict(frame, threads=threads))
    served = rows["prediction"].to_list()
    differing = [i for i, (s, b) in enumerate(zip(served, again, strict=True)) if _bits(s) != _bits(b)]
    found = []
    for n, i in enumerate(differing):
        why = _explained(bundle, frame, i, served[i], threads) if n < EXPLAINED else None
        feature, used, instead = why or (None, None, None)
        where = rows["request_id"][i], int(rows["row"][i]), bundle.sha256
        found.append(Difference(*where, _plain(served[i]), _plain(again[i]), feature, used, instead))
    return found


def _explained(
    bundle: Bundle, frame: pl.DataFrame, at: int, served: list[float], threads: int
) -> tuple[str, Any, Any] | None:
    """Feature, its value, and the value with which the bundle gives what was served; a missing one is tried first."""
    row = frame[at]
    thresholds = _thresholds(bundle)
    for spec in bundle.specs:
        used = row[spec.name][0]
        others: pl.Series = pl.Series(spec.vocabulary, dtype=spec.dtype)
        if spec.kind == "number":
            others = _between(thresholds[spec.name]) if spec.name in thresholds else frame[spec.name].drop_nulls()
        values = pl.concat([pl.Series([None], dtype=spec.dtype), others.unique().sort()]).alias(spec.name)
        values = values.filter(values.ne_missing(pl.Series([used], dtype=spec.dtype)))
        tried = pl.concat([row] * values.len()).with_columns(values) if values.len() else frame.clear()
        for value, got in zip(values, _listed(bundle.predict(tried, threads=threads)), strict=True):
            if _bits(got) == _bits(served):
                return spec.name, MISSING if used is None else used, MISSING if value is None else value
    return None


def _thresholds(bundle: Bundle) -> dict[str, list[float]]:
    """Number -> where trees split it: between two of these, all values are one; empty of other models."""
    model = bundle.facts["model"]
    if model["kind"] != TreesModel.kind:
        return {}
    names = [s.name for s in bundle.specs]
    splits: dict[str, list[float]] = {s.name: [] for s in bundle.specs if s.kind == "number"}
    at: list[int] = []
    for line in bundle.files[model["file"]].decode().splitlines():
        key, _, told = line.partition("=")
        if key == "split_feature":
            at = [int(n) for n in told.split()]
        elif key == "threshold":
            for feature, threshold in zip(at, told.split(), strict=True):
                if feature < len(names) and names[feature] in splits:
                    splits[names[feature]].append(float(threshold))
    return splits


def _between(thresholds: Sequence[float]) -> pl.Series:
    """A value below all, between each two, and above all; a threshold itself belongs to what is below it."""
    ordered = np.unique(np.asarray(thresholds, dtype=np.float64))
    above = [np.nextafter(ordered[-1], np.inf)] if len(ordered) else []
    return pl.Series([*ordered, *above], dtype=pl.Float64)


def _listed(predictions: Any) -> list[list[float]]:
    told = predictions.tolist()
    return told if predictions.ndim == 2 else [[p] for p in told]


def _bits(values: Sequence[float]) -> bytes:
    return struct.pack(f"{len(values)}d", *values)


def _plain(values: list[float]) -> float | list[float]:
    return values[0] if len(values) == 1 else values


@dataclass(frozen=True)
class Skew:
    """How a feature differs between serving and the data side.

    Args:
        feature: which.
        rows: how many requests differ.
        of: among how many.
        request_id: the first one that differs.
        served, batch: its values.
    """

    feature: str
    rows: int
    of: int
    request_id: str
    served: Any
    batch: Any

    @property
    def words(self) -> str:
        """What differs, in a sentence."""
        example = f"request {self.request_id} was served with {self.served}, the data side has {self.batch}"
        return f"{self.feature} differs in {self.rows} of {self.of} requests: {example}"


def skews(rows: pl.DataFrame, features: pl.DataFrame, specs: Sequence[FeatureSpec]) -> list[Skew]:
    """The features that were served other than the data side has them, the most frequent first.

    Args:
        rows: rows of the log that one bundle scored, with `row_number` of the features table's row of the same event;
            null where that is not known.
        features: the features table.
        specs: the bundle's features.
    """
    known = rows.filter(pl.col(ROW_NUMBER).is_not_null())
    asked = [s for s in specs if s.name in features.columns]
    batch = known.select(ROW_NUMBER).join(
        features.select(ROW_NUMBER, *(s.name for s in asked)), on=ROW_NUMBER, how="inner", maintain_order="left"
    )
    known = known.join(batch.select(ROW_NUMBER).unique(), on=ROW_NUMBER, how="semi", maintain_order="left")
    if known.is_empty():
        return []
    served = feature_frame(known, specs)
    return sorted(_skews(known["request_id"], served, batch, asked), key=lambda s: -s.rows)


def _skews(ids: pl.Series, served: pl.DataFrame, batch: pl.DataFrame, specs: Sequence[FeatureSpec]) -> Iterator[Skew]:
    for spec in specs:
        differing = served[spec.name].ne_missing(batch[spec.name]).arg_true()
        if differing.len():
            first = int(differing[0])
            values = served[spec.name][first], batch[spec.name][first]
            yield Skew(spec.name, differing.len(), served.height, ids[first], *values)
