"""Group `monitoring`: scores."""

import dagster as dg

from ml_assets.problem import Pipeline


def performance(pipeline: Pipeline) -> dg.AssetsDefinition:
    @dg.asset(
        key=pipeline.key("performance"),
        partitions_def=pipeline.table.partitions,
        deps=[pipeline.key("predictions")],
    )
    def e(): ...

    return e
