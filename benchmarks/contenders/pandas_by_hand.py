"""pandas by hand, as a careful notebook would: masks, duplicates among the few rows that repeat a key."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.files import COMPRESSION, COMPRESSION_LEVEL, QUARANTINE, RAW, ROW_GROUP_ROWS, RULES, SOURCE, VALIDATED


def write(frame: pd.DataFrame, target: Path) -> None:
    """A frame as Parquet."""
    frame.to_parquet(
        target,
        index=False,
        compression=COMPRESSION,
        compression_level=COMPRESSION_LEVEL,
        row_group_size=ROW_GROUP_ROWS,
    )


def read_trips(month: Path, rules: dict[str, Any]) -> pd.DataFrame:
    """Raw rows under the contract's names, with row numbers and what is computed."""
    trips = pd.read_parquet(month / RAW).rename(columns=rules["columns"])
    trips["row_number"] = np.arange(len(trips), dtype=np.uint32)
    trips["trip_minutes"] = (trips["dropoff_at"] - trips["pickup_at"]).dt.total_seconds() / 60
    trips["speed_mph"] = trips["trip_miles"] / trips["trip_minutes"].where(trips["trip_minutes"] > 0) * 60
    return trips


def bounds(rule: dict[str, Any]) -> dict[str, Any]:
    """Any of `gt`, `ge`, `lt`, `le`."""
    return {how: pd.Timestamp(end) if isinstance(end, str) else end for how, end in rule["bounds"].items()}


def breaks(trips: pd.DataFrame, rule: dict[str, Any]) -> "pd.Series[bool]":
    """Which rows break a rule that each row keeps by itself."""
    if rule["kind"] == "row":
        return ~(trips["dropoff_at"] > trips["pickup_at"])
    value = trips[rule["columns"][0]]
    if rule["kind"] == "not_null":
        return value.isna()
    if rule["kind"] == "finite":
        return np.isinf(value)
    if rule["kind"] == "isin":
        return ~value.isin(rule["values"]) & value.notna()
    ends = bounds(rule)
    broken = pd.Series(False, index=trips.index)
    # comparisons with a missing value are false, so a missing value breaks none of these
    if "gt" in ends:
        broken |= value <= ends["gt"]
    if "ge" in ends:
        broken |= value < ends["ge"]
    if "lt" in ends:
        broken |= value >= ends["lt"]
    if "le" in ends:
        broken |= value > ends["le"]
    return broken


def repeats(trips: pd.DataFrame, breaks_others: "pd.Series[bool]", key: list[str]) -> "pd.Series[bool]":
    """Rows of a repeated key but the first that keeps all other rules."""
    several = trips.duplicated(key, keep=False)
    few = trips.loc[several, key].assign(breaks_others=breaks_others[several])
    ordered = few.sort_values("breaks_others", kind="stable")
    repeated = ordered.index[ordered.duplicated(key)]
    broken = pd.Series(False, index=trips.index)
    broken[repeated] = True
    return broken


def split(trips: pd.DataFrame, broken: dict[str, "pd.Series[bool]"], out: Path) -> pd.DataFrame:
    """Write valid and quarantined rows, and return the valid ones."""
    bad = np.logical_or.reduce([*broken.values()])
    names = np.array(list(broken))
    quarantine = trips[bad].copy()
    masks = np.column_stack([mask[bad] for mask in broken.values()])
    quarantine["broken_rules"] = [names[row].tolist() for row in masks]
    write(quarantine, out / QUARANTINE)
    valid = trips[~bad]
    write(valid, out / VALIDATED)
    return valid


def validated(month: Path, out: Path) -> pd.DataFrame:
    """Write validated and quarantine, and return the valid rows."""
    rules = json.loads((month / RULES).read_text())
    trips = read_trips(month, rules)
    broken = {rule["rule"]: breaks(trips, rule) for rule in rules["rules"] if rule["kind"] != "unique"}
    others = np.logical_or.reduce([*broken.values()])
    ordered = {
        rule["rule"]: broken[rule["rule"]]
        if rule["kind"] != "unique"
        else repeats(trips, pd.Series(others, trips.index), rules["key"])
        for rule in rules["rules"]
    }
    return split(trips, ordered, out)


def ingest(month: Path, out: Path) -> None:
    """Source to raw."""
    write(pd.read_parquet(month / SOURCE), out / RAW)


def validate(month: Path, out: Path) -> None:
    """Raw into validated and quarantine."""
    validated(month, out)


STEPS = {"ingest": ingest, "validate": validate}
