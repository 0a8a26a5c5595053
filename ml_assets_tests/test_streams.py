"""Streams with known truth through the whole graph and its sensors: every event of the ledger, exactly; streams.yaml.

What decides is tested on made-up reports in `core/retraining/test_scenarios.py`; here reports come from rows.
"""

import json
import shutil
from datetime import datetime, timedelta
from pathlib import Path

import dagster as dg
import polars as pl
import pytest
import yaml
from pydantic import TypeAdapter

from ml_assets.core.releases import DECIDED, ENDED, JUDGED, Event
from ml_assets.replay import RunFailed
from ml_assets.resources.settings import settings
from ml_assets.resources.sources.injections import InjectionConfig
from ml_assets.resources.sources.simulated import write_tlc_files
from ml_assets_tests.conftest import REPOSITORY, Project, World, copy_trips_code, project_in
from ml_assets_tests.instances import copy_instance
from ml_assets_tests.paper import leave_blank

# Months stay text.
STREAMS = yaml.load((Path(__file__).parent / "streams.yaml").read_text(), yaml.BaseLoader)
ROWS, WINDOW = 1200, 4
RULES = {"on_drift": {"k": 2, "n": 3}}
MONTHS = [f"2018-0{m}" for m in range(1, 9)]


def typed(value: object) -> object:
    """The values of a YAML whose months had to stay text, read as YAML reads them otherwise."""
    if isinstance(value, dict):
        return {k: v if k in ("start", "end", "refused", "log") else typed(v) for k, v in value.items()}
    return [typed(v) for v in value] if isinstance(value, list) else yaml.safe_load(str(value))


def stationary(folder: Path) -> str:
    """A calibration all of whose months are like one."""
    figures = json.loads((REPOSITORY / "data/reference/taxi_calibration.json").read_text())
    like = figures["months"]["2018-03"]
    lengths = {month: len(own["days"]) for month, own in figures["months"].items()}
    figures["months"] = {m: {**like, "days": [100] * n, "day_log_minutes": [0.0] * n} for m, n in lengths.items()}
    (folder / "stationary.json").write_text(json.dumps(figures))
    return "stationary.json"


def line(event: Event) -> str | None:
    """An event as streams.yaml has it: the month at whose end it happened, and what."""
    facts = event.facts
    if event.kind == JUDGED:
        month = (datetime.fromisoformat(facts["now"]) - timedelta(days=1)).strftime("%Y-%m")
        plan = facts["plan"]
        what = f"{plan['how']} on {plan['window']}" if plan else facts["action"]
        return f"{month} {what}: {facts['reasons'][0]}"
    if event.kind == DECIDED:
        return f"{facts['as_of']} {facts['verdict']}"
    if event.kind == ENDED:
        return f"{facts['as_of']} {facts['outcome']}"
    return None


FEATURES = """
import polars as pl
from ml_assets.core.features import Feature
FEATURES = [
    Feature("pickup_zone", pl.col("pickup_zone"), kind="category"),
    Feature("dropoff_zone", pl.col("dropoff_zone"), kind="category"),
    Feature("trip_miles", pl.col("trip_miles"), kind="number"),
    Feature("pickup_hour", pl.col("pickup_at").dt.hour(), kind="number"),
    Feature("passengers", pl.col("passengers"), kind="number"),
]
"""
REPORTED = """

class Reported(Trip):
    reported_at: datetime = column()
"""


class Streams:
    """One project for all streams, one after the other: the first months of most are the same, and replayed once."""

    def __init__(self, project: Project, root: Path) -> None:
        self.project, self.folder, self.kept = project, project.folder, root / "kept"
        copy_trips_code(self.folder)
        (self.folder / "features.py").write_text(FEATURES)
        (self.folder / "schema.py").write_text((self.folder / "schema.py").read_text() + REPORTED)
        self.calibration = stationary(self.folder)

    def keep(self, stream: "Stream") -> None:
        """Begin the streams that are to come with the months and the data of this one."""
        self.instance = stream.world.instance
        self.early = stream.times(MONTHS[:WINDOW])
        shutil.copytree(settings().data, self.kept / "data")
        for file in self.folder.glob("rides-*.parquet"):
            shutil.copy2(file, self.kept)

    def begin(self, told: dict, data: Path, instance: dg.DagsterInstance) -> "Stream":
        """A stream whose first months are done already, unless they are others than those kept."""
        for file in self.kept.glob("rides-*.parquet"):
            shutil.copy2(file, self.folder)
        stream = Stream(World(self.project, instance), self.calibration, told)
        if stream.times(MONTHS[:WINDOW]) == self.early:
            shutil.copytree(self.kept / "data", data)
            copy_instance(self.instance, instance)
        return stream


class Stream:
    """The months of a stream as files, and the pipeline that reads them."""

    def __init__(self, world: World, calibration: str, told: dict) -> None:
        self.world, self.calibration, self.told = world, calibration, told
        self.write(told["injections"], told.get("without", {}))

    def times(self, months: list[str]) -> list[int]:
        """When the months' files were made."""
        return [(self.world.project.folder / f"rides-{month}.parquet").stat().st_mtime_ns for month in months]

    def write(self, injections: list, without: dict | None = None) -> None:
        """Make all months anew; those that are the same keep their time, and are not read again."""
        told = TypeAdapter(tuple[InjectionConfig, ...]).validate_python(injections)
        folder = self.world.project.folder
        made = write_tlc_files(folder / "made", MONTHS, ROWS, 0, injections=told, calibration=folder / self.calibration)
        for month, file in zip(MONTHS, made, strict=True):
            days = int(self.told.get("unknown_for", {}).get(month, 0))
            rows = pl.read_parquet(file).with_columns(
                reported_at=pl.col("tpep_dropoff_datetime") + pl.duration(days=days)
            )
            target = folder / f"rides-{month}.parquet"
            rows = rows.drop((without or {}).get(month, []))
            if not target.exists() or not pl.read_parquet(target).equals(rows):
                rows.write_parquet(target)

    def run(self, last: str | None = None) -> None:
        world = self.world
        source = {"kind": "files", "path": "rides-{year}-{month}.parquet"}
        table = world.changed(world.table, source=source, schema="schema:Reported")
        self.replay = world.replay(
            last,
            table=table,
            pipeline=world.changed(
                world.pipeline,
                label={"column": "trip_minutes", "known_at": "reported_at"},
                model={"window": WINDOW, "threads": 1, "params": {"trees": 30}},
                evaluation={"min_labels": 100},
                retraining=RULES,
            ),
        )
        list(self.replay.steps())

    def log(self) -> list[str]:
        return [text for e in self.replay.ledger.events("duration") if (text := line(e)) is not None]


@pytest.fixture(scope="module")
def streams(tmp_path_factory):
    root = tmp_path_factory.mktemp("streams")
    with (
        pytest.MonkeyPatch.context() as patch,
        project_in(root, patch) as project,
        dg.DagsterInstance.ephemeral(str(root)) as instance,
    ):
        leave_blank(patch)
        patch.setenv("ML_ASSETS_DATA", str(root / "data"))
        patch.delenv("ML_ASSETS_SOURCE", raising=False)
        found = Streams(project, root)
        calm = Stream(World(project, instance), found.calibration, {"injections": []})
        calm.run(MONTHS[WINDOW - 1])
        found.keep(calm)
        yield found


@pytest.fixture
def begun(streams, tmp_path, monkeypatch):
    """Begins a stream."""
    monkeypatch.setenv("ML_ASSETS_DATA", str(tmp_path / "data"))
    with dg.DagsterInstance.ephemeral(str(tmp_path)) as instance:
        yield lambda told: streams.begin(told, tmp_path / "data", instance)


@pytest.mark.parametrize("name", STREAMS)
def test_stream(begun, name):
    told = typed(STREAMS[name])
    stream = begun(told)
    if refused := told.get("refused"):
        with pytest.raises(RunFailed, match=f"partition {refused}"):
            stream.run()
        before = stream.log()
        stream.write(told["injections"])
        stream.run()
        assert stream.log()[: len(before)] == before
    else:
        stream.run()
    if count := told.get("repaired"):
        stream.write(told["injections"][:count])
        stream.run()
    assert stream.log() == told["log"]
