"""A pipeline for tests of retraining: its assets are told of and not run; instance and ledger are real."""

import uuid
from dataclasses import replace
from pathlib import Path

import dagster as dg
from dagster._core.definitions.data_version import DATA_VERSION_TAG

from ml_assets import jobs
from ml_assets.config.monitoring import Monitoring
from ml_assets.config.pipeline import PipelineConfig
from ml_assets.config.table import TableConfig
from ml_assets.core.releases import DECIDED, RELEASED
from ml_assets.observing import BOUNDS_VERSION
from ml_assets.problem import Pipeline, Table
from ml_assets.resources.clock import Clock
from ml_assets.resources.ledger import Ledger
from ml_assets.resources.materializations import MADE_FROM
from ml_assets.retraining_sensors import retraining_sensor
from ml_assets_tests.conftest import PIPELINE, TABLE

MONTHS = [f"2018-0{m}" for m in range(1, 9)]
RULES = {"on_drift": {"k": 2, "n": 3}, "on_stale": {"after": "7d"}, "cooldown": 1}
DAY = "T12:00:00"


class Station:
    """A pipeline whose assets are told of, not run; window of 3 months, rows and labels enough."""

    def __init__(self, root: Path, instance: dg.DagsterInstance, **rules: object) -> None:
        (root / "features.py").write_text("FEATURES = []\n")
        table = Table("rides", TableConfig.model_validate(TABLE["attributes"]), root)
        told = {**PIPELINE["attributes"], "retraining": {**RULES, **rules}}
        self.pipeline = Pipeline("duration", PipelineConfig.model_validate(told), root, table)
        self.instance, self.ledger = instance, Ledger(url=f"sqlite:///{root / 'ledger.db'}")
        self.now = "2018-09-01T00:00:00"

    def key(self, noun: str) -> dg.AssetKey:
        return self.pipeline.key(noun)

    def told(self, noun: str, month: str, version: str = "v1", **metadata: object) -> None:
        self.instance.report_runless_asset_event(
            dg.AssetMaterialization(
                self.key(noun), partition=month, tags={DATA_VERSION_TAG: f"{noun} {month} {version}"}, metadata=metadata
            )
        )

    def set_bounds(self, **monitoring: object) -> None:
        """Other bounds in the YAML."""
        told = self.pipeline.config.model_copy(update={"monitoring": Monitoring.model_validate(monitoring)})
        self.pipeline = replace(self.pipeline, config=told)

    def land(self, *months: str, version: str = "v1") -> None:
        for month in months:
            self.told("raw", month, version)
            self.told("validated", month, version, **{"dagster/row_count": 1500})
            self.told("features", month, version, labels=1500, labels_known=1495)

    def score(self, month: str, version: str = "v1") -> None:
        self.told("predictions", month, version)

    def judge(self, month: str, verdict: str, champion: str = "m0", version: str = "v1", scored: str = "v1") -> None:
        read = {
            self.key(noun).to_user_string(): {month: f"{noun} {month} {v}"}
            for noun, v in (("features", version), ("predictions", scored))
        }
        bounds = {BOUNDS_VERSION: self.pipeline.bounds_versions["drift"]}
        self.told("drift", month, verdict=verdict, champion=champion, magnitude=2.0, **bounds, **{MADE_FROM: read})

    def follow(self, month: str, verdict: str = "stable", champion: str = "m0") -> None:
        """A month that landed, was scored and judged."""
        self.land(month)
        self.score(month)
        self.judge(month, verdict, champion)

    def write(self, kind: str, **facts: object) -> None:
        self.ledger.append("duration", kind, facts, after=len(self.events()))

    def release(self, bundle: str = "m0", as_of: str = "2018-03") -> None:
        end = self.pipeline.table.window(as_of).end.isoformat()
        self.write(
            RELEASED, bundle=bundle, as_of=as_of, as_of_end=end, scores_from=end, record="r", forced=False, by="a test",
            reason="a test",
        )  # fmt: skip

    def decide(self, cause: str, as_of: str, verdict: str, bundle: str) -> None:
        self.write(
            DECIDED, cause=cause, as_of=as_of, verdict=verdict, bundle=bundle, record="r", reason="drift",
            reasons=["a reason"],
        )  # fmt: skip

    def events(self) -> list:
        return self.ledger.events("duration")

    def kinds(self) -> list[str]:
        return [e.kind for e in self.events()]

    def clock(self) -> Clock:
        return Clock(at=self.now)

    def look(self) -> tuple[list[dg.RunRequest], str]:
        """What the sensor asks for, and why for nothing."""
        sensor = retraining_sensor(self.pipeline, jobs.train(self.pipeline), jobs.follow(self.pipeline), 30)
        context = dg.build_sensor_context(self.instance, resources={"ledger": self.ledger, "clock": self.clock()})
        found = sensor(context)
        return ([], found.skip_message) if isinstance(found, dg.SkipReason) else (list(found), "")

    def run(self, request: dg.RunRequest, status: str) -> dg.DagsterRun:
        tags = {**request.tags, "dagster/partition": request.partition_key}
        run = dg.DagsterRun(
            job_name="duration_train", run_id=str(uuid.uuid4()), tags=tags, status=dg.DagsterRunStatus(status)
        )
        return self.instance.add_run(run)
