"""Several models that answer as one. How their answers are combined, is in `combination`, with which weights in
`combination_weights`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import polars as pl

from ml_assets.core.encoding import FeatureSpec, Floats
from ml_assets.core.errors import ConfigError
from ml_assets.core.models.combination import Combination, Method
from ml_assets.core.models.combination_weights import fit_weights
from ml_assets.core.models.fit import Fit
from ml_assets.core.models.fitted import FittedModel
from ml_assets.core.models.part import Part
from ml_assets.core.tasks import Task


@dataclass(frozen=True, eq=False)
class EnsembleModel(FittedModel):
    """Models that answer as one.

    Args:
        combination: how.
        members: those whose weight is not 0, by name.
    """

    kind: ClassVar[str] = "ensemble"
    combination: Combination
    members: Mapping[str, Part]

    def scores(self, frame: pl.DataFrame, specs: tuple[FeatureSpec, ...], *, threads: int) -> Floats:
        """Predictions: the members', combined."""
        return self.combination.of({n: p.scores(frame, specs, threads=threads) for n, p in self.members.items()})

    def facts(self) -> dict[str, Any]:
        """How they are combined, and the members' facts."""
        members = [{"name": name, **part.facts()} for name, part in self.members.items()]
        return {"kind": self.kind, **self.combination.to_json(), "members": members}

    def files(self) -> dict[str, bytes]:
        """The members' files, prefixed by their names and a dot."""
        return {file: content for name, part in self.members.items() for file, content in part.files(name).items()}

    @classmethod
    def read(cls, facts: Mapping[str, Any], files: Mapping[str, bytes]) -> Self:
        """Read what `facts` and `files` gave."""
        members = {member["name"]: Part.read(member, files, member["name"]) for member in facts["members"]}
        return cls(Combination.from_json(facts), members)


def fit_ensemble(
    members: Mapping[str, Fit],
    out_of_fold: Mapping[str, Floats],
    label: Floats,
    *,
    method: Method,
    task: Task,
    metric: str,
    alpha: float | None = None,
) -> Fit:
    """An ensemble of fitted models.

    Its curves hold one value, the deciding metric out of fold; its importances are the members', by weight.

    Args:
        members: fitted on all rows, by name.
        out_of_fold: what the same models say of rows that they did not learn from, see `learning.out_of_fold`.
        label: of these rows.
        method, task, metric, alpha: see `combination_weights.fit_weights`.

    Raises:
        ConfigError: members differ from those that predicted, or in their features, or can't be combined.
        ContractError: predictions are not what the task's are.
    """
    fits = list(members.values())
    features = [[(s.name, s.kind) for s in fit.specs] for fit in fits]
    wrong = [f"the name {name!r}" for name in members if not re.fullmatch(r"[A-Za-z0-9_-]+", name)]
    wrong += [f"{name} has no predictions" for name in members if name not in out_of_fold]
    wrong += [f"{name} predicts and is no member" for name in out_of_fold if name not in members]
    wrong += [f"{name} has other features" for name, own in zip(members, features, strict=True) if own != features[0]]
    if wrong:
        raise ConfigError(
            "ensemble",
            found=wrong,
            expected="members of the same features, all with predictions, named by letters, digits, _ and -",
            cure="train all members on the pipeline's features, and predict with the same",
        )
    combination = fit_weights(out_of_fold, label, method=method, task=task, metric=metric, alpha=alpha)
    chosen = {name: weight for name, weight in combination.weights.items() if weight > 0}
    total = sum(chosen.values())
    importances: dict[str, float] = {}
    for name, weight in chosen.items():
        for feature, share in members[name].importances.items():
            importances[feature] = importances.get(feature, 0.0) + share * weight / total
    # Each member reads categories by its own vocabulary; the ensemble knows those that any of them knows most of.
    specs = tuple(
        replace(own[0], vocabulary=max((s.vocabulary for s in own), key=len))
        for own in zip(*(fit.specs for fit in fits), strict=True)
    )
    model = EnsembleModel(combination, {name: Part.of(members[name]) for name in chosen})
    loss = (combination.together,)
    return Fit(model, specs, importances, metric, loss, loss, 1)
