"""A table and a pipeline as their folders describe them: the validated YAML plus the user's own schema and features.

What the YAML may say is in `ml_assets.config`; assets are built from these objects in `ml_assets.assets`.
The user's Python files are imported on first use, not when the code location loads: pandera alone would double
the time of loading. What can be checked without importing them is checked at once, by reading their syntax.
"""

import ast
import importlib.util
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from ml_assets.config.pipeline import PipelineConfig
from ml_assets.config.table import TableConfig
from ml_assets.core.errors import ConfigError
from ml_assets.core.windows import Window
from ml_assets.partitions import learning_window, time_partitions, window_of

TABLE_NOUNS = ("raw", "validated", "quarantine")

if TYPE_CHECKING:
    from ml_assets.core.contract import Contract
    from ml_assets.core.features import Feature


@dataclass(frozen=True)
class Reference:
    """A name in a Python file beside a `defs.yaml`, written `file:Name`."""

    folder: Path
    text: str

    @property
    def path(self) -> Path:
        """The file."""
        return self.folder / f"{self.text.split(':')[0]}.py"

    @property
    def name(self) -> str:
        """The name in it."""
        return self.text.split(":")[1]

    def check(self, yaml_key: str) -> ast.stmt:
        """The statement that defines the name.

        Raises:
            ConfigError: there is no such file, it is not Python, or it does not define the name.
        """
        where = f"{self.folder / 'defs.yaml'}, {yaml_key}: {self.text}"
        if not self.path.is_file():
            raise ConfigError(
                where,
                found=f"no file {self.path}",
                expected="a Python file beside defs.yaml",
                cure=f"create {self.path.name} or correct {yaml_key}",
            )
        try:
            tree = ast.parse(self.path.read_text(encoding="utf-8"), filename=str(self.path))
        except SyntaxError as e:
            raise ConfigError(
                where,
                found=f"line {e.lineno} of {self.path.name}: {e.msg}",
                expected="valid Python",
                cure=f"correct {self.path}",
            ) from e
        defined = {name: statement for statement in tree.body for name in _names_bound_by(statement)}
        if self.name not in defined:
            raise ConfigError(
                where,
                found=f"{self.path.name} defines {sorted(defined)}",
                expected=self.name,
                cure=f"define {self.name} in {self.path.name} or correct {yaml_key}",
            )
        return defined[self.name]

    def load(self) -> Any:
        """Import the file and return the object."""
        module_name = f"ml_assets_defs.{self.folder.name}.{self.path.stem}"
        module = sys.modules.get(module_name)
        if module is None or getattr(module, "__file__", None) != str(self.path):
            spec = importlib.util.spec_from_file_location(module_name, self.path)
            if spec is None or spec.loader is None:
                raise ConfigError(
                    self.text,
                    found=f"{self.path} can't be imported",
                    expected="a Python file",
                    cure="correct the reference",
                )
            module = importlib.util.module_from_spec(spec)
            sys.modules[module_name] = module
            try:
                spec.loader.exec_module(module)
            except BaseException:
                del sys.modules[module_name]
                raise
        return getattr(module, self.name)


def _names_bound_by(statement: ast.stmt) -> list[str]:
    match statement:
        case ast.ClassDef(name=name) | ast.FunctionDef(name=name):
            return [name]
        case ast.Assign(targets=targets):
            return [t.id for t in targets if isinstance(t, ast.Name)]
        case ast.AnnAssign(target=ast.Name(id=name)):
            return [name]
        case ast.Import(names=names) | ast.ImportFrom(names=names):
            return [a.asname or a.name for a in names]
        case _:
            return []


def columns_written_in(model: ast.stmt) -> set[str] | None:
    """Columns that a pandera model declares in its own body; None where it inherits some from elsewhere."""
    if not isinstance(model, ast.ClassDef):
        return None
    bases = [ast.unparse(b).rsplit(".", 1)[-1] for b in model.bases]
    if bases != ["DataFrameModel"]:
        return None
    return {s.target.id for s in model.body if isinstance(s, ast.AnnAssign) and isinstance(s.target, ast.Name)}


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
    def features_reference(self) -> Reference:
        """The list of features."""
        return Reference(self.folder, self.config.features)

    @property
    def learning_window(self) -> dg.TimeWindowPartitionMapping:
        """As-of partition -> partitions to learn from."""
        return learning_window(self.config.model.window)

    @cached_property
    def features(self) -> "Sequence[Feature]":
        """The features; imports the user's features file."""
        features: Sequence[Feature] = self.features_reference.load()
        require_columns(self._label_columns, {c.name for c in self.table.contract.columns}, self)
        return features

    @property
    def label_facts(self) -> dict[str, str | None]:
        """Name, unit and task of the label."""
        label = self.config.label
        column = next(c for c in self.table.contract.columns if c.name == label.column)
        return {"name": label.column, "unit": column.unit, "task": label.task}

    @property
    def label_unit(self) -> str:
        """Unit of the label, empty where it has none."""
        return self.label_facts["unit"] or ""

    @property
    def _label_columns(self) -> dict[str, str]:
        return {"label.column": self.config.label.column, "label.known_at": self.config.label.known_at}

    def check(self) -> None:
        """Raise a ConfigError for what is wrong and can be seen without importing the user's files."""
        self.features_reference.check("attributes.features")
        columns = columns_written_in(self.table.schema.check("attributes.schema"))
        if columns is not None:
            require_columns(self._label_columns, columns, self)


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
