"""Bundles of several models become the bundle of their ensemble; weights are found in `models.combination`."""

from collections.abc import Mapping

import polars as pl

from ml_assets.core.bundle import Bundle
from ml_assets.core.features import LABEL
from ml_assets.core.folds import refit_rows, rows_before_holdout
from ml_assets.core.learning import arrays
from ml_assets.core.manifest import Manifest
from ml_assets.core.models.combination import Combination, Method
from ml_assets.core.models.ensemble import fit_ensemble
from ml_assets.core.models.fit import Fit
from ml_assets.core.models.spec import ModelSpec


def combine(
    members: Mapping[str, Bundle],
    specs: Mapping[str, ModelSpec],
    out_of_fold: pl.DataFrame,
    *,
    method: Method,
    metric: str,
    manifest: Manifest,
    history: Mapping[str, pl.LazyFrame],
) -> tuple[Bundle, Combination, pl.DataFrame]:
    """The ensemble of trained models.

    Args:
        members: name -> its bundle, all as of the same training set.
        specs: name -> what `defs.yaml` says of it.
        out_of_fold: what `learning.out_of_fold` gave, a column per member.
        method: how their answers are combined.
        metric: the metric that decides.
        manifest: the training set.
        history: feature partition -> its features table.

    Returns:
        The bundle, how its members are combined, and the rows they learnt from at most.
    """
    first = next(iter(members.values()))
    spec = next(iter(specs.values()))
    fit = fit_ensemble(
        {name: _fit_of(bundle) for name, bundle in members.items()},
        arrays(out_of_fold, list(members)),
        out_of_fold[LABEL].to_numpy(),
        method=method,
        task=spec.task,
        metric=metric,
        alpha=spec.alpha,
    )
    rows, until = refit_rows(rows_before_holdout(history, manifest.split), manifest.split)
    learning = {name: bundle.facts["learning"] for name, bundle in members.items()}
    tuning = {n: told for bundle in members.values() for n, told in (bundle.facts["tuning"] or {}).items()}
    bundle = Bundle.of(
        fit,
        pipeline=str(first.facts["pipeline"]),
        label=first.facts["label"],
        spec=list(specs.values()),
        seed=int(first.facts["seed"]),
        manifest=manifest,
        train=rows,
        learning={"rows": rows.height, "until": until.isoformat(), "members": learning},
        tuning=tuning or None,
    )
    return bundle, Combination.from_json(fit.model.facts()), rows


def _fit_of(bundle: Bundle) -> Fit:
    facts = bundle.facts
    return Fit(bundle.model, bundle.specs, dict(facts["importances"]), "", (), (), int(facts["iterations"]))
