"""How much the sensor of late labels asks for at one look; what is measured again, is in `assets/test_performance`."""

import dagster as dg
import pytest

from ml_assets import sensors
from ml_assets.resources.storage import Store


@pytest.fixture
def look(station, tmp_path):
    """What the sensor asks for while August is the newest month that landed."""
    landed = tmp_path / "store/rides/raw/2018-08.parquet"
    landed.parent.mkdir(parents=True)
    landed.touch()
    resources = {"store": Store(root=str(tmp_path / "store"))}

    def asked() -> tuple[list[str], str]:
        context = dg.build_sensor_context(station.instance, resources=resources)
        found = sensors.late_labels(station.pipeline)(context)
        if isinstance(found, dg.SkipReason):
            return [], found.skip_message
        for request in found.run_requests:
            # As the daemon does; every one of these runs will fail.
            run = dg.DagsterRun("late", tags={"dagster/run_key": request.run_key}, status=dg.DagsterRunStatus.FAILURE)
            station.instance.add_run(run)
        return [request.partition_key for request in found.run_requests], ""

    return asked


def test_what_one_look_does_not_ask_for_the_next_ones_do_also_where_runs_fail(station, look, monkeypatch):
    monkeypatch.setattr(sensors, "MOST_REQUESTS", 2)
    months = [f"2018-0{m}" for m in range(1, 6)]
    for month in months:
        station.told("performance", month, refresh_at="2018-08-15T00:00:00")
    station.told("performance", "2018-06", refresh_at="2018-10-01T00:00:00")
    assert [look() for _ in range(3)] == [(months[:2], ""), (months[2:4], ""), (months[4:], "")]
    assert look() == ([], "5 partitions are to be measured again, and are asked for already")
