"""What one look of each sensor costs over a thousand partitions: `python -m benchmarks --only orchestration`.

    python -m benchmarks.ticks ROOT             runs the jobs of the first days of the project in ROOT
    python -m benchmarks.ticks ROOT SENSOR      looks some times with one sensor, and prints the seconds as JSON

The log holds what real runs wrote for one day, copied to all the others: three materializations a partition and asset.
"""

import json
import os
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from benchmarks.small_project import PACKAGE, REPOSITORY, SmallProject

PARTITIONS = 1000
MADE_TIMES = 3
WARM_TICKS = 5
SHOWN_LETTERS = 120
START = date(2018, 1, 1)
TRAINED, TEMPLATE = "2018-01-03", "2018-01-04"
MONTHLY = "yellow_tripdata_{year}-{month}.parquet"
NOUNS = ("rides/raw", "rides/validated", "rides/quarantine", "duration/features", "duration/predictions",
         "duration/performance", "duration/drift")  # fmt: skip
SENSORS = ("rides_new_data", "duration_late_labels", "duration_retraining", "data_side")


def days() -> list[str]:
    """All partitions."""
    return [(START + timedelta(days=n)).isoformat() for n in range(PARTITIONS)]


def source(path: Path) -> dict[str, Any]:
    """Files by the day, of which only names, sizes and times are looked at."""
    return {"kind": "files", "path": str(path / "{year}-{month}-{day}.parquet")}


def make(root: Path) -> SmallProject:
    """A project with a thousand small files and a log that knows them all."""
    partitions = {
        "cadence": "daily", "start": START.isoformat(), "end": (START + timedelta(days=PARTITIONS)).isoformat(),
    }  # fmt: skip
    monthly = {"kind": "files", "path": str(root / "files" / MONTHLY), "event_time": "tpep_pickup_datetime"}
    project = SmallProject(root, 30_000, {"source": monthly, "partitions": partitions}, {"retraining": {}})
    project.land("2018-01")
    command = [sys.executable, "-m", "benchmarks.ticks", str(root)]
    subprocess.run(command, check=True, env=project.environment, cwd=REPOSITORY, stdout=subprocess.DEVNULL)
    small = root / "days"
    small.mkdir()
    project.rewrite(table={"source": source(small)})
    store = project.data / "store/rides/raw"
    for day in days():
        (small / f"{day}.parquet").write_bytes(b"x" * 100)
        (store / f"{day}.parquet").touch()
    copy_log(project.home / "event_log.db", root, small)
    return project


def copy_log(database: Path, root: Path, small: Path) -> None:
    """Copy what was made of one day to every day, as often as `MADE_TIMES`, raw with the fingerprints of the files."""
    from ml_assets.core.windows import Window
    from ml_assets.partitions import time_partitions, window_of
    from ml_assets.resources.sources.config import FilesSourceConfig
    from ml_assets.resources.sources.interface import make_source

    of_files = make_source(FilesSourceConfig.model_validate(source(small)), root)
    first = date.fromisoformat(days()[0])
    cut = time_partitions("daily", _midnight(first), _midnight(first + timedelta(days=PARTITIONS)))
    windows: dict[str, Window] = {day: window_of(cut, day) for day in days()}
    with sqlite3.connect(database) as log:
        log.row_factory = sqlite3.Row
        for noun in NOUNS:
            made = log.execute(
                "select * from event_logs where asset_key = ? and partition = ? and "
                "dagster_event_type = 'ASSET_MATERIALIZATION' order by id desc",
                (json.dumps(noun.split("/")), TEMPLATE),
            ).fetchone()
            tags = log.execute("select * from asset_event_tags where event_id = ?", (made["id"],)).fetchall()
            read = [e for e in json.loads(made["event"])["dagster_event"]["event_specific_data"]["materialization"][
                "metadata_entries"] if e["label"] == "source_fingerprint"]  # fmt: skip
            for _ in range(MADE_TIMES):
                for day, window in windows.items():
                    event = made["event"].replace(TEMPLATE, day)
                    if read:
                        event = event.replace(read[0]["entry_data"]["text"], of_files.fingerprint(window))
                    row = {**dict(made), "event": event, "partition": day}
                    number = _insert(log, "event_logs", row)
                    for tag in tags:
                        _insert(log, "asset_event_tags", {**dict(tag), "event_id": number})


def _midnight(day: date) -> Any:
    from datetime import datetime

    return datetime(day.year, day.month, day.day)


def _insert(log: sqlite3.Connection, table: str, row: dict[str, Any]) -> int:
    given = {name: value for name, value in row.items() if name != "id"}
    places = ", ".join("?" * len(given))
    number = log.execute(f"insert into {table} ({', '.join(given)}) values ({places})", list(given.values())).lastrowid
    return int(number or 0)


def history(root: Path) -> None:
    """Train as of one day and take the next one through the whole data side."""
    from ml_assets.definitions import within
    from ml_assets.resources.home import instance

    definitions = within(root / PACKAGE / "definitions.py")
    quiet = {"loggers": {"console": {"config": {"log_level": "ERROR"}}}}
    follow = definitions.resolve_job_def("duration_follow")
    unscored = [k for k in follow.asset_layer.executable_asset_keys if k.path[0] == "rides" or k.path[1] == "features"]
    with instance() as recorded:
        for day in days()[: days().index(TRAINED) + 1]:
            follow.execute_in_process(instance=recorded, partition_key=day, asset_selection=unscored, run_config=quiet)
        train = definitions.resolve_job_def("duration_train")
        train.execute_in_process(instance=recorded, partition_key=TRAINED, run_config=quiet)
        follow.execute_in_process(instance=recorded, partition_key=TEMPLATE, run_config=quiet)


def look(root: Path, sensor: str) -> dict[str, Any]:
    """Seconds of the first look of this process, and of some more; and what the last one said."""
    from ml_assets.definitions import within
    from ml_assets.resources.home import instance

    definitions = within(root / PACKAGE / "definitions.py")
    with instance() as recorded:
        tick = automation(definitions, recorded) if sensor == "data_side" else sensing(definitions, recorded, sensor)
        seconds, said = [], ""
        for _ in range(1 + WARM_TICKS):
            started = time.perf_counter()
            said = tick()
            seconds.append(time.perf_counter() - started)
    return {"cold": seconds[0], "warm": statistics.median(seconds[1:]), "said": said}


def sensing(definitions: Any, recorded: Any, sensor: str) -> Callable[[], str]:
    """A tick of a sensor."""
    import dagster as dg

    defined = definitions.resolve_sensor_def(sensor)

    def tick() -> str:
        with dg.build_sensor_context(
            recorded, sensor_name=sensor, definitions=definitions, resources=definitions.resources
        ) as context:
            answer = defined.evaluate_tick(context)
        return answer.skip_message or f"{len(answer.run_requests)} requests"

    return tick


def automation(definitions: Any, recorded: Any) -> Callable[[], str]:
    """A tick of declarative automation, each going on from the one before."""
    import dagster as dg

    cursor = None

    def tick() -> str:
        nonlocal cursor
        result = dg.evaluate_automation_conditions(definitions, recorded, cursor=cursor)
        cursor = result.cursor
        return f"{result.total_requested} partitions requested"

    return tick


def main(root: Path) -> str:
    """Measure each sensor in a process of its own, and return the table."""
    project = make(root)
    lines = []
    for sensor in SENSORS:
        command = [sys.executable, "-m", "benchmarks.ticks", str(root), sensor]
        printed = subprocess.run(
            command, check=True, env=project.environment, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
        ).stdout
        told = json.loads(printed.splitlines()[-1])
        lines.append(
            f"| `{sensor}` | {told['cold']:.2f} | {told['warm']:.2f} | {told['said'].splitlines()[0][:SHOWN_LETTERS]} |"
        )
    return "\n".join(
        [
            f"{PARTITIONS:,} daily partitions, each of {len(NOUNS)} assets made {MADE_TIMES} times; load of the "
            f"machine {os.getloadavg()[0]:.1f}.",
            "",
            "| sensor | first look of a process, s | later ones, s | said |",
            "|---|---|---|---|",
            *lines,
        ]
    )


if __name__ == "__main__":
    if len(sys.argv) == 2:
        history(Path(sys.argv[1]))
    else:
        sys.stdout.write(json.dumps(look(Path(sys.argv[1]), sys.argv[2])) + "\n")
