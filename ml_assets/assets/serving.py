"""Group `serving`: scores."""

import dagster as dg

from ml_assets.problem import Pipeline


def predictions(pipeline: Pipeline) -> dg.AssetsDefinition:
    @dg.asset(
        key=pipeline.key("predictions"),
        partitions_def=pipeline.table.partitions,
        deps=[pipeline.key("features")],
    )
    def e(): ...

    return e
