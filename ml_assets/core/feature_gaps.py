"""How a model's features look on the holdout beside the rows it learnt from: missing values, unknown categories.

Drift of whole distributions is another matter; what is made of the gaps is in `checklist`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from ml_assets.core.encoding import FeatureSpec
from ml_assets.core.features import LABEL
from ml_assets.core.measures import Floats
from ml_assets.core.metrics import losses

SAMPLE = 20_000


@dataclass(frozen=True)
class FeatureGaps:
    """Shares of rows, 0 to 1.

    Args:
        missing: feature -> share of rows without a value: of the rows learnt from, and of the holdout.
        unknown: category feature -> share of the holdout's rows with a category that the model does not know.
    """

    missing: Mapping[str, tuple[float, float]]
    unknown: Mapping[str, float]


def gaps_of(
    learnt: pl.DataFrame | pl.LazyFrame, holdout: pl.DataFrame | pl.LazyFrame, specs: Sequence[FeatureSpec]
) -> FeatureGaps:
    """Compare the features of two parts; each is read once.

    Args:
        learnt: rows learnt from, at least one.
        holdout: rows that judge, at least one.
        specs: the model's features.
    """
    shares = [pl.col(s.name).is_null().mean() for s in specs]
    unknown = {
        s.name: (~pl.col(s.name).is_in(list(s.vocabulary))).fill_null(value=False).mean()
        for s in specs
        if s.kind == "category"
    }
    before = learnt.lazy().select(shares).collect(engine="streaming").row(0)
    told = [share.alias(f"missing {i}") for i, share in enumerate(shares)] + [
        share.alias(f"unknown {name}") for name, share in unknown.items()
    ]
    after = holdout.lazy().select(told).collect(engine="streaming").row(0)
    pairs = zip(before, after[: len(specs)], strict=True)
    return FeatureGaps(
        missing={s.name: (float(b), float(a)) for s, (b, a) in zip(specs, pairs, strict=True)},
        unknown=dict(zip(unknown, map(float, after[len(specs) :]), strict=True)),
    )


def mean_losses(
    scores: Callable[[pl.DataFrame], Floats],
    parts: Mapping[str, pl.DataFrame],
    *,
    metric: str,
    alpha: float | None = None,
    seed: int = 0,
) -> dict[str, float]:
    """Part -> the mean deciding loss on `SAMPLE` random rows of it at most.

    Args:
        scores: rows of a part -> their predictions.
        parts: part -> its rows, with `label`.
        metric, alpha: the deciding loss.
        seed: of the samples.
    """
    found = {}
    for part, rows in parts.items():
        chosen = np.sort(np.random.default_rng(seed).permutation(rows.height)[:SAMPLE])
        some = rows[chosen]
        label = some[LABEL].cast(pl.Float64).to_numpy()
        found[part] = float(losses(metric, label, scores(some), alpha=alpha).mean())
    return found
