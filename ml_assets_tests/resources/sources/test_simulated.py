"""Simulated partitions and files: the adapter, not the simulation."""

from datetime import datetime, timedelta

import polars as pl
import pytest
from pydantic import ValidationError

from ml_assets.core.errors import ConfigError, SourceNotFound, SourceSchemaError
from ml_assets.core.simulation.calibration import load_calibration
from ml_assets.core.simulation.generate import simulate_month
from ml_assets.core.simulation.injections import MissingPassengers, SpeedChange, ZoneShift
from ml_assets.core.simulation.records import SCHEMA
from ml_assets.core.windows import Window
from ml_assets.resources.sources.interface import FilesSourceConfig, SimulatedSourceConfig, make_source
from ml_assets.resources.sources.simulated import CALIBRATION, FILE_NAME, months_between, write_tlc_files

MARCH = Window("2019-03", datetime(2019, 3, 1), datetime(2019, 4, 1))
WEEK = Window("2019-04-29", datetime(2019, 4, 29), datetime(2019, 5, 6))
PICKUP = "tpep_pickup_datetime"


def source(tmp_path, **config):
    return make_source(SimulatedSourceConfig(kind="simulated", **{"rows": 500, **config}), tmp_path)


def fetch(src, tmp_path, window=MARCH, expected=SCHEMA):
    return pl.read_parquet(tmp_path / "out") if src.fetch(window, tmp_path / "out", expected) else None


def test_a_month_is_what_the_simulation_makes(tmp_path):
    provenance = source(tmp_path).fetch(MARCH, tmp_path / "out", SCHEMA)
    expected = simulate_month(load_calibration(CALIBRATION), "2019-03", rows=500, seed=0)
    assert pl.read_parquet(tmp_path / "out").equals(expected)
    assert provenance.rows == 500
    assert provenance.bytes is None
    assert "seed 0" in provenance.source
    assert provenance.columns.keys() == SCHEMA.keys()
    assert provenance.columns[PICKUP] == "timestamp[us]"


def test_a_week_has_its_share_of_both_its_months(tmp_path):
    got = fetch(source(tmp_path), tmp_path, WEEK)
    months = pl.concat(
        simulate_month(load_calibration(CALIBRATION), m, rows=500, seed=0) for m in ("2019-04", "2019-05")
    )
    assert got.equals(months.filter(pl.col(PICKUP).is_between(WEEK.start, WEEK.end, closed="left")))
    assert 60 < len(got) < 200


def test_partitions_are_the_windows_of_calibrated_months(tmp_path):
    months = load_calibration(CALIBRATION).months
    before = Window("1999-01", datetime(1999, 1, 1), datetime(1999, 2, 1))
    last = datetime.strptime(months[-1], "%Y-%m")
    half = Window("half", last, last + timedelta(days=40))
    assert source(tmp_path).partitions([before, MARCH, WEEK, half]) == ["2019-03", "2019-04-29"]
    with pytest.raises(SourceNotFound, match="1999-01"):
        source(tmp_path).fetch(before, tmp_path / "out", SCHEMA)
    assert not list(tmp_path.iterdir())


def test_every_knob_changes_rows_and_fingerprint(tmp_path):
    from shutil import copyfile

    copyfile(CALIBRATION, tmp_path / "own.json")
    (tmp_path / "own.json").write_text(CALIBRATION.read_text() + "\n")
    plain = source(tmp_path)
    base, base_print = fetch(plain, tmp_path), plain.fingerprint(MARCH)
    assert base_print == source(tmp_path).fingerprint(MARCH)
    assert base_print != plain.fingerprint(WEEK)
    drift = [{"kind": "missing_passengers", "start": "2019-03"}]
    for knobs in ({"rows": 501}, {"seed": 1}, {"injections": drift}):
        changed = source(tmp_path, **knobs)
        assert changed.fingerprint(MARCH) != base_print
        assert not fetch(changed, tmp_path).equals(base)
    own = source(tmp_path, calibration="own.json")
    assert own.fingerprint(MARCH) != base_print
    assert fetch(own, tmp_path).equals(base)


def test_injections_are_those_of_the_simulation():
    config = SimulatedSourceConfig(
        kind="simulated",
        injections=[
            {"kind": "speed_change", "start": "2019-03", "end": "2019-05", "factor": 2},
            {"kind": "zone_shift", "start": "2019-03", "share": 0.5, "pickup_zones": [1, 2]},
            {"kind": "missing_passengers", "start": "2019-03"},
        ],
    )
    assert [one.build() for one in config.injections] == [
        SpeedChange(start="2019-03", end="2019-05", factor=2),
        ZoneShift(start="2019-03", share=0.5, pickup_zones=(1, 2)),
        MissingPassengers(start="2019-03"),
    ]


@pytest.mark.parametrize("kind", ["feature_shift", "zone_shift", "speed_change", "broken_rows", "missing_passengers"])
def test_every_injection_can_be_said(kind, tmp_path):
    values = {"column": "trip_distance", "sigmas": 1, "share": 0.5, "factor": 2}
    needed = {"feature_shift": ["column", "sigmas"], "speed_change": ["factor"]}.get(kind, ["share"])
    drift = {"kind": kind, "start": "2019-03"} | {name: values[name] for name in needed}
    assert not fetch(source(tmp_path, injections=[drift]), tmp_path).equals(fetch(source(tmp_path), tmp_path))


@pytest.mark.parametrize(
    "drift", [{"kind": "flood", "start": "2019-03"}, {"kind": "speed_change", "start": "2019-13", "factor": 1}]
)
def test_an_injection_that_means_nothing_is_refused(drift):
    with pytest.raises(ValidationError):
        SimulatedSourceConfig(kind="simulated", injections=[drift])


def test_faults(tmp_path):
    with pytest.raises(SourceSchemaError, match="column trip_milez: missing"):
        source(tmp_path).fetch(MARCH, tmp_path / "out", {"trip_milez": pl.Float64()})
    lost = source(tmp_path, calibration="nowhere.json")
    for asked in (lambda: lost.fingerprint(MARCH), lambda: lost.partitions([MARCH])):
        with pytest.raises(ConfigError, match=r"nowhere.json"):
            asked()
    assert not list(tmp_path.iterdir())


def test_files_like_the_tlc_read_back_as_the_simulated_source(tmp_path):
    out = tmp_path / "new" / "folder"
    paths = list(write_tlc_files(out, ["2019-02", "2019-03"], 500, 0))
    assert [p.name for p in paths] == ["yellow_tripdata_2019-02.parquet", "yellow_tripdata_2019-03.parquet"]
    assert sorted(out.iterdir()) == paths
    config = FilesSourceConfig(kind="files", path=str(out / FILE_NAME))
    got = fetch(make_source(config, tmp_path), tmp_path)
    assert got.equals(fetch(source(tmp_path), tmp_path))
    assert got.schema == SCHEMA
    bytes_before = paths[1].read_bytes()
    assert list(write_tlc_files(out, ["2019-03"], 500, 0)) == paths[1:]
    assert paths[1].read_bytes() == bytes_before


def test_a_month_without_figures_stops_the_files_and_leaves_no_part_of_one(tmp_path):
    written = write_tlc_files(tmp_path, ["2019-03", "1999-01"], 10, 0)
    assert next(written).exists()
    with pytest.raises(SourceNotFound, match="1999-01"):
        next(written)
    assert [p.name for p in tmp_path.iterdir()] == ["yellow_tripdata_2019-03.parquet"]


@pytest.mark.parametrize(("first", "last"), [("2019-13", "2020-01"), ("2019-03", "2019-02"), ("march", "april")])
def test_months_that_are_none(first, last):
    with pytest.raises(ConfigError):
        months_between(first, last)
