"""A table and a pipeline as their folders describe them: the validated YAML plus the user's own schema and features.

What the YAML may say is in `ml_assets.config`, how the user's Python files are read in `ml_assets.user_code`;
assets are built from these objects in `ml_assets.assets`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from ml_assets.config.pipeline import PipelineConfig
from ml_assets.config.table import TableConfig
from ml_assets.core.cadences import LONGEST, SHORTEST, partitions_before
from ml_assets.core.durations import duration
from ml_assets.core.errors import ConfigError
from ml_assets.core.windows import Window
from ml_assets.partitions import (
    learning_window,
    time_partitions,
    window_of,
    windows_through,
)
from ml_assets.user_code import Reference, columns_written_in, history_written_in

TABLE_NOUNS = ("raw", "validated", "quarantine")

if TYPE_CHECKING:
    from ml_assets.core.classification_metrics import Costs
    from ml_assets.core.contract import Contract
    from ml_assets.core.policy import Policy
    from ml_assets.core.retraining.decision import RetrainingRules
    from ml_assets.core.rollout.rules import Rules
    from ml_assets.core.target_encoding import Declared


def model_noun(name: str) -> str:
    """The noun of the asset of one of several models."""
    return f"model_{name}"


@dataclass(frozen=True)
class Table:
    """One stream of rows with event times."""

    name: str
    config: TableConfig
    folder: Path

    @property
    def schema(self) -> Reference:
        """The pandera model."""
        return Reference(self.folder, self.config.contract)

    def newest(self, keys: Iterable[str]) -> Window | None:
        """The window of the newest of some partitions; None of none."""
        return max((self.window(key) for key in keys), key=lambda w: w.end, default=None)

    def key(self, noun: str) -> dg.AssetKey:
        """The key of one of its assets."""
        return dg.AssetKey([self.name, noun])

    @property
    def partitions(self) -> dg.TimeWindowPartitionsDefinition:
        """The table's partitions of event time."""
        cut = self.config.partitions
        return time_partitions(cut.cadence, cut.first, cut.last)

    def window(self, key: str) -> Window:
        """The window of event time of one of its partitions."""
        return window_of(self.partitions, key)

    def windows_before(self, key: str, count: int) -> list[Window]:
        """The windows of the `count` partitions before one, oldest first; fewer where the table begins later."""
        return windows_through(self.partitions, key, count + 1)[:-1]

    def keys_around(self, key: str, count: int) -> list[str]:
        """The keys of up to `count` partitions before one and as many after it, oldest first."""
        keys = [w.key for w in windows_through(self.partitions)]
        at = keys.index(key)
        return [*keys[max(0, at - count) : at], *keys[at + 1 : at + 1 + count]]

    @cached_property
    def contract(self) -> "Contract":
        """What every validated row keeps; imports the user's schema."""
        from ml_assets.core.contract import Contract

        contract = Contract.from_model(self.schema.load())
        require_columns({"event_time": self.config.event_time}, {c.name for c in contract.columns}, self)
        return contract

    def check(self) -> None:
        """Raise a ConfigError for what is wrong and can be seen without importing the user's files."""
        columns = columns_written_in(self.schema.check("attributes.schema"))
        if columns is not None:
            require_columns({"event_time": self.config.event_time}, columns, self)


@dataclass(frozen=True)
class Pipeline:
    """One machine-learning problem on one table."""

    name: str
    config: PipelineConfig
    folder: Path
    table: Table

    def key(self, noun: str) -> dg.AssetKey:
        """The key of one of its assets, or of its table's."""
        return dg.AssetKey([self.table.name if noun in TABLE_NOUNS else self.name, noun])

    @property
    def training_side(self) -> tuple[str, ...]:
        """Nouns of the assets that a training makes, in their order."""
        config = self.config
        tuning = ("tuning",) if config.tuning else ()
        several = (*(model_noun(name) for name in config.named_models), "out_of_fold") if config.models else ()
        ensemble = ("ensemble",) if config.ensemble else ()
        judged = ("candidate", "evaluation", "leaderboard", "decision", "champion")
        return ("training_set", *tuning, *several, *ensemble, *judged)

    @property
    def policy(self) -> "Policy":
        """What a candidate must reach to be released."""
        from ml_assets.core.policy import Policy

        told = self.config.evaluation
        return Policy(
            metric=self.config.metric,
            margin=told.margin,
            non_inferiority=told.non_inferiority,
            slice_margin=told.slice_margin,
            calibration_margin=told.calibration_margin,
            min_labels=told.min_labels,
        )

    @property
    def retraining_rules(self) -> "RetrainingRules":
        """What follows from evidence.

        Raises:
            ConfigError: there is no section `retraining`, or it does not fit the learning window.
        """
        config = self.config
        if config.retraining is None:
            raise ConfigError(
                f"{self.folder / 'defs.yaml'}", found="no section `retraining`", expected="rules of retraining",
                cure="add `retraining: {}` for the defaults",
            )  # fmt: skip
        return config.retraining.rules(
            window=config.model.window,
            held=config.model.validation + config.evaluation.holdout + 2 * config.evaluation.embargo,
            min_rows=config.model.min_rows,
            tunes=config.tuning is not None,
        )

    @property
    def looked_back_at(self) -> int:
        """Newest results that may be evidence for a retraining; 0 without the section `retraining`."""
        return self.retraining_rules.cause if self.config.retraining else 0

    @property
    def alpha(self) -> float | None:
        """The quantile that is predicted; None where it is no quantile."""
        return next(iter(self.config.specs.values())).alpha

    @property
    def costs(self) -> "Costs":
        """What wrong answers cost."""
        from ml_assets.core.classification_metrics import Costs

        return Costs(**self.config.evaluation.costs.model_dump())

    @property
    def attribution(self) -> int:
        """Partitions that a replaced champion keeps scoring; 0 without the section `retraining`."""
        return self.config.retraining.attribution if self.config.retraining else 0

    @property
    def loss_unit(self) -> str:
        """Unit of the loss of a row whose mean decides: the metric's, of RMSE its square."""
        squared = self.config.metric == "rmse" and self.metric_unit
        return f"{self.metric_unit}²" if squared else self.metric_unit

    @property
    def features_version(self) -> str:
        """Of what `defs.yaml` says about what features hold, such as the delay of the label; not of their own code."""
        from ml_assets.core.decision_record import sha256_of

        told = {"label": self.config.label.model_dump(mode="json"), "kept": list(self.kept_columns)}
        return sha256_of(told)[:12]

    @cached_property
    def bounds_versions(self) -> dict[str, str]:
        """Noun -> version of what `defs.yaml` says about how a partition's `performance` or `drift` is judged."""
        from ml_assets.core.decision_record import sha256_of

        monitoring, evaluation = self.config.monitoring, self.config.evaluation
        measured = {"slices": list(evaluation.slices), "costs": evaluation.costs.model_dump(mode="json")}
        told = {
            "performance": {**monitoring.performance.model_dump(), "metric": self.config.metric, **measured},
            "drift": monitoring.drift.model_dump(),
        }
        return {noun: sha256_of(bounds)[:12] for noun, bounds in told.items()}

    @property
    def features_reference(self) -> Reference:
        """The list of features."""
        return Reference(self.folder, self.config.features)

    @property
    def learning_window(self) -> dg.TimeWindowPartitionMapping:
        """As-of partition -> partitions to learn from."""
        return learning_window(self.config.model.window)

    @cached_property
    def reach(self) -> timedelta:
        """How far before an event its features look; 0 without history features."""
        written = history_written_in(self.features_reference.path)
        if written is None:
            from ml_assets.core.history import reach_of

            return reach_of(self.features_reference.load())
        owner = f"{self.features_reference.path}, a HistoryFeature"
        return max((duration(w, owner) + duration(d, owner) for w, d in written), default=timedelta(0))

    @property
    def partitions_before(self) -> int:
        """How many partitions before its own an event's features may look into."""
        return partitions_before(self.table.config.partitions.cadence, self.reach)

    @cached_property
    def features(self) -> "Sequence[Declared]":
        """The features; imports the user's features file."""
        from ml_assets.core.history import HistoryFeature

        declared: Sequence[Declared] = self.features_reference.load()
        require_columns(self._label_columns, {c.name for c in self.table.contract.columns}, self)
        event_time, late = self.table.config.event_time, self.known_late
        # With every time written out, a declaration can be followed without the contract: a bundle keeps it so.
        return [
            replace(f, known_at=f.known_when(event_time, late)) if isinstance(f, HistoryFeature) else f
            for f in declared
        ]

    @property
    def known_late(self) -> dict[str, str]:
        """Columns that are not known at the event's time -> the time column that says when they are."""
        label = self.config.label
        return {label.column: label.known_at, **self.table.contract.known_after(self.table.config.event_time)}

    @property
    def kept_columns(self) -> tuple[str, ...]:
        """Columns of the table, or features, that stand beside the features without being read by a model."""
        return self.config.evaluation.kept

    @property
    def label_facts(self) -> "dict[str, Any]":
        """Name, unit, task and classes of the label."""
        label = self.config.label
        column = next(c for c in self.table.contract.columns if c.name == label.column)
        classes = list(label.classes) or (["false", "true"] if label.task == "binary" else None)
        return {"name": label.column, "unit": column.unit, "task": label.task, "classes": classes}

    @property
    def label_unit(self) -> str:
        """Unit of the label, empty where it has none."""
        return self.label_facts["unit"] or ""

    @property
    def metric_unit(self) -> str:
        """Unit of the metric that decides: the label's; of log loss nats, of a Brier score none."""
        return {"log_loss": "nats", "brier": ""}.get(self.config.metric, self.label_unit)

    @property
    def _label_columns(self) -> dict[str, str]:
        return {"label.column": self.config.label.column, "label.known_at": self.config.label.known_at}

    @property
    def _served_columns(self) -> dict[str, str]:
        told = self.config.serving
        if told is None:
            return {}
        unit = {} if told.unit is None else {"serving.unit": told.unit}
        return unit | {f"serving.key[{i}]": name for i, name in enumerate(told.key)}

    @property
    def natural_key(self) -> tuple[str, ...]:
        """Columns by which a served request finds its row of the table; none without `serving.key`.

        Raises:
            ConfigError: one of them is not known yet when a prediction is asked for.
        """
        key = self.config.serving.key if self.config.serving else ()
        late = [f"{name}, which is known at {self.known_late[name]}" for name in key if name in self.known_late]
        if late:
            raise ConfigError(
                f"{self.folder / 'defs.yaml'}, serving.key", found=late,
                expected="columns that a request can bring: known at the event's time",
                cure="leave these out; what is left must tell one row from another",
            )  # fmt: skip
        return key

    @property
    def label_wait(self) -> timedelta:
        """How long after a request its label may come: found by `serving.key`, once the request's partition is over."""
        key = self.config.serving.key if self.config.serving else ()
        partition = LONGEST[self.table.config.partitions.cadence] if key else timedelta(0)
        return partition + self.config.label.delay_length

    @property
    def rollout_rules(self) -> "Rules | None":
        """What a rollout would go by; None where candidates are released at once.

        Raises:
            ConfigError: it would be over before labels come that it can't do without.
        """
        from ml_assets.core.rollout.waiting import require_time_for_labels

        if self.config.rolls_out is None:
            return None
        rules = self.config.rolls_out.rules(self.label_wait)
        why = f"label.delay: {self.config.label.delay}"
        if self.config.serving and self.config.serving.key:
            why = f"by serving.key they come with a partition, which is {self.table.config.partitions.cadence}; {why}"
        require_time_for_labels(rules, self.label_wait, why, str(self.folder / "defs.yaml"))
        return rules

    def _require_labels_in_time(self) -> None:
        """Raise a ConfigError where labels are delayed for so long that a part of the training set could have none."""
        label, evaluation = self.config.label, self.config.evaluation
        length = SHORTEST[self.table.config.partitions.cadence]
        if evaluation.split == "time":
            # A validation label must be known when the holdout starts, a holdout label as of the end.
            parts = {"evaluation.holdout": evaluation.holdout}
            parts["model.validation + evaluation.embargo"] = self.config.model.validation + evaluation.embargo
        else:
            parts = {"model.window": self.config.model.window}
        short = [
            f"{name}: {n:g} partitions, {n * length}" for name, n in parts.items() if label.delay_length >= n * length
        ]
        if short:
            raise ConfigError(
                f"{self.folder / 'defs.yaml'}, label.delay: {label.delay}",
                found=short,
                expected="a delay shorter than each, or no label in it would have reached us as of the training",
                cure="make them longer, or learn from a label that is known sooner",
            )

    def check(self) -> None:
        """Raise a ConfigError for what is wrong and can be seen without importing the user's files."""
        self._require_labels_in_time()
        self.rollout_rules  # noqa: B018 - raises
        if self.config.retraining is not None:
            self.retraining_rules  # noqa: B018 - raises
        self.features_reference.check("attributes.features")
        columns = columns_written_in(self.table.schema.check("attributes.schema"))
        if columns is not None:
            require_columns(self._label_columns | self._served_columns, columns, self)


def require_columns(wanted: dict[str, str], columns: set[str], owner: Table | Pipeline) -> None:
    """Raise a ConfigError that lists every YAML key whose column the table's contract does not have."""
    missing = [f"{key}: {column}" for key, column in wanted.items() if column not in columns]
    if missing:
        raise ConfigError(
            f"{owner.folder / 'defs.yaml'}, attributes of {owner.name}",
            found=[f"{m} is no column of the table" for m in missing],
            expected=f"one of {sorted(columns)}",
            cure="correct the name, or add the column to the table's schema",
        )
