"""What a pipeline is answered with: loaded models, and the routing between them, as of one event of its ledger.

Nothing in here changes; how one picture takes the place of another is in `data_plane`, how it is made in `watching`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from ml_assets.core.errors import MLAssetsError
from ml_assets.core.models.row_values import Columns, row_in_order
from ml_assets.core.routing import Routing

if TYPE_CHECKING:
    from ml_assets.core.bundle import Bundle
    from ml_assets.core.encoding import FeatureSpec
    from ml_assets.core.models.single_row import Predictions, Scorer


@dataclass(frozen=True, eq=False)
class ServedModel:
    """A loaded bundle.

    Args:
        pipeline: whose.
        scorer: its rows' scores.
    """

    pipeline: str
    scorer: "Scorer"

    @property
    def bundle(self) -> "Bundle":
        """The bundle."""
        return self.scorer.bundle

    @property
    def specs(self) -> "tuple[FeatureSpec, ...]":
        """Its features, in order."""
        return self.bundle.specs

    @cached_property
    def version(self) -> str:
        """Its SHA-256."""
        return self.bundle.sha256

    @cached_property
    def several(self) -> bool:
        """Whether a prediction is several numbers, one per class."""
        return self.bundle.classes > 1

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names of its features, in order."""
        return tuple(s.name for s in self.specs)

    def predict(self, columns: Columns, rows: int) -> "Predictions":
        """Scores; see `core.models.single_row.Scorer.scores`."""
        return self.scorer.scores(columns, rows)

    def predict_each(self, rows: "Sequence[Columns]") -> "list[Predictions]":
        """Scores of single rows; see `core.models.single_row.Scorer.scores_each`."""
        return self.scorer.scores_each(rows)

    def answers(self) -> bool:
        """Whether the first of the golden rows scores as when the bundle was made; a look, for who asks often."""
        golden = self.bundle.facts["golden"]
        if not golden["rows"]:
            return True
        columns = {s.name: [golden["rows"][0][at]] for at, s in enumerate(self.specs)}
        try:
            return bool(self.predict(columns, 1)[0] == golden["scores"][0])
        except MLAssetsError:
            return False


@dataclass(frozen=True, eq=False)
class Picture:
    """What a pipeline is answered with, as of one event of its ledger.

    Args:
        routing: who answers whom.
        models: SHA-256 -> loaded bundle; all that `routing` names.
        sequence: the last event of the ledger that it rests on.
    """

    routing: Routing
    models: Mapping[str, ServedModel]
    sequence: int
    known: frozenset[str] = field(init=False)
    """Features that any of the models has."""
    shadows: tuple[ServedModel, ...] = field(init=False)
    is_alone: bool = field(init=False)
    """Whether nobody but the champion scores."""
    one_answers: bool = field(init=False)
    """Whether one model answers everybody, whoever is scored beside."""

    def __post_init__(self) -> None:
        known = frozenset(s.name for m in self.models.values() for s in m.specs)
        object.__setattr__(self, "known", known)
        object.__setattr__(self, "shadows", tuple(self.models[s] for s in self.routing.shadows))
        object.__setattr__(self, "is_alone", len(self.routing.arms) == 1 and not self.shadows)
        object.__setattr__(self, "one_answers", sum(arm.weight > 0 for arm in self.routing.arms) == 1)

    def knows(self, columns: Columns) -> bool:
        """Whether all columns are features of one of its models."""
        return row_in_order(columns, self.champion.names) is not None or (
            len(columns) <= len(self.known) and self.known.issuperset(columns)
        )

    @property
    def champion(self) -> ServedModel:
        """The model that answers by default."""
        return self.models[self.routing.champion]
