"""Every row of a partition of the built-in source, served one by one: the scores of the batch path, to the bit."""

import struct

import polars as pl
import pytest

from ml_assets.assets.served import AS_BATCH, FEATURES_AS_BATCH
from ml_assets.core.log_segments import microseconds
from ml_assets.core.models.single_row import scorer_of
from ml_assets.core.releases import live
from ml_assets.core.routing import alone
from ml_assets.resources.models import Models
from ml_assets.resources.prediction_log import PredictionLogs
from ml_assets.resources.settings import settings
from ml_assets.serving.data_plane import DataPlane
from ml_assets.serving.picture import Picture, ServedModel
from ml_assets.serving.prediction_log import PredictionLog
from ml_assets.serving.recording import recording

KEY = ["pickup_at", "pickup_zone", "dropoff_zone", "trip_miles"]
MONTH = "2018-04"


def bits(scores: list[float]) -> bytes:
    return struct.pack(f"{len(scores)}d", *scores)


def plane_of(bundle, hooks=()) -> DataPlane:
    plane = DataPlane(["duration"], hooks)
    plane.put("duration", Picture(alone(bundle.sha256), {bundle.sha256: ServedModel("duration", scorer_of(bundle))}, 1))
    return plane


def keyed(store, pipeline) -> pl.DataFrame:
    """Rows of the month with their features, and what of the table a request would bring."""
    rows = store.scan(pipeline.key("validated"), MONTH).select("row_number", pl.col(KEY).name.prefix("key "))
    return store.scan(pipeline.key("features"), MONTH).join(rows, on="row_number").sort("row_number").collect()


@pytest.mark.slow
def test_served_and_batch_predictions_are_equal_to_the_bit_on_all_rows(world):
    """Served one by one and all together, logged, ingested, joined by natural key, and checked by the asset itself."""
    replay = world.replay(MONTH, pipeline=world.changed(world.pipeline, serving={"key": KEY, "checked": 10_000}))
    list(replay.steps())
    bundle = Models(root=settings().models).load(live(replay.ledger.events("duration")).bundle)
    frame = keyed(replay.store, replay.pipeline)
    given = {s.name: frame[s.name].to_list() for s in bundle.specs}
    wanted = bundle.predict(bundle.feature_frame(frame)).tolist()
    assert frame.height > 1000
    assert len(set(wanted)) > 500

    log = PredictionLog(settings().predictions, "duration", flush_seconds=60.0)
    plane = plane_of(bundle, [recording({"duration": log})])
    keys = [(str(at), *rest) for at, *rest in frame.select(pl.col("^key .*$")).iter_rows()]
    events = [microseconds(at) for at in frame["event_at"]]
    one_by_one = [
        plane.infer("duration", {name: [values[i]] for name, values in given.items()}, 1, request_id=f"r{i}",
                    keys=[keys[i]], events_us=[events[i]]).predictions[0]
        for i in range(frame.height)
    ]  # fmt: skip
    assert bits(one_by_one) == bits(wanted)
    assert bits(plane.infer("duration", given, frame.height, keys=keys, events_us=events).predictions) == bits(wanted)
    log.close()
    assert (log.counters.written, log.counters.dropped) == (2 * frame.height, 0)

    served = replay.definitions.resolve_implicit_global_asset_job_def().execute_in_process(
        instance=world.instance, partition_key=MONTH, asset_selection=[replay.pipeline.key("served")]
    )
    checks = {e.check_name: e for e in served.get_asset_check_evaluations()}
    assert checks[AS_BATCH].passed
    assert checks[AS_BATCH].metadata["requests"].value == 2 * frame.height
    assert checks[FEATURES_AS_BATCH].passed, checks[FEATURES_AS_BATCH].description
    table = replay.store.scan(replay.pipeline.key("served"), MONTH).collect()
    found = table.filter(pl.col("row_number").is_not_null())
    assert found.height > 0.98 * table.height, "few trips have the same key"
    batch = replay.store.scan(replay.pipeline.key("predictions"), MONTH).select("row_number", "prediction").collect()
    joined = found.join(batch, on="row_number", suffix="_of_batch")
    assert bits(joined["prediction"].to_list()) == bits(joined["prediction_of_batch"].to_list())
    assert found["label"].null_count() == 0
    assert set(found["label_from"]) == {"key"}
    assert PredictionLogs(root=settings().predictions).pipelines() == ["duration"]
