"""The contract of the table `trips` as plain data, so that every contender checks the same rules.

Thresholds are read from `ml_assets/defs/trips/schema.py`, never copied. How a contender states a rule in its own
library is in `contenders`.
"""

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from ml_assets.core.contract import Contract
from ml_assets.core.rules import Rule, words

_BOUNDS = {
    "greater_than": {"gt": "min_value"},
    "greater_than_or_equal_to": {"ge": "min_value"},
    "less_than": {"lt": "max_value"},
    "less_than_or_equal_to": {"le": "max_value"},
    "in_range": {"ge": "min_value", "le": "max_value"},
}
_ROW_RULES = ("dropoff_after_pickup",)
"""Rules on several columns, which contenders write by name."""

_DERIVED = ("trip_minutes", "speed_mph")
"""Computed columns, which contenders write by name."""


def write_rules(contract: Contract, schema: Any, window: tuple[datetime, datetime], target: Path) -> None:
    """Write the rules to `target` as JSON.

    `columns`: name in the source -> name; `derived`: names; `key`: columns no two rows share; `rules`: in the order
    in which broken ones are listed, each with `rule`, `columns` and `kind`: `not_null`, `finite`, `isin` (with
    `values`), `bounds` (of `gt`, `ge`, `lt`, `le`; times as ISO text), `row`, `unique`. Rules of kind `type` are left
    out: raw is typed.

    Args:
        contract: what the rows are to keep.
        schema: the pandera schema it was made from.
        window: the month, half-open.
        target: the file.

    Raises:
        ValueError: the contract has something that contenders don't know yet.
    """
    checks = {f"{name}_{words(check)[0]}": check for name, c in schema.columns.items() for check in c.checks}
    rules = [_plain(rule, checks, window) for rule in contract.rules_for("pickup_at") if rule.kind != "type"]
    derived = [c.name for c in contract.columns if c.source is None]
    if set(derived) != set(_DERIVED):
        raise ValueError(f"derived columns {derived}, not {_DERIVED}: write them in benchmarks/contenders first")
    if len(contract.unique) != 1:  # of repeated keys one row stays: which one depends on the other rules
        raise ValueError(f"{len(contract.unique)} unique keys: contenders know one")
    plain = {
        "columns": {c.source: c.name for c in contract.columns if c.source is not None},
        "derived": derived,
        "key": list(contract.unique[0]),
        "rules": rules,
    }
    target.write_text(json.dumps(plain, indent=1))


def _plain(rule: Rule, checks: Mapping[str, Any], window: tuple[datetime, datetime]) -> dict[str, Any]:
    named = {"rule": rule.name, "columns": list(rule.columns)}
    if rule.kind in ("not_null", "finite", "unique"):
        return {**named, "kind": rule.kind}
    if rule.kind == "in_partition":
        return {**named, "kind": "bounds", "bounds": {"ge": window[0].isoformat(), "lt": window[1].isoformat()}}
    if rule.name in _ROW_RULES:
        return {**named, "kind": "row"}
    check = checks.get(rule.name)
    if check is not None and check.name == "isin":
        return {**named, "kind": "isin", "values": list(check.statistics["allowed_values"])}
    if check is None or check.name not in _BOUNDS:
        raise ValueError(f"rule {rule.name}: contenders don't know it; write it in benchmarks/contenders first")
    said = check.statistics
    open_ends = {"ge": not said.get("include_min", True), "le": not said.get("include_max", True)}
    bounds = {
        ("gt" if how == "ge" else "lt") if open_ends.get(how) else how: said[value]
        for how, value in _BOUNDS[check.name].items()
    }
    return {**named, "kind": "bounds", "bounds": bounds}
