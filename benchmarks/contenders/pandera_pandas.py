"""pandera on pandas: `validate(lazy=True)`, and its failure cases turned into rows with the names of their rules.

The schema carries its own names of rules as the checks' error messages. pandera reports every row of a repeated
key; which of them stays is decided afterwards.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa

from benchmarks.contenders.pandas_by_hand import bounds, read_trips, repeats, write
from benchmarks.files import QUARANTINE, RULES, VALIDATED

UNIQUE = "multiple_fields_uniqueness"


def schema_of(rules: dict[str, Any]) -> pa.DataFrameSchema:
    """The rules as a pandera schema."""
    columns = [*rules["columns"].values(), *rules["derived"]]
    named: dict[str, list[pa.Check]] = {name: [] for name in columns}
    required = {rule["columns"][0] for rule in rules["rules"] if rule["kind"] == "not_null"}
    for rule in rules["rules"]:
        if rule["kind"] in ("finite", "isin", "bounds"):
            named[rule["columns"][0]] += checks_of(rule)
    after = pa.Check(lambda trips: trips["dropoff_at"] > trips["pickup_at"], error="dropoff_after_pickup")
    return pa.DataFrameSchema(
        {name: pa.Column(checks=checks, nullable=name not in required) for name, checks in named.items()},
        checks=[after],
        unique=rules["key"],
        report_duplicates="all",
    )


def checks_of(rule: dict[str, Any]) -> list[pa.Check]:
    """One rule on one column."""
    name = rule["rule"]
    if rule["kind"] == "finite":
        return [pa.Check(lambda values: ~np.isinf(values), error=name)]
    if rule["kind"] == "isin":
        return [pa.Check.isin(rule["values"], error=name)]
    ends = bounds(rule)
    low, high = ends.keys() & {"gt", "ge"}, ends.keys() & {"lt", "le"}
    if low and high:
        [lower], [upper] = low, high
        return [
            pa.Check.in_range(
                ends[lower], ends[upper], include_min=lower == "ge", include_max=upper == "le", error=name
            )
        ]
    return [getattr(pa.Check, how)(end, error=name) for how, end in ends.items()]


def validate(month: Path, out: Path) -> None:
    """Raw into validated and quarantine."""
    rules = json.loads((month / RULES).read_text())
    trips = read_trips(month, rules)
    try:
        schema_of(rules).validate(trips, lazy=True)
        failures = pd.DataFrame({"index": [], "rule": []})
    except pa.errors.SchemaErrors as error:
        cases = error.failure_cases
        not_null = cases["check"] == "not_nullable"
        cases.loc[not_null, "check"] = cases.loc[not_null, "column"] + "_not_null"
        failures = cases[["index", "check"]].rename(columns={"check": "rule"}).drop_duplicates()
        failures["index"] = failures["index"].astype(np.int64)
    of_unique = failures["rule"] == UNIQUE
    others = failures[~of_unique]
    several = trips.loc[np.sort(failures.loc[of_unique, "index"].to_numpy()), rules["key"]]
    breaks_others = pd.Series(several.index.isin(others["index"]), several.index)
    repeated = several.index[repeats(several, breaks_others, rules["key"])]
    failures = pd.concat([others, pd.DataFrame({"index": repeated, "rule": "unique"})])
    broken_rules = failures.groupby("index")["rule"].agg(list)
    quarantine = trips.loc[broken_rules.index]
    write(quarantine.assign(broken_rules=broken_rules), out / QUARANTINE)
    valid = np.ones(len(trips), dtype=bool)
    valid[broken_rules.index] = False
    write(trips[valid], out / VALIDATED)


STEPS = {"validate": validate}
