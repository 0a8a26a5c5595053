"""Faults in a month of real trips, from the file to the verdict: found where they were planted, and nowhere else."""

from datetime import datetime
from pathlib import Path

import polars as pl
import pytest

from ml_assets.core.contract import Contract
from ml_assets_tests.core.test_bad_input import FILES, INF, NAN, each, outcome, planted, save


@FILES
def test_a_real_month_with_faults_of_all_kinds(tlc: Path, tmp_path: Path, kind: str) -> None:
    """Planted in rows that are good and alone with their key; all other verdicts stay as they were."""
    from ml_assets.defs.trips.schema import Trip

    contract = Contract.from_model(Trip)
    real = pl.read_parquet(tlc / "yellow_tripdata_2019-03.parquet")
    save(real, tmp_path, kind)
    before = outcome(tmp_path, kind, contract, "pickup_at")
    key = list(contract.unique[0])
    alone = before.valid.filter(pl.struct(key).is_unique())["row_number"].to_list()[::7]
    distance, count, pickup, charge, zone, paid = (alone[n::6][:40] for n in range(6))
    frame = planted(real, "trip_distance", {row: ("abc" if n % 2 else "12.5") for n, row in enumerate(distance)})
    frame = planted(frame, "passenger_count", {row: (1.5, 2.0, NAN, None)[n % 4] for n, row in enumerate(count)},
                    pl.Float64)  # fmt: skip
    frame = planted(frame, "tpep_pickup_datetime", dict.fromkeys(pickup, datetime(2019, 2, 2)), pl.Datetime("us"))
    frame = planted(frame, "fare_amount", {row: (NAN, INF)[n % 2] for n, row in enumerate(charge)}, pl.Float64)
    frame = planted(frame, "PULocationID", {row: (1.0, 1.5)[n % 2] for n, row in enumerate(zone)}, pl.Float64)
    frame = planted(frame, "total_amount", dict.fromkeys(paid, "$7"))
    frame = pl.concat([frame, frame[alone[240:250]]])
    save(frame, tmp_path, kind)
    got = outcome(tmp_path, kind, contract, "pickup_at")

    unreadable_count = 1 if kind == "parquet" else 2  # in CSV, NaN is a text like any other that is no number
    expected = (
        each(distance[1::2], "trip_miles_type")
        | {row: ["passengers_type"] for n, row in enumerate(count) if n % 4 in (0, 2)[:unreadable_count]}
        | each(pickup, "trip_minutes_in_range", "pickup_at_in_partition")
        | each(charge, "fare_usd_finite", "fare_usd_in_range")
        | each(zone[1::2], "pickup_zone_type")
        | each(paid, "total_usd_type")
        | each(range(len(real), len(real) + 10), "unique")
    )
    planted_rules = {row: sorted(rules) for row, rules in got.broken.items() if row not in before.broken}
    assert planted_rules == {row: sorted(rules) for row, rules in expected.items()}
    assert {row: got.broken[row] for row in before.broken} == before.broken
    assert got.provenance.rows == len(real) + 10


@FILES
@pytest.mark.parametrize("share", [0.05, 0.5, 1.0])
def test_a_share_of_a_real_month(tlc: Path, tmp_path: Path, kind: str, share: float) -> None:
    from ml_assets.defs.trips.schema import Trip

    contract = Contract.from_model(Trip)
    real = pl.read_parquet(tlc / "yellow_tripdata_2019-03.parquet")
    bad = range(0, len(real), round(1 / share))
    save(planted(real, "tolls_amount", dict.fromkeys(bad, "none")), tmp_path, kind)
    got = outcome(tmp_path, kind, contract, "pickup_at")
    assert got.counts["tolls_usd_type"] == len(bad) == round(share * len(real))
    assert {row for row, rules in got.broken.items() if "tolls_usd_type" in rules} == set(bad)
