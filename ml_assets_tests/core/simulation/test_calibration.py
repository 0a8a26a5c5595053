"""The table of figures that trips are simulated from: checked, and made again from trips."""

import importlib.util
import json
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from ml_assets.core.errors import ConfigError
from ml_assets.core.simulation.calibration import Calibration, load_calibration
from ml_assets.core.simulation.generate import simulate_month
from ml_assets_tests.core.simulation.trips import ROOT, ROWS, TABLE, clean


def test_the_table_is_small_and_covers_thirty_months(calibration: Calibration) -> None:
    assert TABLE.stat().st_size < 150_000
    assert len(calibration.months) == 30
    assert (calibration.months[0], calibration.months[-1]) == ("2018-01", "2020-06")
    assert calibration.pandemic_from == date(2020, 3, 16)


def test_a_missing_or_foreign_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        load_calibration(tmp_path / "none.json")
    path = tmp_path / "table.json"
    for text, found in (("<html>", "Expecting value"), ("[]", "format None"), ('{"format": 99}', "format 99")):
        path.write_text(text)
        with pytest.raises(ConfigError, match=found):
            load_calibration(path)


def test_every_mismatch_of_a_table_is_named(tmp_path: Path) -> None:
    table = json.loads(TABLE.read_text())
    del table["dirt"]["long_minutes"]
    table["zones"]["x_miles"].pop()
    table["speed"]["surprise"] = [1]
    table["mix"]["pickup"][0][0] = -1
    table["money"]["meter"] = "three"
    table["months"]["2018-02"]["days"].append(1)
    table["months"]["February"] = {}
    table["surcharge_from"] = "soon"
    path = tmp_path / "table.json"
    path.write_text(json.dumps(table))
    with pytest.raises(ConfigError) as refused:
        load_calibration(path)
    assert sorted(line.split(":")[0] for line in refused.value.found) == [
        "dirt.long_minutes",
        "mix.pickup",
        "money.meter",
        "months.2018-02.days",
        "months.February",
        "speed.surprise",
        "surcharge_from",
        "zones.x_miles",
    ]


def script() -> Any:
    spec = importlib.util.spec_from_file_location("calibrate", ROOT / "scripts" / "calibrate_simulation.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run_script(monkeypatch: pytest.MonkeyPatch, folder: Path, out: Path) -> int:
    monkeypatch.setattr("sys.argv", ["calibrate_simulation.py", "--tlc", str(folder), "--out", str(out)])
    code: int = script().main()
    return code


def test_calibrating_on_simulated_trips_finds_their_figures_again(
    calibration: Calibration, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key in ("2020-03", "2020-04"):
        trips = simulate_month(calibration, key, rows=4000, seed=1)
        trips.write_parquet(tmp_path / f"yellow_tripdata_{key}.parquet")
    outs = [tmp_path / "one.json", tmp_path / "two.json"]
    assert [run_script(monkeypatch, tmp_path, out) for out in outs] == [0, 0]
    assert outs[0].read_bytes() == outs[1].read_bytes()
    again = load_calibration(outs[0])
    assert again.months == ["2020-03", "2020-04"]
    trips = clean(simulate_month(again, "2020-04", rows=ROWS, seed=1))
    speed = trips.select((60 * pl.col("trip_distance") / pl.col("minutes")).median()).item()
    assert speed == pytest.approx(calibration.month("2020-04").speed_mph[1], rel=0.06)


def test_calibrating_on_an_empty_folder_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_script(monkeypatch, tmp_path, tmp_path / "out.json") == 1
    assert "no such files" in capsys.readouterr().err


@pytest.mark.slow
def test_the_table_is_remade_byte_for_byte(
    real: dict[str, pl.DataFrame], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "tlc"
    folder.mkdir()
    for key, trips in real.items():
        trips.write_parquet(folder / f"yellow_tripdata_{key}.parquet")
    assert run_script(monkeypatch, folder, tmp_path / "table.json") == 0
    assert (tmp_path / "table.json").read_bytes() == TABLE.read_bytes()
