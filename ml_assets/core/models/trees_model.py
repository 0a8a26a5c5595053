"""LightGBM's trees as a fitted model: they score, explain their scores, and are saved as LightGBM's own text.

How they are grown is in `trees`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import polars as pl

from ml_assets.core.encoding import FeatureSpec, Floats, encode
from ml_assets.core.models.fitted import FittedModel
from ml_assets.core.models.lightgbm_library import Trees
from ml_assets.core.target_encoding import FittedEncoding

FILE = "model.txt"


@dataclass(frozen=True, eq=False)
class TreesModel(FittedModel):
    """Trees as a model.

    Args:
        text: the trees in LightGBM's text format, without anything of the machine that grew them.
        encodings: the target encodings, which follow the features in the model's input.
    """

    kind: ClassVar[str] = "lightgbm"
    linear: ClassVar[bool] = True
    """Whether leaves hold linear models."""

    text: str
    encodings: tuple[FittedEncoding, ...] = ()

    @cached_property
    def trees(self) -> Trees:
        """The trees, in the library's memory."""
        return Trees(self.text)

    def scores(self, frame: pl.DataFrame, specs: tuple[FeatureSpec, ...], *, threads: int) -> Floats:
        """Predictions; a category it does not know counts as missing."""
        return self.trees.scores(self._matrix(frame, specs), threads=threads)

    def facts(self) -> dict[str, Any]:
        """Its file and its encodings."""
        return {
            "kind": self.kind,
            "file": FILE,
            "linear": self.linear,
            "target_encodings": [e.to_json() for e in self.encodings],
        }

    def files(self) -> dict[str, bytes]:
        """The text."""
        return {FILE: self.text.encode()}

    @classmethod
    def read(cls, facts: Mapping[str, Any], files: Mapping[str, bytes]) -> "TreesModel":
        """Read what `facts` and `files` gave."""
        encodings = tuple(FittedEncoding.from_json(e) for e in facts["target_encodings"])
        return cls.made(files[facts["file"]].decode(), encodings, linear=facts["linear"])

    @staticmethod
    def made(text: str, encodings: tuple[FittedEncoding, ...], *, linear: bool) -> "TreesModel":
        """The model of a text; with SHAP values, unless leaves hold linear models: LightGBM knows none of those."""
        return TreesModel(text, encodings) if linear else ConstantTreesModel(text, encodings)

    def _matrix(self, frame: pl.DataFrame, specs: tuple[FeatureSpec, ...]) -> Floats:
        return encode(frame, specs, self.encodings)


class ConstantTreesModel(TreesModel):
    """Trees whose leaves hold one answer each."""

    linear: ClassVar[bool] = False

    def contributions(
        self, frame: pl.DataFrame, specs: tuple[FeatureSpec, ...], *, threads: int
    ) -> tuple[tuple[str, ...], Floats]:
        """SHAP values: the names of the inputs, and `[rows, inputs]` or, of several classes, `[rows, classes, inputs]`.

        Lundberg et al. 2018, Consistent individualized feature attribution for tree ensembles, as LightGBM does it.
        """
        names = (*(s.name for s in specs), *(e.name for e in self.encodings))
        rows = self._matrix(frame, specs)
        told = self.trees.contributions(rows, threads=threads)
        by_class = told.reshape(len(rows), -1, len(names) + 1)[:, :, :-1]
        return names, by_class[:, 0] if by_class.shape[1] == 1 else by_class
