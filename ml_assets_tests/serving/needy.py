"""A candidate that needs a feature which the champion does without: where it is left out it fails, and no client."""

import polars as pl

from ml_assets.core.bundle import Bundle
from ml_assets.core.features import Feature
from ml_assets_tests.core.test_bundle import FEATURES, PARAMS, TRAIN, VALIDATION, made
from ml_assets_tests.serving.running import ROW

NEEDED = "fare"
WITH_FARE = {**ROW, NEEDED: 12.5}


def needy(pipeline: str, seed: int = 7) -> Bundle:
    """A model of the usual features and one more, which follows the miles."""
    fare = pl.col("miles").fill_null(1.0) * 3 + pl.col("hour") / 24
    features = [*FEATURES, Feature(NEEDED, pl.col(NEEDED), kind="number", unit="dollars")]
    train, validation = (frame.with_columns(fare.alias(NEEDED)) for frame in (TRAIN, VALIDATION))
    return made(seed=seed, train=train, validation=validation, params=PARAMS, features=features, pipeline=pipeline)
