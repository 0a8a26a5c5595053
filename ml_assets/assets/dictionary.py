"""Group `data`: the data dictionary of a table, for people."""

import hashlib
from typing import TYPE_CHECKING, Any

import dagster as dg

from ml_assets.assets.automation import Condition
from ml_assets.assets.typed_tables import DATA_DICTIONARY
from ml_assets.problem import Table
from ml_assets.resources.reports import Reports
from ml_assets.resources.tables import SCHEMA

if TYPE_CHECKING:
    from ml_assets.core.dictionary import DictionaryEntry

_DUE: Condition = dg.AutomationCondition.missing().newly_true() | dg.AutomationCondition.code_version_changed()
_HANDLED: Condition = dg.AutomationCondition.newly_requested() | dg.AutomationCondition.newly_updated()
# Not `since_last_handled`: that takes the first evaluation for handled, and there would never be a first dictionary.
ONCE_PER_SCHEMA: Condition = _DUE.since(_HANDLED).with_label("once_per_schema")
"""Once where there is none yet, and again when `schema.py` has changed."""


def dictionary(table: Table) -> dg.AssetsDefinition:
    """`<table>/dictionary`: what every column means and what rows are held to, as a table and as a page."""

    @dg.asset(
        key=table.key("dictionary"),
        description=f"Data dictionary of {table.name}: each column's type, unit, range, null policy and source.",
        group_name="data",
        kinds={"pandas"},
        code_version=schema_version(table),
        automation_condition=ONCE_PER_SCHEMA,
        dagster_type=DATA_DICTIONARY.dagster_type,
        metadata={SCHEMA: DATA_DICTIONARY.schema()},
        io_manager_key="tables",
    )
    def dictionary_now(reports: Reports) -> dg.Output[Any]:
        from ml_assets.core.dictionary import dictionary_rows, render_dictionary, row_rules

        contract, event_time = table.contract, table.config.event_time
        frame = DATA_DICTIONARY.frame(row(entry) for entry in dictionary_rows(contract, event_time))
        page = reports.page(table.name, "dictionary.html", render_dictionary(table.name, contract, event_time).encode())
        shown = {
            "page": dg.MetadataValue.path(page),
            "rules_of_the_row": {rule.name: rule.description for rule in row_rules(contract, event_time)},
        }
        return DATA_DICTIONARY.output(frame, shown)

    return dictionary_now


def schema_version(table: Table) -> str:
    """What the dictionary is made from: the SHA-256 of `schema.py`'s text and of what `defs.yaml` says of it.

    Not of other files that a schema may import; those count when the dictionary is materialized by hand.
    """
    told = f"{table.schema.text}\n{table.config.event_time}\n{table.schema.path.read_text(encoding='utf-8')}"
    return hashlib.sha256(told.encode()).hexdigest()


def row(entry: "DictionaryEntry") -> dict[str, str | None]:
    """An entry as a row of `DATA_DICTIONARY`; what it has no words for is missing."""
    told = {
        "column": entry.column,
        "type": entry.type,
        "unit": entry.unit,
        "values": entry.constraints,
        "missing": entry.missing,
        "source": entry.source,
        "known_at": entry.known_at,
        "description": entry.description,
        "rules": ", ".join(entry.rules),
    }
    return {name: words or None for name, words in told.items()}
