"""DuckDB: SQL over the files."""

import json
from pathlib import Path
from typing import Any

import duckdb

from benchmarks.files import COMPRESSION_LEVEL, HISTORY, QUARANTINE, RAW, ROW_GROUP_ROWS, RULES, VALIDATED
from benchmarks.history_features import SPEED, SPEED_MINUTES, STARTS, STARTS_MINUTES

COPY_OPTIONS = (
    f"(FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL {COMPRESSION_LEVEL}, ROW_GROUP_SIZE {ROW_GROUP_ROWS})"
)


def connect() -> duckdb.DuckDBPyConnection:
    """A database in memory, free to write rows in any order, which is its faster way."""
    database = duckdb.connect()
    database.execute("SET preserve_insertion_order = false")
    return database


def keeps(rule: dict[str, Any]) -> str:
    """A rule that each row keeps by itself, as a condition that is true or null for a row that keeps it."""
    if rule["kind"] == "row":
        return "dropoff_at > pickup_at"
    name = rule["columns"][0]
    if rule["kind"] == "not_null":
        return f"{name} IS NOT NULL"
    if rule["kind"] == "finite":
        return f"isfinite({name})"
    if rule["kind"] == "isin":
        return f"{name} IN ({', '.join(map(str, rule['values']))})"
    signs = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}
    ends = {how: f"TIMESTAMP '{end}'" if isinstance(end, str) else end for how, end in rule["bounds"].items()}
    return " AND ".join(f"{name} {signs[how]} {end}" for how, end in ends.items())


def trips_view(database: duckdb.DuckDBPyConnection, month: Path, rules: dict[str, Any]) -> None:
    """Raw rows under the contract's names as a view `trips`."""
    named = ", ".join(f'"{source}" AS {name}' for source, name in rules["columns"].items())
    minutes = "epoch_us(dropoff_at - pickup_at) / 60e6 AS trip_minutes"
    speed = "CASE WHEN trip_minutes > 0 THEN trip_miles / trip_minutes * 60 END AS speed_mph"
    database.execute(f"""
        CREATE VIEW trips AS
        SELECT file_row_number::UINTEGER AS row_number, {named}, {minutes}, {speed}
        FROM read_parquet('{month / RAW}', file_row_number = true)
    """)


def validate(month: Path, out: Path) -> None:
    """Raw into validated and quarantine."""
    rules = json.loads((month / RULES).read_text())
    database = connect()
    trips_view(database, month, rules)
    alone = {rule["rule"]: keeps(rule) for rule in rules["rules"] if rule["kind"] != "unique"}
    fine = " AND ".join(f"coalesce({condition}, true)" for condition in alone.values())
    key = ", ".join(rules["key"])
    same = " AND ".join(f"trips.{name} IS NOT DISTINCT FROM several.{name}" for name in rules["key"])
    database.execute(f"""
        CREATE TABLE repeats AS
        WITH several AS (SELECT {key} FROM trips GROUP BY ALL HAVING count(*) > 1)
        SELECT row_number FROM trips SEMI JOIN several ON {same}
        QUALIFY row_number() OVER (PARTITION BY {key} ORDER BY {fine} DESC, row_number) > 1
    """)
    unique = "row_number NOT IN (FROM repeats)"
    conditions = {rule["rule"]: alone.get(rule["rule"], unique) for rule in rules["rules"]}
    listed = ", ".join(f"CASE WHEN NOT ({condition}) THEN '{name}' END" for name, condition in conditions.items())
    database.execute(f"COPY (FROM trips WHERE {fine} AND {unique}) TO '{out / VALIDATED}' {COPY_OPTIONS}")
    database.execute(f"""
        COPY (
            SELECT *, list_filter([{listed}], lambda name: name IS NOT NULL) AS broken_rules
            FROM trips WHERE NOT ({fine}) OR NOT ({unique})
        ) TO '{out / QUARANTINE}' {COPY_OPTIONS}
    """)


def history(month: Path, out: Path) -> None:
    """The two history features of validated rows, by prefix sums and ASOF joins.

    The fastest of six ways tried. A window with a RANGE frame says the same in two lines and takes six times as long.
    """
    speed = looked_up("ends", "dropoff_at", SPEED_MINUTES)
    starts = looked_up("starts", "pickup_at", STARTS_MINUTES)
    connect().execute(f"""
        CREATE TABLE trips AS
        SELECT row_number, pickup_at, dropoff_at, pickup_zone, speed_mph FROM '{month / VALIDATED}';

        CREATE TABLE ends AS
        SELECT pickup_zone, dropoff_at, max(trips) AS trips, arg_max(total, trips) AS total
        FROM (
            SELECT pickup_zone, dropoff_at, sum(speed_mph) OVER past AS total, count(*) OVER past AS trips
            FROM trips
            WINDOW past AS (PARTITION BY pickup_zone ORDER BY dropoff_at ROWS UNBOUNDED PRECEDING)
        )
        GROUP BY ALL;

        CREATE TABLE starts AS
        SELECT pickup_zone, pickup_at, max(trips) AS trips
        FROM (
            SELECT pickup_zone, pickup_at, row_number() OVER (PARTITION BY pickup_zone ORDER BY pickup_at) AS trips
            FROM trips
        )
        GROUP BY ALL;

        COPY (
            SELECT row_number, {SPEED}, {STARTS}
            FROM (
                SELECT row_number,
                    (until.total - coalesce(since.total, 0))
                    / nullif(until.trips - coalesce(since.trips, 0), 0) AS {SPEED}
                FROM {speed}
            )
            JOIN (
                SELECT row_number, (coalesce(until.trips, 0) - coalesce(since.trips, 0))::DOUBLE AS {STARTS}
                FROM {starts}
            )
            USING (row_number)
        ) TO '{out / HISTORY}' {COPY_OPTIONS}
    """)


def looked_up(facts: str, known_at: str, minutes: int) -> str:
    """Trips with the sums known before they start, `until`, and before their windows begin, `since`."""
    begin = f"trips.pickup_at - INTERVAL {minutes} MINUTE"
    return f"""trips
        ASOF LEFT JOIN {facts} until ON trips.pickup_zone = until.pickup_zone AND trips.pickup_at > until.{known_at}
        ASOF LEFT JOIN {facts} since ON trips.pickup_zone = since.pickup_zone AND {begin} > since.{known_at}
    """


STEPS = {"validate": validate, "history": history}
