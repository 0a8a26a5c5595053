"""The backtest as an asset, on small simulated months: every policy, twice the same, and nothing trained twice."""

import json

import pytest

from ml_assets.resources.materializations import latest

KEEPING = {"retraining": {}}


@pytest.fixture
def recorded(world):
    """A world's data side, without a champion, up to a month."""

    def materialize(last: str = "2018-08", **attributes):
        replay = world.replay(last, pipeline=world.changed(world.pipeline, **KEEPING, **attributes))
        names = [f"rides/{n}" for n in ("raw", "validated", "quarantine")] + ["duration/features"]
        job = replay.definitions.resolve_job_def("duration_follow")
        for window in replay.windows:
            keys = [replay.pipeline.key(n.split("/")[1]) for n in names]
            done = job.execute_in_process(
                instance=world.instance, partition_key=window.key, asset_selection=keys
            )
            assert done.success
        return replay

    return materialize


def backtest(world, replay, **options):
    job = replay.definitions.resolve_job_def("duration_backtest")
    return job.execute_in_process(instance=world.instance, **options)


def test_x(world, recorded):
    replay = recorded()
    import time
    t = time.time()
    done = backtest(world, replay)
    print(time.time() - t)
    assert done.success
    rec = replay.store.record(replay.pipeline.key("retraining_backtest"), "x")
    import subprocess, os
    print(json.dumps(done.output_for_node("duration__retraining_backtest"), indent=1)[:3000])
    t = time.time()
    done = backtest(world, replay)
    print(time.time() - t)
    assert 0
