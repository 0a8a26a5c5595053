"""Group `evaluation`: candidate, champion and naive baseline on the same rows, which no model has seen."""

import dagster as dg

from ml_assets.problem import Pipeline


def evaluation(pipeline: Pipeline) -> dg.AssetsDefinition:
    @dg.asset(
        key=pipeline.key("evaluation"),
        partitions_def=pipeline.table.partitions,
        deps=[pipeline.key("candidate")],
    )
    def e(): ...

    return e
