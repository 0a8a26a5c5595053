"""Great Expectations on pandas: one suite, complete results, its lists of unexpected rows turned into quarantine.

Runs in an environment of its own, see `requirements.in`: its library, pandas and pyarrow only. pandas is the
engine of its three (pandas, SQL, Spark) that reads Parquet by itself and gives row numbers of every rule.
"""

import json
from pathlib import Path
from typing import Any

import great_expectations as gx
import great_expectations.expectations as gxe
import numpy as np
import pandas as pd

from benchmarks.contenders.pandas_by_hand import bounds, read_trips, repeats, write
from benchmarks.files import QUARANTINE, RULES, VALIDATED


def expectation(rule: dict[str, Any], key: list[str]) -> gxe.Expectation:
    """A rule as an expectation that carries its name."""
    named = {"meta": {"rule": rule["rule"]}}
    if rule["kind"] == "unique":
        return gxe.ExpectCompoundColumnsToBeUnique(column_list=key, ignore_row_if="never", **named)
    if rule["kind"] == "row":
        return gxe.ExpectColumnPairValuesAToBeGreaterThanB(
            column_A="dropoff_at", column_B="pickup_at", ignore_row_if="either_value_is_missing", **named
        )
    [column] = rule["columns"]
    if rule["kind"] == "not_null":
        return gxe.ExpectColumnValuesToNotBeNull(column=column, **named)
    if rule["kind"] == "isin":
        return gxe.ExpectColumnValuesToBeInSet(column=column, value_set=rule["values"], **named)
    ends = {"gt": -np.inf, "lt": np.inf} if rule["kind"] == "finite" else bounds(rule)
    return gxe.ExpectColumnValuesToBeBetween(
        column=column,
        min_value=ends.get("gt", ends.get("ge")),
        max_value=ends.get("lt", ends.get("le")),
        strict_min="gt" in ends,
        strict_max="lt" in ends,
        **named,
    )


def unexpected(trips: pd.DataFrame, rules: dict[str, Any]) -> dict[str, np.ndarray]:
    """Row numbers that break each rule, as Great Expectations finds them."""
    context = gx.get_context(mode="ephemeral")
    asset = context.data_sources.add_pandas("trips").add_dataframe_asset("trips")
    batch = asset.add_batch_definition_whole_dataframe("month").get_batch({"dataframe": trips})
    suite = gx.ExpectationSuite("trips", expectations=[expectation(rule, rules["key"]) for rule in rules["rules"]])
    result = batch.validate(context.suites.add(suite), result_format={"result_format": "COMPLETE"})
    found = {}
    for one in result.results:
        if one.exception_info.get("raised_exception"):
            raise RuntimeError(f"{one.expectation_config}: {one.exception_info}")
        found[one.expectation_config.meta["rule"]] = np.array(one.result["unexpected_index_list"], dtype=np.int64)
    return found


def validate(month: Path, out: Path) -> None:
    """Raw into validated and quarantine."""
    rules = json.loads((month / RULES).read_text())
    trips = read_trips(month, rules)
    found = unexpected(trips, rules)
    [unique] = [rule["rule"] for rule in rules["rules"] if rule["kind"] == "unique"]
    others = np.concatenate([rows for rule, rows in found.items() if rule != unique])
    several = trips.loc[np.sort(found[unique]), rules["key"]]
    again = repeats(several, pd.Series(several.index.isin(others), several.index), rules["key"])
    found[unique] = several.index[again].to_numpy()
    rows = np.concatenate([*found.values()])
    names = np.repeat(list(found), [len(one) for one in found.values()])
    broken_rules = pd.Series(names).groupby(rows).agg(list)
    quarantine = trips.loc[broken_rules.index]
    write(quarantine.assign(broken_rules=broken_rules), out / QUARANTINE)
    valid = np.ones(len(trips), dtype=bool)
    valid[broken_rules.index] = False
    write(trips[valid], out / VALIDATED)


STEPS = {"validate": validate}
