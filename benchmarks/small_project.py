"""A small project of its own, for a real `dagster dev`: a table of files in a folder, a pipeline, a first champion.

    python -m benchmarks.small_project ROOT     makes the history of the project in ROOT, in this process

What is watched while it runs is in `orchestration`.
"""

import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGE = "small"
LOCATION = "small"
FIRST = ("2018-01", "2018-02", "2018-03")
"""Months that are there before anything is watched; the champion is trained as of the last one."""

IGNORED = "ignore:Function `dev_command` is superseded"
"""As in `ml-assets dev`."""

DEFINITIONS = """
from pathlib import Path

import dagster as dg

from ml_assets.definitions import within


@dg.definitions
def defs():
    return within(Path(__file__))
"""


class SmallProject:
    """A project in a folder, with its data and the folder that files land in.

    Args:
        root: an empty folder.
        rows: trips a month.
        table, pipeline: attributes beside, or in place of, the usual ones.
    """

    def __init__(
        self, root: Path, rows: int, table: Mapping[str, Any] | None = None, pipeline: Mapping[str, Any] | None = None
    ) -> None:
        self.root, self.rows = root, rows
        self.data, self.files = root / "data", root / "files"
        self.home = self.data / "dagster"
        folder = root / PACKAGE / "defs" / "rides"
        folder.mkdir(parents=True)
        self.files.mkdir()
        (root / "pyproject.toml").write_text(
            f'[tool.dg]\ndirectory_type = "project"\n[tool.dg.project]\nroot_module = "{PACKAGE}"\n'
            f'code_location_name = "{LOCATION}"\ncode_location_target_module = "{PACKAGE}.definitions"\n'
            'registry_modules = ["ml_assets.components"]\n'
        )
        (root / PACKAGE / "__init__.py").write_text("")
        (root / PACKAGE / "definitions.py").write_text(DEFINITIONS)
        module = {"module_name": f"{PACKAGE}.definitions", "location_name": LOCATION}
        (root / "workspace.yaml").write_text(yaml.safe_dump({"load_from": [{"python_module": module}]}))
        shutil.copy(REPOSITORY / "ml_assets/defs/trips/schema.py", folder)
        shutil.copy(REPOSITORY / "ml_assets/defs/trip_duration/features.py", folder)
        self.table, self.pipeline = dict(table or {}), dict(pipeline or {})
        self.rewrite()

    def rewrite(self, table: Mapping[str, Any] | None = None, pipeline: Mapping[str, Any] | None = None) -> None:
        """Write `defs.yaml`, with other attributes than before."""
        self.table |= table or {}
        self.pipeline |= pipeline or {}
        documents = [
            {
                "type": "ml_assets.components.Table",
                "attributes": {
                    "name": "rides",
                    "source": {"kind": "files", "path": str(self.files / "yellow_tripdata_{year}-{month}.parquet")},
                    "partitions": {"cadence": "monthly", "start": "2018-01-01", "end": "2020-07-01"},
                    "event_time": "pickup_at",
                    "schema": "schema:Trip",
                    **self.table,
                },
            },
            {
                "type": "ml_assets.components.Pipeline",
                "attributes": {
                    "name": "duration",
                    "table": "rides",
                    "label": {"column": "trip_minutes", "known_at": "dropoff_at"},
                    "features": "features:FEATURES",
                    "model": {"window": len(FIRST), "threads": 1, "params": {"trees": 30}},
                    "evaluation": {"slices": ["passengers"], "min_labels": 300, "non_inferiority": 0.5},
                    "versioning": "off",
                    "trackers": [],
                    **self.pipeline,
                },
            },
        ]
        (self.root / PACKAGE / "defs/rides/defs.yaml").write_text("---\n".join(yaml.safe_dump(d) for d in documents))

    @property
    def command(self) -> list[str]:
        """What starts `dagster dev` on it, without a port."""
        dagster = str(Path(sys.executable).with_name("dagster"))
        return [dagster, "dev", "-w", str(self.root / "workspace.yaml"), "-h", "127.0.0.1"]

    @property
    def environment(self) -> dict[str, str]:
        """Of every process that works on this project."""
        path = os.pathsep.join([str(self.root), str(REPOSITORY), os.environ.get("PYTHONPATH", "")])
        kept = {name: value for name, value in os.environ.items() if name != "ML_ASSETS_SOURCE"}
        data = {"ML_ASSETS_DATA": str(self.data), "DAGSTER_HOME": str(self.home)}
        return {**kept, **data, "PYTHONPATH": path, "PYTHONWARNINGS": IGNORED}

    def land(self, month: str, seed: int = 0, injections: Sequence[Any] = ()) -> float:
        """Let a month's file appear in the folder at once, as a careful writer does.

        Returns:
            When it was there, in seconds since 1970.
        """
        from ml_assets.resources.sources.simulated import write_tlc_files

        scratch = self.root / f"written-{uuid.uuid4().hex}"
        [written] = write_tlc_files(scratch, [month], self.rows, seed, injections=injections)
        landed = written.replace(self.files / written.name)
        scratch.rmdir()
        os.utime(landed)
        return landed.stat().st_mtime

    def make_history(self) -> None:
        """Ingest the first months and release a champion, in a process of its own."""
        for month in FIRST:
            self.land(month)
        command = [sys.executable, "-m", "benchmarks.small_project", str(self.root)]
        subprocess.run(command, check=True, env=self.environment, cwd=REPOSITORY, stdout=subprocess.DEVNULL)


def main(root: Path) -> None:
    """Run the jobs of the first months."""
    from ml_assets.definitions import within
    from ml_assets.resources.home import instance

    definitions = within(root / PACKAGE / "definitions.py")
    quiet = {"loggers": {"console": {"config": {"log_level": "ERROR"}}}}
    with instance() as recorded:
        for month in FIRST:
            job = definitions.resolve_job_def("duration_follow")
            [features] = [key for key in job.asset_layer.executable_asset_keys if key.path == ["duration", "features"]]
            upstream = [key for key in job.asset_layer.executable_asset_keys if key.path[0] == "rides"]
            job.execute_in_process(
                instance=recorded, partition_key=month, asset_selection=[*upstream, features], run_config=quiet
            )
        train = definitions.resolve_job_def("duration_train")
        train.execute_in_process(instance=recorded, partition_key=FIRST[-1], run_config=quiet)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
