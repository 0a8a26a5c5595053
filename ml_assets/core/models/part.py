"""A model inside a model: with vocabularies of its own, and its files under a prefix.

What puts models together is in `ensemble` and `segmented`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import polars as pl

from ml_assets.core.encoding import FeatureSpec, Floats
from ml_assets.core.models.fit import Fit
from ml_assets.core.models.fitted import FittedModel


@dataclass(frozen=True, eq=False)
class Part:
    """A model and the vocabularies it was fitted with.

    Args:
        model: what scores.
        vocabularies: category feature -> categories in the order of their codes.
    """

    model: FittedModel
    vocabularies: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, fit: Fit) -> Self:
        """A fitted model as a part."""
        return cls(fit.model, {s.name: s.vocabulary for s in fit.specs if s.kind == "category"})

    def scores(self, frame: pl.DataFrame, specs: Sequence[FeatureSpec], *, threads: int) -> Floats:
        """Predictions of rows as the whole is given them; see `FittedModel.scores`."""
        return self.model.scores(frame, self.own(specs), threads=threads)

    def own(self, specs: Sequence[FeatureSpec]) -> tuple[FeatureSpec, ...]:
        """The whole's features with the part's vocabularies."""
        return tuple(
            FeatureSpec(s.name, s.kind, s.unit, self.vocabularies.get(s.name, s.vocabulary), s.history) for s in specs
        )

    def facts(self) -> dict[str, Any]:
        """The model's facts and the vocabularies."""
        return {"model": self.model.facts(), "vocabularies": {n: list(v) for n, v in self.vocabularies.items()}}

    def files(self, prefix: str) -> dict[str, bytes]:
        """The model's files, each as `<prefix>.<name>`."""
        return {f"{prefix}.{name}": content for name, content in self.model.files().items()}

    @classmethod
    def read(cls, facts: Mapping[str, Any], files: Mapping[str, bytes], prefix: str) -> Self:
        """Read what `facts` and `files` gave."""
        from ml_assets.core.models.kinds import read_model

        start = f"{prefix}."
        own = {name.removeprefix(start): content for name, content in files.items() if name.startswith(start)}
        return cls(read_model(facts["model"], own), {n: tuple(v) for n, v in facts["vocabularies"].items()})
