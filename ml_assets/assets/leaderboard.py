"""Group `evaluation`: who is best on the holdout, as a small table. How good each is, is measured in `evaluation`."""

from typing import Any

import dagster as dg

from ml_assets.assets.typed_tables import CLASSIFIERS, CONTENDERS, LEADERBOARD
from ml_assets.problem import Pipeline
from ml_assets.resources.tables import SCHEMA


def leaderboard(pipeline: Pipeline) -> dg.AssetsDefinition:
    """`<p>/leaderboard`: one row per contender, best first."""
    metric = pipeline.config.metric
    table = LEADERBOARD if pipeline.config.label.task == "regression" else CLASSIFIERS

    @dg.asset(
        key=pipeline.key("leaderboard"),
        ins={"evaluation": dg.AssetIn(key=pipeline.key("evaluation"))},
        description=f"Candidate, champion and baselines of {pipeline.name}, ranked by {metric} on the holdout.",
        group_name="evaluation",
        kinds={"pandas"},
        partitions_def=pipeline.table.partitions,
        dagster_type=table.dagster_type,
        metadata={SCHEMA: table.schema()},
        io_manager_key="tables",
    )
    def leaderboard_as_of(evaluation: dict[str, Any]) -> dg.Output[Any]:
        rows = ranked(evaluation, metric)
        shown = {"ranked_by": metric, "best": rows[0]["contender"], "bundle": evaluation["bundle"]}
        return table.output(table.frame(rows), shown, unit=pipeline.label_unit)

    return leaderboard_as_of


def ranked(evaluation: dict[str, Any], metric: str) -> list[dict[str, Any]]:
    """The contenders of an evaluation record as rows of a leaderboard, the least of `metric` first."""
    metrics: dict[str, dict[str, float]] = evaluation["metrics"]
    order = sorted((who for who in CONTENDERS if who in metrics), key=lambda who: metrics[who][metric])
    rows = evaluation["rows"]
    return [{"rank": i, "contender": who, **metrics[who], "rows": rows} for i, who in enumerate(order, start=1)]
