"""`Table` and `Pipeline`: the two components a `defs.yaml` may name, and what they become.

What their attributes mean is in `ml_assets.config`; the assets themselves are in `ml_assets.assets`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self, TypeVar

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition
from pydantic import BaseModel

from ml_assets import checks, jobs, landing, problem, retraining_sensors, rollout_sensors, sensors, served_sensors
from ml_assets.assets import (
    backtest,
    data,
    dictionary,
    drift,
    evaluation,
    features,
    leaderboard,
    monitoring,
    release,
    rollout,
    served,
    serving,
    several,
    training,
    training_set,
    tuning,
)
from ml_assets.config.pipeline import PipelineConfig
from ml_assets.config.table import TableConfig
from ml_assets.core.errors import ConfigError
from ml_assets.resources.settings import source_for
from ml_assets.scaffolds import PipelineScaffolder, TableScaffolder

C = TypeVar("C", bound=BaseModel)


def _resolved(attributes: BaseModel | None, model: type[C], context: dg.ComponentLoadContext) -> C:
    """The attributes with `{{ env.NAME }}` and the like filled in, and validated again where they were."""
    if attributes is None:
        return model()
    filled: C = _filled(attributes, context.resolution_context.resolve_value)
    return filled


def _filled(value: Any, resolve: Callable[[str], Any]) -> Any:
    # Not through a dump: configurations mask their passwords when they are dumped.
    if isinstance(value, str):
        return resolve(value) if "{{" in value else value
    if isinstance(value, tuple):
        return tuple(_filled(v, resolve) for v in value)
    if isinstance(value, BaseModel):
        given = {name: getattr(value, name) for name in value.model_fields_set}
        filled = {name: _filled(v, resolve) for name, v in given.items()}
        return value if filled == given else type(value)(**filled)
    return value


def _folder(context: dg.ComponentLoadContext) -> Path:
    return context.path if context.path.is_dir() else context.path.parent


@dg.scaffold_with(TableScaffolder)
@dataclass
class Table(dg.Component):
    """A stream of rows with event times: source, contract, partitions; shared by any number of pipelines."""

    table: problem.Table

    @classmethod
    def get_model_cls(cls) -> type[TableConfig]:
        """What the attributes may say."""
        return TableConfig

    @classmethod
    def load(cls, attributes: BaseModel | None, context: dg.ComponentLoadContext) -> Self:
        """The component of one YAML document."""
        config = _resolved(attributes, TableConfig, context)
        config = config.model_copy(update={"source": source_for(config.source)})
        folder = _folder(context)
        return cls(problem.Table(name=config.name or folder.name, config=config, folder=folder))

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:  # noqa: ARG002
        """Raw, validated and quarantined rows, their checks, the job that ingests and the sensor that asks for it."""
        self.table.check()
        return dg.Definitions(
            assets=[data.raw(self.table), data.validated(self.table), dictionary.dictionary(self.table)],
            asset_checks=[checks.table_checks(self.table)],
            jobs=[jobs.ingest(self.table), jobs.describe(self.table)],
            sensors=[landing.new_data(self.table)],
        )


class Automatic(NamedTuple):
    """What starts trainings without a person."""

    sensors: list[dg.SensorDefinition]
    schedules: list[dg.ScheduleDefinition]


@dg.scaffold_with(PipelineScaffolder)
@dataclass
class Pipeline(dg.Component):
    """One machine-learning problem on one table: features, training, evaluation, release, scoring, monitoring."""

    name: str
    config: PipelineConfig
    folder: Path

    @classmethod
    def get_model_cls(cls) -> type[PipelineConfig]:
        """What the attributes may say."""
        return PipelineConfig

    @classmethod
    def load(cls, attributes: BaseModel | None, context: dg.ComponentLoadContext) -> Self:
        """The component of one YAML document."""
        config = _resolved(attributes, PipelineConfig, context)
        folder = _folder(context)
        return cls(name=config.name or folder.name, config=config, folder=folder)

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """The pipeline's assets, checks, jobs and sensors."""
        pipeline = self.on_its_table(context.component_tree)
        pipeline.check()
        config = pipeline.config
        follow, train = jobs.follow(pipeline), jobs.train(pipeline)
        by_itself = self._retraining(pipeline, train, follow)
        models = [training.model(pipeline)] if config.models is None else several.models(pipeline)
        return dg.Definitions(
            assets=[
                features.features(pipeline),
                training_set.training_set(pipeline),
                *([tuning.tuning(pipeline, config.tuning)] if config.tuning else []),
                *models,
                evaluation.evaluation(pipeline),
                leaderboard.leaderboard(pipeline),
                release.decision(pipeline),
                release.champion(pipeline),
                serving.predictions(pipeline),
                *([served.served(pipeline, config.serving)] if config.serving else []),
                monitoring.performance(pipeline),
                drift.drift(pipeline),
                *([rollout.rollout(pipeline)] if config.rolls_out else []),
                *([backtest.retraining_backtest(pipeline, config.retraining)] if config.retraining else []),
            ],
            jobs=[follow, train, *([jobs.backtest(pipeline)] if config.retraining else [])],
            sensors=[
                sensors.late_labels(pipeline),
                sensors.new_bounds(pipeline),
                *([sensors.gaps(pipeline)] if config.retraining is None and pipeline.partitions_before else []),
                *([rollout_sensors.rollout_sensor(pipeline, config.rolls_out)] if config.rolls_out else []),
                *([served_sensors.served_requests(pipeline, config.serving)] if config.serving else []),
                *by_itself.sensors,
            ],
            schedules=by_itself.schedules,
        )

    @staticmethod
    def _retraining(
        pipeline: problem.Pipeline, train: UnresolvedAssetJobDefinition, follow: UnresolvedAssetJobDefinition
    ) -> "Automatic":
        """What retrains by itself; nothing without a section `retraining`."""
        told = pipeline.config.retraining
        if told is None:
            return Automatic([], [])
        sensor = retraining_sensors.retraining_sensor(pipeline, train, follow, told.check_every_seconds)
        return Automatic(
            [sensor],
            [retraining_sensors.retraining_schedule(pipeline, train, told.schedule)] if told.schedule else [],
        )

    def on_its_table(self, components: dg.ComponentTree) -> problem.Pipeline:
        """This pipeline together with the table it names.

        Raises:
            ConfigError: there is no such table.
        """
        tables = {c.table.name: c.table for c in components.get_all_components(Table)}
        if self.config.table not in tables:
            raise ConfigError(
                f"{self.folder / 'defs.yaml'}, attributes.table: {self.config.table}",
                found=f"the tables {sorted(tables)}",
                expected="the name of one of them",
                cure="correct the name, or add a document of type ml_assets.components.Table",
            )
        return problem.Pipeline(self.name, self.config, self.folder, tables[self.config.table])
