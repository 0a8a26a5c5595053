"""pandera on Polars as it is: `validate(lazy=True)` of a collected frame, failure cases turned into rows.

pandera gives every row of a repeated key; which of them stays is decided afterwards.
"""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pandera.polars as pa
import polars as pl

from benchmarks.files import COMPRESSION_LEVEL, QUARANTINE, RAW, ROW_GROUP_ROWS, RULES, VALIDATED

UNIQUE = "multiple_fields_uniqueness"


def schema_of(rules: dict[str, Any]) -> pa.DataFrameSchema:
    """The rules as a pandera schema."""
    columns = [*rules["columns"].values(), *rules["derived"]]
    named: dict[str, list[pa.Check]] = {name: [] for name in columns}
    required = {rule["columns"][0] for rule in rules["rules"] if rule["kind"] == "not_null"}
    for rule in rules["rules"]:
        if rule["kind"] in ("finite", "isin", "bounds"):
            named[rule["columns"][0]] += checks_of(rule)
    after = pa.Check(
        lambda data: data.lazyframe.select(pl.col("dropoff_at") > pl.col("pickup_at")), error="dropoff_after_pickup"
    )
    return pa.DataFrameSchema(
        {name: pa.Column(checks=checks, nullable=name not in required) for name, checks in named.items()},
        checks=[after],
        unique=rules["key"],
    )


def checks_of(rule: dict[str, Any]) -> list[pa.Check]:
    """One rule on one column."""
    name = rule["rule"]
    if rule["kind"] == "finite":
        return [pa.Check(lambda data: data.lazyframe.select(pl.col(data.key).is_finite()), error=name)]
    if rule["kind"] == "isin":
        return [pa.Check.isin(rule["values"], error=name)]
    ends = {how: datetime.fromisoformat(end) if isinstance(end, str) else end for how, end in rule["bounds"].items()}
    low, high = ends.keys() & {"gt", "ge"}, ends.keys() & {"lt", "le"}
    if low and high:
        [lower], [upper] = low, high
        return [
            pa.Check.in_range(
                ends[lower], ends[upper], include_min=lower == "ge", include_max=upper == "le", error=name
            )
        ]
    return [getattr(pa.Check, how)(end, error=name) for how, end in ends.items()]


def read_trips(month: Path, rules: dict[str, Any]) -> pl.DataFrame:
    """Raw rows under the contract's names, with row numbers and what is computed."""
    trips = pl.read_parquet(month / RAW).rename(rules["columns"]).with_row_index("row_number")
    minutes = (pl.col("dropoff_at") - pl.col("pickup_at")).dt.total_seconds() / 60
    speed = pl.when(pl.col("trip_minutes") > 0).then(pl.col("trip_miles") / pl.col("trip_minutes") * 60)
    return trips.with_columns(minutes.alias("trip_minutes")).with_columns(speed.alias("speed_mph"))


def validate(month: Path, out: Path) -> None:
    """Raw into validated and quarantine."""
    rules = json.loads((month / RULES).read_text())
    trips = read_trips(month, rules)
    failures = pl.DataFrame(schema={"row_number": pl.UInt32, "rule": pl.String})
    try:
        schema_of(rules).validate(trips, lazy=True)
    except pa.errors.SchemaErrors as error:
        named = pl.when(check="not_nullable").then(pl.col("column") + "_not_null").otherwise("check")
        failures = error.failure_cases.select(pl.col("index").cast(pl.UInt32).alias("row_number"), named.alias("rule"))
    others = failures.filter(pl.col("rule") != UNIQUE)
    repeated = (
        failures.filter(rule=UNIQUE)
        .join(trips.select("row_number", *rules["key"]), on="row_number")
        .with_columns(pl.col("row_number").is_in(others["row_number"].implode()).alias("breaks others"))
        .sort("breaks others", "row_number")
        .filter(~pl.struct(rules["key"]).is_first_distinct())
        .select("row_number", pl.lit("unique").alias("rule"))
    )
    broken = pl.concat([others, repeated]).group_by("row_number").agg(pl.col("rule").alias("broken_rules"))
    quarantine = trips.join(broken, on="row_number", maintain_order="left")
    valid = trips.join(broken, on="row_number", how="anti", maintain_order="left")
    for frame, name in ((quarantine, QUARANTINE), (valid, VALIDATED)):
        frame.write_parquet(
            out / name, compression="zstd", compression_level=COMPRESSION_LEVEL, row_group_size=ROW_GROUP_ROWS
        )


STEPS = {"validate": validate}
