"""The command line: every command says what it does, and what to do about a mistake."""

import json
import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner, Result
from filelock import FileLock

from ml_assets.cli import main

VARIABLES = ("DATA", "SOURCE", "STORE", "MODELS", "REPORTS", "LEDGER")


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Call the command line on a data folder of the test's own."""
    for variable in VARIABLES:
        monkeypatch.setenv(f"ML_ASSETS_{variable}", "")
    monkeypatch.setenv("ML_ASSETS_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("DAGSTER_HOME", "")

    def call(*arguments: object) -> Result:
        return CliRunner().invoke(main, [str(a) for a in arguments])

    return call


def refused(result: Result, *words: str) -> None:
    """It ended with a message for people, and nothing else went wrong."""
    assert result.exit_code not in (0, None)
    assert isinstance(result.exception, SystemExit), result.exception
    assert "Traceback" not in result.output
    assert "Error: " in result.output
    for word in words:
        assert word in result.output


@pytest.mark.parametrize("command", sorted(main.commands))
@pytest.mark.parametrize("option", ["--help", "-h"])
def test_every_command_has_help_with_an_example(run, command, option):
    result = run(command, option)
    assert result.exit_code == 0
    assert "Example:" in result.output
    assert f"ml-assets {command}" in result.output
    described = main.commands[command].params
    assert all(getattr(p, "help", None) for p in described), [p.name for p in described]


def test_the_commands_are_listed(run):
    result = run("--help")
    assert result.exit_code == 0
    assert all(command in result.output for command in ("demo", "dev", "simulate"))
    assert run("--version").output.startswith("main, version") or "version" in run("--version").output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["demmo"], ["No such command"]),
        (["demo", "--source", "no such folder"], ["--source", "'no such folder' is no folder", "expected"]),
        (["dev", "--source", "no such folder"], ["--source", "'no such folder' is no folder", "expected"]),
        (["demo", "--pipeline", "nothing"], ["pipeline nothing", "trip_duration", "cure: correct the name"]),
        (["demo", "--through", "2018-13"], ["--through 2018-13", "2018-01 … 2020-06", "cure"]),
        (["demo", "--from", "yesterday"], ["--from yesterday", "2018-01 … 2020-06", "cure"]),
        (["demo", "--from", "2018-03", "--through", "2018-02"], ["--from not later than --through", "cure"]),
        (["simulate", "--out", "out", "--months", "2018"], ["months", "YYYY-MM..YYYY-MM", "cure"]),
        (["simulate", "--out", "out", "--months", "2018-03..2018-01"], ["the earlier one first", "cure: swap them"]),
        (["simulate", "--out", "out", "--months", "2018-01...2018-02"], ["YYYY-MM..YYYY-MM", "cure"]),
        (["simulate", "--out", "out", "--months", "..2018-02"], ["YYYY-MM..YYYY-MM", "cure"]),
        (["simulate", "--out", "out", "--months", "2031-01"], ["2031-01", "months from", "cure"]),
        (["simulate", "--out", "out", "--months", "2018-01", "--rows", "0"], ["--rows", "x>=1"]),
        (["simulate", "--out", "out", "--months", "2018-01", "--rows", "many"], ["--rows", "integer"]),
        (["simulate", "--out", "out", "--months", "2018-01", "--seed", "-1"], ["--seed", "x>=0"]),
        (["simulate", "--months", "2018-01"], ["--out", "Missing option"]),
        (["simulate", "--out", "out"], ["--months", "Missing option"]),
    ],
)
def test_mistakes_are_answered(run, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    refused(run(*arguments), *words)
    assert not list(tmp_path.rglob("*.parquet"))


def test_a_source_without_a_single_month(run, tmp_path):
    refused(run("demo", "--source", tmp_path, "--through", "2018-02"), "none of the partitions asked for", "--source")


def test_a_folder_that_is_a_file(run, tmp_path):
    (tmp_path / "file").write_text("")
    refused(run("demo", "--data", tmp_path / "file"), "--data", "is a file")
    refused(run("simulate", "--out", tmp_path / "file", "--months", "2018-01"), "--out", "is a file")


def test_simulated_files_are_named_as_the_tlcs(run, tmp_path):
    out = tmp_path / "new" / "trips"
    result = run("simulate", "--out", out, "--months", "2018-12..2019-01", "--rows", 200, "--seed", 3)
    assert result.exit_code == 0, result.output
    names = ["yellow_tripdata_2018-12.parquet", "yellow_tripdata_2019-01.parquet"]
    assert sorted(p.name for p in out.iterdir()) == names
    frame = pl.read_parquet(out / names[1])
    assert frame.height == 200
    assert "tpep_pickup_datetime" in frame.columns

    assert run("simulate", "--out", tmp_path / "one", "--months", "2019-01", "--rows", 200, "--seed", 3).exit_code == 0
    assert (tmp_path / "one" / names[1]).read_bytes() == (out / names[1]).read_bytes()
    assert run("simulate", "--out", tmp_path / "one", "--months", "2019-01", "--rows", 200, "--seed", 4).exit_code == 0
    assert (tmp_path / "one" / names[1]).read_bytes() != (out / names[1]).read_bytes()


def test_two_months_replayed_from_files_and_then_nothing_new(run, tmp_path):
    files, data = tmp_path / "files", tmp_path / "elsewhere"
    assert run("simulate", "--out", files, "--months", "2018-01..2018-03", "--rows", 500).exit_code == 0
    command = ["demo", "--source", files, "--data", data, "--through", "2018-02"]
    first = run(*command, "--json", tmp_path / "new" / "copy.json")
    assert first.exit_code == 0, (first.output, first.exception)
    assert "2 partitions, 2018-01 to 2018-02" in first.output
    assert "Nothing was trained" in first.output
    assert "Nothing new" not in first.output
    reports = data / "reports/trip_duration"
    summary = json.loads((reports / "summary.json").read_text())
    assert [(p["partition"], p["rows_raw"]) for p in summary["partitions"]] == [("2018-01", 500), ("2018-02", 500)]
    assert all(p["rows_validated"] + p["rows_quarantined"] == 500 for p in summary["partitions"])
    assert (tmp_path / "new" / "copy.json").read_text() == (reports / "summary.json").read_text()
    assert "2018-02" in (reports / "report.html").read_text()
    assert str(reports / "report.html") in first.output
    assert not (tmp_path / "data").exists(), "everything is where --data says"

    stored = {p: p.stat().st_mtime_ns for p in (data / "store").rglob("*.parquet")}
    again = run(*command)
    assert again.exit_code == 0, (again.output, again.exception)
    assert "Nothing new: every partition is up to date." in again.output
    assert {p: p.stat().st_mtime_ns for p in (data / "store").rglob("*.parquet")} == stored

    simulated = run("demo", "--source", "simulated", "--data", data, "--through", "2018-02")
    refused(simulated, "from a source of kind files", "cure")


@pytest.mark.slow
def test_a_simulated_month_as_a_stranger_calls_it(tmp_path):
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("ML_ASSETS_", "DAGSTER_"))}
    done = subprocess.run(
        [sys.executable, "-m", "ml_assets.cli", "demo", "--through", "2018-01"],
        env={**environment, "ML_ASSETS_DATA": str(tmp_path)},
        cwd=Path(__file__).resolve().parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "10,000 rows" in done.stdout
    assert (tmp_path / "reports/trip_duration/report.html").stat().st_size > 1000
    assert (tmp_path / "dagster/dagster.yaml").is_file()


def test_the_second_of_two_demos_on_one_folder_is_refused(run, tmp_path):
    (tmp_path / "data").mkdir()
    with FileLock(tmp_path / "data/.demo.lock"):
        refused(run("demo", "--through", "2018-01"), "another `ml-assets demo`", "cure: wait", "--data")
    assert not (tmp_path / "data/store").exists()


def test_dev_starts_dagster_on_the_data_folder(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tlc").mkdir()
    started = []

    def execv(program: str, arguments: list[str]) -> None:
        started.append((program, arguments, dict(os.environ), Path.cwd()))

    monkeypatch.setattr(os, "execv", execv)
    monkeypatch.setenv("PYTHONWARNINGS", os.environ.get("PYTHONWARNINGS", ""))
    result = run("dev", "--port", 3007, "--source", "tlc", "--data", "here")
    assert result.exit_code == 0, (result.output, result.exception)
    [(program, arguments, environment, folder)] = started
    assert Path(program).is_file()
    assert arguments[1] == "dev"
    assert arguments[arguments.index("-h") + 1] == "127.0.0.1", "Dagster's UI has no authentication"
    assert arguments[arguments.index("-p") + 1] == "3007"
    assert (folder / arguments[arguments.index("-w") + 1]).is_file()
    assert environment["ML_ASSETS_DATA"] == str(tmp_path / "here")
    assert environment["ML_ASSETS_SOURCE"] == str(tmp_path / "tlc"), "seen from where the user was"
    assert environment["DAGSTER_HOME"] == str(tmp_path / "here/dagster")
