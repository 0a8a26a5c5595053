"""Group `serving`: the champion's scores."""

from typing import Any

import dagster as dg

from ml_assets.assets.automation import follows_its_inputs_and
from ml_assets.assets.frames import LazyFrame
from ml_assets.assets.metadata import frame_preview, made_from, table_output
from ml_assets.attributing import replaced_champion
from ml_assets.core.releases import champion_for, champions
from ml_assets.problem import Pipeline
from ml_assets.resources.ledger import Ledger
from ml_assets.resources.models import Models
from ml_assets.resources.storage import Store

NO_CHAMPION = "none: no release had learnt from nothing later than this partition's start"


def predictions(pipeline: Pipeline) -> dg.AssetsDefinition:
    """`<p>/predictions`: scores of a partition by the champion that had learnt from nothing later."""

    @dg.asset(
        key=pipeline.key("predictions"),
        ins={"features": dg.AssetIn(key=pipeline.key("features"))},
        deps=[pipeline.key("champion")],
        description="Scores by the champion that had learnt from nothing later, beside the first champion's, the naive "
        "baseline's and, for some partitions, those of the champion that it replaced; empty before the first release.",
        group_name="serving",
        kinds={"lightgbm", "polars"},
        partitions_def=pipeline.table.partitions,
        automation_condition=follows_its_inputs_and(pipeline.key("champion")),
    )
    def predictions_partition(
        context: dg.AssetExecutionContext, store: Store, models: Models, ledger: Ledger, features: LazyFrame
    ) -> dg.Output[Any]:
        from ml_assets.core.scoring import no_scores, score

        events = ledger.events(pipeline.name)
        window = pipeline.table.window(context.partition_key)
        source = made_from(store, {pipeline.key("features"): [window.key]})
        champion, replaced = champion_for(events, window.start), replaced_champion(pipeline, events, window)
        if champion is None:
            label = pipeline.config.label
            [staged] = store.stage(no_scores(label.task, len(label.classes) or 1).lazy())
            return table_output(staged, {"champion": NO_CHAMPION, **source})
        scores = score(
            features.collect(engine="streaming"),
            champion=models.load(champion.bundle),
            first=models.load(champions(events)[0].bundle),
            replaced=models.load(replaced.bundle) if replaced else None,
            threads=pipeline.config.model.threads,
        )
        [staged] = store.stage(scores.lazy())
        shown = {"bundle": champion.bundle, "as_of": champion.as_of, "sample": frame_preview(scores.lazy())}
        beside = {"replaced": replaced.bundle} if replaced else {}
        return table_output(staged, shown | beside | source)

    return predictions_partition
