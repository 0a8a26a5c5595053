"""What every fitted model can do, whatever its kind: score a frame, and become facts and files."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import polars as pl

from ml_assets.core.encoding import FeatureSpec, Floats


class FittedModel(ABC):
    """A model that has learnt.

    Its facts are JSON-able, free of times and places, and name the files they need; facts and files together
    give the same model back, which gives the same scores to the bit.
    """

    kind: ClassVar[str]
    """Stands in the facts as `kind`, so that `kinds.read_model` finds the class."""

    @abstractmethod
    def scores(self, frame: pl.DataFrame, specs: tuple[FeatureSpec, ...], *, threads: int) -> Floats:
        """Predictions, as `tasks` says: float64 `[rows]` or `[rows, classes]`; they do not depend on `threads`.

        Args:
            frame: at least one row, with exactly the columns of `specs` (`encoding.require_fit` has been asked).
            specs: the bundle's features with their vocabularies.
            threads: how many may be used.
        """

    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """Everything about it that is not in its files, with its `kind`."""

    def files(self) -> dict[str, bytes]:
        """Name (letters, digits, `.`, `_`, `-`; no folders) -> content of the files it needs."""
        return {}

    @classmethod
    @abstractmethod
    def read(cls, facts: Mapping[str, Any], files: Mapping[str, bytes]) -> Self:
        """Read what `facts` and `files` gave. Hashes of the files have been checked."""
