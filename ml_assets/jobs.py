"""The jobs of a table and of a pipeline: which assets are asked for together."""

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from ml_assets.problem import TABLE_NOUNS, Pipeline, Table

DATA_SIDE = ("features", "predictions", "performance", "drift")


def ingest_name(table: Table) -> str:
    """The name of the job that ingests."""
    return f"{table.name}_ingest"


def ingest(table: Table) -> UnresolvedAssetJobDefinition:
    """Read a partition from the source and validate it."""
    return dg.define_asset_job(
        ingest_name(table),
        selection=dg.AssetSelection.assets(*(table.key(noun) for noun in TABLE_NOUNS)),
        description=f"Reads a partition of {table.name} from its source and validates it.",
    )


def describe(table: Table) -> UnresolvedAssetJobDefinition:
    """Write the data dictionary."""
    return dg.define_asset_job(
        f"{table.name}_dictionary",
        selection=dg.AssetSelection.assets(table.key("dictionary")),
        description=f"Writes the data dictionary of {table.name} from its schema.",
    )


def follow(pipeline: Pipeline) -> UnresolvedAssetJobDefinition:
    """Take a partition through the whole data side: read, validate, featurise, score, measure, judge."""
    return dg.define_asset_job(
        f"{pipeline.name}_follow",
        selection=dg.AssetSelection.assets(*(pipeline.key(noun) for noun in (*TABLE_NOUNS, *DATA_SIDE))),
        description=f"Takes a partition from the source to the scores, the error and the drift of {pipeline.name}.",
    )


def train(pipeline: Pipeline) -> UnresolvedAssetJobDefinition:
    """Train as of a partition, evaluate, and release what may be released."""
    return dg.define_asset_job(
        f"{pipeline.name}_train",
        selection=dg.AssetSelection.assets(*(pipeline.key(noun) for noun in pipeline.training_side)),
        description=f"Trains {pipeline.name} as of the end of a partition, evaluates the candidate, decides on it and "
        "releases what may be released.",
    )


def backtest(pipeline: Pipeline) -> UnresolvedAssetJobDefinition:
    """Replay the recorded history under several retraining policies."""
    return dg.define_asset_job(
        f"{pipeline.name}_backtest",
        selection=dg.AssetSelection.assets(pipeline.key("retraining_backtest")),
        description=f"Replays the recorded history of {pipeline.name} under several retraining policies, with real "
        "trainings, and says which one to take.",
    )
