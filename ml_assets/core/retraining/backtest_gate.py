"""The promotion gate of a backtest: the same evaluation on the same holdout, the same decision, and what it promises.

How contenders are compared is in `evaluation`, how that is decided on in `promotion`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from ml_assets.core.baselines import fit_baselines
from ml_assets.core.bootstrap import Resamples, interval
from ml_assets.core.bundle import Bundle
from ml_assets.core.classification_metrics import Costs
from ml_assets.core.evaluation import evaluate, evaluation_record
from ml_assets.core.features import LABEL
from ml_assets.core.metrics import measures_of
from ml_assets.core.policy import Policy
from ml_assets.core.promises import Promise
from ml_assets.core.promotion import Verdict, decide
from ml_assets.core.releases import Champion
from ml_assets.core.retraining.backtest import Decided, Ruling
from ml_assets.core.retraining.backtest_models import training_set_of
from ml_assets.core.scoring import contenders_on

OUTCOMES: dict[Verdict, Decided] = {"promote": "promoted", "reject": "rejected", "undecided": "undecided"}


@dataclass(frozen=True)
class Gate:
    """How candidates of a pipeline are decided on.

    Args:
        bundle: SHA-256 -> the bundle.
        frames: feature partition -> its features table.
        policy: what a candidate must reach.
        slices: kept columns of which none may be ruined.
        costs: of wrong answers.
        by: columns that make the key of naive baselines.
        alpha: the quantile that is predicted.
        seed, threads: of the evaluation.
    """

    bundle: Callable[[str], Bundle]
    frames: Mapping[str, pl.LazyFrame]
    policy: Policy
    slices: Sequence[str] = ()
    costs: Costs | None = None
    by: Sequence[str] = ()
    alpha: float | None = None
    seed: int = 0
    threads: int = 1

    def decide(self, live: str | None, candidate: str) -> Ruling:
        """Whether a candidate is released in place of the live model, or as the first.

        Linear baselines, feature gaps and explanations, which inform and decide nothing, are left out.

        Args:
            live: SHA-256 of the live bundle; None before the first release.
            candidate: of the candidate.
        """
        bundle = self.bundle(candidate)
        manifest, metric = training_set_of(bundle), self.policy.metric
        rows = {part: manifest.rows(self.frames, part) for part in ("train", "validation", "holdout")}
        now = None if live is None else self.bundle(live)
        learnt = now is not None and not manifest.split.may_judge(training_set_of(now).split)
        contenders = contenders_on(
            rows["holdout"], candidate=bundle, champion=None if learnt else now, threads=self.threads
        )
        told: dict[str, Any] = {"task": bundle.task, "metric": metric, "alpha": self.alpha, "seed": self.seed}
        baselines = fit_baselines(rows["train"], rows["validation"], classes=max(2, bundle.classes), by=self.by, **told)
        contenders |= {who: baseline.scores(rows["holdout"]) for who, baseline in baselines.items()}
        evaluation = evaluate(rows["holdout"], contenders, slices=self.slices, costs=self.costs, **told)
        champion = None if now is None else champion_of(now)
        record = evaluation_record(
            evaluation, bundle, manifest, unit="", champion=champion, champion_learnt_holdout=learnt
        )
        decision = decide(record, self.policy, champion)
        return Ruling(OUTCOMES[decision.verdict], "; ".join(decision.reasons))

    def promise(self, sha256: str) -> Promise:
        """What a decision promises of a bundle: its metric on its holdout, with interval."""
        bundle = self.bundle(sha256)
        holdout = training_set_of(bundle).rows(self.frames, "holdout")
        scores = bundle.predict(bundle.feature_frame(holdout), threads=self.threads)
        label = holdout[LABEL].cast(pl.Float64).to_numpy()
        measures = measures_of(bundle.task, label, scores, alpha=self.alpha, costs=self.costs)
        measure = measures[self.policy.metric]
        found = interval(measure.value(), Resamples(holdout.height, self.seed).values(measure), measure)
        low, high = (None, None) if found is None else (found.low, found.high)
        return Promise(self.policy.metric, measure.value(), low, high)


def champion_of(bundle: Bundle) -> Champion:
    """A bundle as the champion that a decision is about."""
    as_of_end = training_set_of(bundle).split.as_of
    return Champion(bundle.sha256, bundle.as_of, as_of_end, as_of_end, sequence=1)
