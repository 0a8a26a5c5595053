"""What fitting a model gives, whatever its kind."""

from collections.abc import Callable
from dataclasses import dataclass

from ml_assets.core.encoding import FeatureSpec
from ml_assets.core.models.fitted import FittedModel

OnIteration = Callable[[int, int, float], None]
"""Called after each iteration with its number from 1, the most there can be, and the validation loss (NaN if none)."""


@dataclass(frozen=True)
class Fit:
    """A fitted model, and how its fitting went.

    Args:
        model: what scores.
        specs: the features with their vocabularies, in the order of the model's input.
        importances: feature or target encoding -> its share in what the model says; they sum to 1.
        loss: name of the loss in the curves.
        train_curve: loss on the training rows after each iteration; one value where nothing is iterated.
        validation_curve: loss on the validation rows likewise; empty without validation rows.
        best_iteration: iterations that the model holds, 1 where nothing is iterated.
    """

    model: FittedModel
    specs: tuple[FeatureSpec, ...]
    importances: dict[str, float]
    loss: str
    train_curve: tuple[float, ...]
    validation_curve: tuple[float, ...]
    best_iteration: int

    @property
    def validation_loss(self) -> float | None:
        """The loss on the validation rows of what the model holds; None without validation rows."""
        curve = self.validation_curve
        return curve[min(self.best_iteration, len(curve)) - 1] if curve else None
