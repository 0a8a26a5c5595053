"""What moves a rollout on: a sensor that looks at the prediction log; what follows is decided in `core.rollout`.

A server's breaker goes back at once and without it, see `serving.breaker`.
"""

import dagster as dg

from ml_assets.assets.rollout_log import seen_of
from ml_assets.config.rollout import Rollout
from ml_assets.core.errors import LedgerConflict
from ml_assets.problem import Pipeline
from ml_assets.releasing import ReleaseDesk
from ml_assets.resources.clock import Clock
from ml_assets.resources.ledger import Ledger
from ml_assets.resources.models import Models
from ml_assets.resources.prediction_log import PredictionLogs
from ml_assets.resources.storage import Store
from ml_assets.rolling_out import Observe, RolloutDesk


def rollout_sensor(pipeline: Pipeline, told: Rollout) -> dg.SensorDefinition:
    """`<p>_rollout`: looks at the open rollout, moves it on, ends it; asks for the assets that show it."""

    @dg.sensor(
        name=f"{pipeline.name}_rollout",
        target=dg.AssetSelection.assets(pipeline.key("rollout"), pipeline.key("champion")),
        description="Moves the rollout on by what the prediction log tells: next step, release, or back to the "
        "champion; each with its reasons in the ledger.",
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=told.check_every_seconds,
    )
    def look(
        context: dg.SensorEvaluationContext,
        store: Store,
        models: Models,
        ledger: Ledger,
        clock: Clock,
        prediction_logs: PredictionLogs,
    ) -> dg.SensorResult | dg.SkipReason:
        desk = RolloutDesk(ReleaseDesk(pipeline, store, models, ledger))
        return looked(desk, lambda r: seen_of(pipeline, r, store, models, prediction_logs), clock, context.cursor)

    return look


def looked(desk: RolloutDesk, observe: Observe, clock: Clock, cursor: str | None) -> dg.SensorResult | dg.SkipReason:
    """Look once, and ask for the assets that show it: after each event, and once an hour while it is open.

    Args:
        desk: of the pipeline.
        observe: reads what was seen.
        clock: the time.
        cursor: what was asked for last; lost, the run key keeps the same from being asked for twice.
    """
    pipeline, now = desk.desk.pipeline, clock.now()
    try:
        told = desk.look(observe, by=f"sensor {pipeline.name}_rollout", now=now)
    except LedgerConflict as e:
        return dg.SkipReason(f"somebody else wrote to the ledger while this was decided; the next look goes on: {e}")
    last = desk.last()
    if last is None:
        return dg.SkipReason("no candidate has been rolled out yet")
    event = last.events[-1]
    due = f"{event.sequence}" if last.state.over else f"{event.sequence}@{now:%Y-%m-%dT%H}"
    if due == cursor:
        return dg.SkipReason("no rollout is open" if told is None else f"{told.action}: {'; '.join(told.reasons)}")
    nouns = ("rollout", "champion") if last.state.phase == "promoted" else ("rollout",)
    request = dg.RunRequest(
        run_key=f"{pipeline.name}/rollout/{due}", asset_selection=[pipeline.key(noun) for noun in nouns]
    )
    return dg.SensorResult([request], cursor=due)
