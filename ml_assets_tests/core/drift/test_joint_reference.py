"""What a bundle keeps for the domain classifier: which rows, and which columns are left out because they tell all."""

import numpy as np
import polars as pl
import pytest
from scipy import stats

from ml_assets.core.drift.bins import Column
from ml_assets.core.drift.domain_classifier import DomainShift
from ml_assets.core.drift.joint_reference import CONSTANT, MOST_PARTITIONS, JointReference, joint_reference
from ml_assets.core.drift.sample import MOST_ROWS, PARTITION
from ml_assets.core.errors import ProfileError

NUMBERS = ("miles", "hour", "month", "year", "day_of_month", "hours_since_2018", "warmth", "traffic", "constant")
COLUMNS = [
    *(Column(name, "number") for name in NUMBERS), Column("zone", "category"), Column("weekday", "category"),
]  # fmt: skip


def month(number: int, rows: int = 400) -> pl.DataFrame:
    rng = np.random.default_rng(number)
    day = rng.integers(0, 28, rows).astype(float)
    return pl.DataFrame(
        {
            "row_number": pl.Series(range(rows), dtype=pl.UInt32),
            "miles": rng.normal(0, 1, rows),
            "hour": rng.integers(0, 24, rows).astype(float),
            "month": np.full(rows, number % 12 + 1.0),
            "year": np.full(rows, 2018.0 + number // 12),
            "day_of_month": day + 1,
            "hours_since_2018": 24 * (30 * number + day),
            "warmth": rng.normal(0, 1, rows) + np.sin(np.pi * number / 6),
            "traffic": rng.normal(0, 1, 28)[day.astype(int)],
            "constant": np.ones(rows),
            "zone": [f"z{i}" for i in rng.integers(0, 260, rows)],
            "weekday": [str(d) for d in day.astype(int) % 7],
        }
    )


def joint(frames: dict[str, pl.DataFrame], columns=COLUMNS) -> JointReference:
    return joint_reference(columns, {key: frame.lazy() for key, frame in frames.items()})


def months(count: int, **more: int) -> dict[str, pl.DataFrame]:
    return {f"m{i:02d}": month(i, **more) for i in range(count)}


@pytest.fixture(scope="module")
def learnt() -> JointReference:
    return joint(months(14, rows=300))


def test_what_tells_partitions_apart_is_left_out_and_named(learnt):
    assert set(learnt.left_out) == {"month", "year", "hours_since_2018", "traffic", "warmth", "constant"}
    assert learnt.left_out["constant"] == CONSTANT
    assert [c.name for c in learnt.sample.columns] == ["miles", "hour", "day_of_month", "zone", "weekday"]
    told = [why for name, why in learnt.left_out.items() if name != "constant"]
    assert told[0].startswith("by it, and others that are left, partitions are told from each other: AUC 1.000")
    assert max(one.auc for one in learnt.past) < 0.65


def test_a_day_of_the_week_tells_days_apart_and_rows_that_are_missing_now_and_then_do_too():
    some = [Column("miles", "number"), Column("hour", "number"), Column("weekday", "category")]
    days = {f"d{i:02d}": month(i).with_columns(weekday=pl.lit(str(i % 7))) for i in range(14)}
    assert set(joint(days, some).left_out) == {"weekday"}
    often = {f"d{i:02d}": month(i).with_columns(hour=pl.lit(None, pl.Float64) if i % 2 else 1.0) for i in range(8)}
    assert set(joint(often, some).left_out) == {"hour"}


def test_where_partitions_differ_by_chance_columns_are_left_out_once_in_ten_times():
    some = [Column("miles", "number"), Column("zone", "category")]
    alike = ({f"m{i}": month(100 * seed + i, rows=80) for i in range(6)} for seed in range(20))
    assert sum(bool(joint(frames, some).left_out) for frames in alike) <= stats.binom.ppf(0.99, 20, 0.1)


def test_rows_come_from_many_partitions_and_are_not_many(learnt):
    assert learnt.sample.rows.height == MOST_ROWS
    assert learnt.sample.rows[PARTITION].n_unique() == len(learnt.past) == 14
    some = [Column("miles", "number"), Column("zone", "category")]
    long = joint({f"d{i:03d}": month(i, rows=50) for i in range(90)}, some)
    assert long.sample.rows[PARTITION].n_unique() == MOST_PARTITIONS
    assert long.sample.rows.height == 50 * MOST_PARTITIONS


def test_bytes_come_back_and_what_is_damaged_is_refused(learnt):
    content = learnt.to_bytes()
    again = JointReference.from_bytes(content)
    assert again.to_bytes() == content
    some = [Column("miles", "number"), Column("zone", "category")]
    assert joint(months(6), some).to_bytes() == joint(months(6), some).to_bytes()
    now = month(25).lazy()
    assert again.compare(now, "now") == learnt.compare(now, "now")
    for damaged in (
        b"no JSON",
        b"[]",
        b"{}",
        content.replace(b'"format":1', b'"format":7'),
    ):
        with pytest.raises(ProfileError, match="reference sample"):
            JointReference.from_bytes(damaged)


def test_where_it_can_say_nothing_it_says_why(learnt):
    few = joint(months(5))
    assert "fewer than 6 partitions" in few.compare(month(3).lazy(), "now")
    assert learnt.compare(month(3).head(39).lazy(), "now") == "fewer than 40 rows"
    alone = joint(months(6), [Column("miles", "number"), Column("month", "number")])
    assert alone.sample.rows.is_empty()
    assert "see what is left out" in JointReference.from_bytes(alone.to_bytes()).compare(month(3).lazy(), "now")
    assert isinstance(learnt.compare(month(3).lazy(), "now"), DomainShift)
