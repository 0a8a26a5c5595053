"""Pipelines as the model server needs them, read from `ml_assets/defs` without Dagster: a server starts in a second.

Whether the files are right as a whole is checked where the code location is loaded (`dg check yaml`); here is read
what requests depend on, and only that is checked.
"""

import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_assets.core.errors import ConfigError
from ml_assets.resources.settings import REPOSITORY
from ml_assets.user_code import Reference

if TYPE_CHECKING:
    from ml_assets.core.contract import Contract
    from ml_assets.core.raw_fields import RawFields

DEFS = REPOSITORY / "ml_assets" / "defs"
READING_SECONDS = 120.0
"""How long reading a schema may take."""

_TABLE, _PIPELINE = "ml_assets.components.Table", "ml_assets.components.Pipeline"


@dataclass(frozen=True)
class _Document:
    file: Path
    attributes: dict[str, Any]

    @property
    def name(self) -> str:
        return str(self.attributes.get("name") or self.file.parent.name)

    def text(self, key: str) -> str:
        value = self.attributes.get(key)
        if not isinstance(value, str) or "{{" in value:
            raise ConfigError(
                f"{self.file}, attributes.{key}", found=repr(value), expected="a text, written out",
                cure="write it out: the model server reads this file without templates",
            )  # fmt: skip
        return value


def pipelines_written_in(defs: Path = DEFS) -> list[str]:
    """Names of the pipelines below a folder, in alphabetical order."""
    return sorted(_documents(defs, _PIPELINE))


def raw_fields_of(pipeline: str, defs: Path = DEFS, *, apart: bool = False) -> "RawFields":
    """What requests of a pipeline depend on; imports the user's features, and the schema.

    Args:
        pipeline: its name.
        defs: the folder of all tables and pipelines.
        apart: whether the schema is read in a process of its own, so that this one does without pandera; a schema
            whose rules run Python functions is read in this one all the same.

    Raises:
        ConfigError: there is no such pipeline or table, or its files say what can't be served.
    """
    from pydantic import ValidationError

    from ml_assets.config.pipeline import Label
    from ml_assets.config.serving import Serving
    from ml_assets.config.table import Partitions
    from ml_assets.core.contract import Contract
    from ml_assets.core.features import columns_among
    from ml_assets.core.history import HistoryFeature
    from ml_assets.core.raw_fields import RawFields

    told = _named(pipeline, _documents(defs, _PIPELINE), defs)
    table = _named(told.text("table"), _documents(defs, _TABLE), defs)
    try:
        label = Label.model_validate(told.attributes.get("label"))
        partitions = Partitions.model_validate(table.attributes.get("partitions"))
        serving = Serving.model_validate(told.attributes.get("serving") or {})
    except ValidationError as e:
        raise ConfigError(
            f"{told.file} or {table.file}", found=[f"{error['loc']}: {error['msg']}" for error in e.errors()],
            expected="a label, partitions of event time, and how requests are served", cure="see `dg check yaml`",
        ) from e  # fmt: skip
    event_time = table.text("event_time")
    schema = Reference(table.file.parent, table.text("schema"))
    contract = (_read_apart(schema) if apart else None) or Contract.from_model(schema.load())
    late = {label.column: label.known_at, **contract.known_after(event_time)}
    declared = Reference(told.file.parent, told.text("features")).load()
    features = [
        replace(f, known_at=f.known_when(event_time, late)) if isinstance(f, HistoryFeature) else f
        for f in columns_among(declared)
    ]
    unit = next((c.unit for c in contract.columns if c.name == label.column), None)
    answer = {
        "regression": f"{label.column} in {unit}" if unit else label.column,
        "binary": f"probability of {label.column}",
        "multiclass": f"probabilities of {label.column}: {', '.join(label.classes)}",
    }[label.task]
    return RawFields(
        pipeline,
        table.name,
        partitions.cadence,
        event_time,
        late,
        contract,
        features,
        answer,
        serving.unit,
        serving.key,
    )


def _read_apart(schema: Reference) -> "Contract | None":
    """The contract, read by another process; None where that can't tell it, and this one has to see for itself."""
    from ml_assets.core.contract_bytes import unpacked

    done = subprocess.run(  # noqa: S603 - our own interpreter and module
        [sys.executable, "-m", "ml_assets.served_contract", str(schema.folder), schema.text],
        capture_output=True, timeout=READING_SECONDS, check=False,
    )  # fmt: skip
    return unpacked(done.stdout) if done.returncode == 0 else None


def _documents(defs: Path, kind: str) -> dict[str, _Document]:
    import yaml  # type: ignore[import-untyped]

    found = {}
    for file in sorted(defs.rglob("defs.yaml")):
        for document in yaml.safe_load_all(file.read_text(encoding="utf-8")):
            if isinstance(document, dict) and document.get("type") == kind:
                one = _Document(file, document.get("attributes") or {})
                found[one.name] = one
    return found


def _named(name: str, documents: dict[str, _Document], defs: Path) -> _Document:
    if name not in documents:
        raise ConfigError(
            f"{name!r} below {defs}", found=f"{sorted(documents)}", expected="one of them",
            cure="correct the name, or add a folder with a defs.yaml",
        )  # fmt: skip
    return documents[name]
