from datetime import datetime, timedelta
from typing import Any

import pandera.polars as pa
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from ml_assets.core.contract import Contract, column
from ml_assets.core.errors import ConfigError, ContractError
from ml_assets.core.rules import words
from ml_assets.core.validation import judge, rule_counts, split
from ml_assets.core.windows import Window

MARCH = Window("2020-03", datetime(2020, 3, 1), datetime(2020, 4, 1))
START = datetime(2020, 3, 5, 12)
LATER = timedelta(minutes=10)


class Ride(pa.DataFrameModel):
    """One ride."""

    started_at: datetime = column(source="start")
    ended_at: datetime = column(source="end")
    ride_miles: float = column(source="miles", gt=0, lt=100)
    ride_minutes: float = column(
        derived=(pl.col("ended_at") - pl.col("started_at")).dt.total_seconds() / 60, in_range=(1, 180)
    )
    riders: int = column(nullable=True, isin=[1, 2, 4])
    zone: int
    tag: str = column(nullable=True, str_matches="^[a-z]*$")
    tip_usd: float = column(nullable=True, required=False, ge=0)

    class Config:
        unique = ("started_at", "ended_at", "riders")

    @pa.check("zone")
    def known(cls, data: pa.PolarsData) -> pl.LazyFrame:
        return data.lazyframe.select(pl.col(data.key) < 264)

    @pa.check("zone", element_wise=True)
    def not_unlucky(cls, zone: int) -> bool:
        return zone != 13

    @pa.dataframe_check
    def ends_after_start(cls, data: pa.PolarsData) -> pl.LazyFrame:
        return data.lazyframe.select(pl.col("ended_at") > pl.col("started_at"))


RIDE = Contract.from_model(Ride)
GOOD: dict[str, Any] = {
    "start": START,
    "end": START + LATER,
    "miles": 2.5,
    "riders": 1,
    "zone": 7,
    "tag": "x",
    "tip_usd": 0.0,
}


def raw(*changes: dict[str, Any], schema: dict[str, Any] | None = None) -> pl.LazyFrame:
    """Good rows, a minute apart, each with its changes."""
    rows = [
        GOOD | {"start": START + timedelta(minutes=i), "end": START + LATER + timedelta(minutes=i)} | change
        for i, change in enumerate(changes)
    ]
    return pl.LazyFrame(rows, schema_overrides=schema, infer_schema_length=None)


def judged(frame: pl.LazyFrame, contract: Contract = RIDE) -> pl.DataFrame:
    return judge(frame, contract, event_time="started_at", window=MARCH).collect()


def broken(frame: pl.LazyFrame, contract: Contract = RIDE) -> list[list[str]]:
    return judged(frame, contract)["broken_rules"].to_list()


def test_good_rows_get_the_contracts_names_dtypes_and_derived_values() -> None:
    result = judged(raw({}, {"riders": None, "tag": None, "tip_usd": None}).with_columns(unasked=pl.lit(1)))
    assert result.schema == RIDE.schema | {"row_number": pl.UInt32(), "broken_rules": pl.List(pl.String)}
    assert result["ride_minutes"].to_list() == [10.0, 10.0]
    assert result["row_number"].to_list() == [0, 1]
    assert result["broken_rules"].to_list() == [[], []]


@pytest.mark.parametrize(
    ("change", "rules"),
    [
        ({"start": datetime(2020, 2, 29), "end": datetime(2020, 2, 29, 1)}, ["started_at_in_partition"]),
        ({"start": MARCH.end, "end": MARCH.end + LATER}, ["started_at_in_partition"]),
        ({"miles": 0.0}, ["ride_miles_gt"]),
        ({"miles": -1.0}, ["ride_miles_gt"]),
        ({"miles": 100.0}, ["ride_miles_lt"]),
        ({"miles": None}, ["ride_miles_not_null"]),
        ({"miles": float("nan")}, ["ride_miles_finite", "ride_miles_lt"]),
        ({"miles": float("inf")}, ["ride_miles_finite", "ride_miles_lt"]),
        ({"tip_usd": float("inf")}, ["tip_usd_finite"]),
        ({"tip_usd": float("nan")}, ["tip_usd_finite"]),
        ({"tip_usd": -1.0}, ["tip_usd_ge"]),
        ({"end": START + timedelta(days=1)}, ["ride_minutes_in_range"]),
        ({"end": START - LATER}, ["ride_minutes_in_range", "ends_after_start"]),
        ({"end": None}, ["ended_at_not_null", "ride_minutes_not_null"]),
        ({"riders": 3}, ["riders_isin"]),
        ({"zone": 264}, ["zone_known"]),
        ({"zone": 13}, ["zone_not_unlucky"]),
        ({"tag": "X"}, ["tag_str_matches"]),
        ({"miles": -1.0, "zone": 264, "tag": "X"}, ["ride_miles_gt", "zone_known", "tag_str_matches"]),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, list) else "",
)
def test_each_rule_fails_on_its_bad_row_only(change: dict[str, Any], rules: list[str]) -> None:
    assert broken(raw({}, change, {})) == [[], rules, []]


def test_the_window_is_half_open() -> None:
    at_start = {"start": MARCH.start, "end": MARCH.start + LATER}
    last = MARCH.end - timedelta(microseconds=1)
    assert broken(raw(at_start, {"start": last, "end": last + LATER})) == [[], []]


def test_what_can_not_be_converted_breaks_the_type_rule_and_is_null() -> None:
    frame = raw(
        {"miles": "2.5", "zone": "7", "riders": 1.0, "start": "2020-03-05 12:00:00"},
        {"miles": "far", "zone": "7.5", "riders": 1.5, "start": "yesterday"},
        {"miles": None, "zone": "8.0", "riders": None, "start": "2020-03-05T12:02"},
        schema={"miles": pl.String, "zone": pl.String, "riders": pl.Float64, "start": pl.String},
    )
    result = judged(frame)
    assert result["broken_rules"].to_list() == [
        [],
        ["started_at_type", "ride_miles_type", "ride_minutes_not_null", "riders_type", "zone_type"],
        ["ride_miles_not_null"],
    ]
    assert result["zone"].to_list() == [7, None, 8]
    assert result["riders"].to_list() == [1, None, None]


def test_zoned_times_are_judged_by_their_wall_clock() -> None:
    last_evening = datetime(2020, 3, 31, 23)
    frame = raw({"start": last_evening, "end": last_evening + LATER}).with_columns(
        pl.col("start", "end").dt.replace_time_zone("America/New_York")
    )
    result = judged(frame)
    assert result["started_at"].to_list() == [last_evening]
    assert result["broken_rules"].to_list() == [[]]


def test_a_zoned_event_time_is_compared_by_its_wall_clock() -> None:
    class Zoned(pa.DataFrameModel):
        at: pl.Datetime("us", "America/New_York")  # type: ignore[valid-type]

    frame = pl.LazyFrame({"at": [datetime(2020, 3, 31, 23), datetime(2020, 4, 1)]})
    result = judge(frame, Contract.from_model(Zoned), event_time="at", window=MARCH).collect()
    assert result["broken_rules"].to_list() == [[], ["at_in_partition"]]


def test_all_missing_and_inconvertible_columns_are_named_at_once() -> None:
    frame = raw({}).drop("miles", "zone").with_columns(start=pl.lit(1))
    with pytest.raises(ContractError) as raised:
        judged(frame)
    assert raised.value.found == [
        "start is Int32, which can't be read as Datetime(time_unit='us', time_zone=None)",
        "no column miles",
        "no column zone",
    ]


def test_an_optional_column_that_is_missing_is_null() -> None:
    result = judged(raw({}).drop("tip_usd"))
    assert result["tip_usd"].to_list() == [None]
    assert result["tip_usd"].dtype == pl.Float64
    assert result["broken_rules"].to_list() == [[]]


def test_an_unfit_event_time_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match="event_time 'zone'"):
        judge(raw({}), RIDE, event_time="zone", window=MARCH)


def test_repeats_of_a_key_are_broken_but_the_first() -> None:
    same = {"start": START, "end": START + LATER}
    no_riders = same | {"riders": None}
    frame = raw(same, {}, same, same | {"riders": 2}, same, no_riders, no_riders)
    assert broken(frame) == [[], [], ["unique"], [], ["unique"], [], ["unique"]]


def test_of_repeats_the_first_that_keeps_the_other_rules_stays() -> None:
    same = {"start": START, "end": START + LATER}
    voided = same | {"miles": -1.0}
    assert broken(raw(voided, same, same)) == [["ride_miles_gt", "unique"], [], ["unique"]]
    assert broken(raw(voided, voided)) == [["ride_miles_gt"], ["ride_miles_gt", "unique"]]


def test_a_column_may_be_a_key_of_its_own() -> None:
    class Numbered(Ride):
        zone: int = column(unique=True)

    frame = raw({}, {"zone": 8}, {"zone": 8})
    assert broken(frame, Contract.from_model(Numbered)) == [[], [], ["zone_unique"]]


def test_rules_of_the_whole_column_and_of_all_columns() -> None:
    class Whole(pa.DataFrameModel):
        at: datetime
        a: float
        b: float

        @pa.dataframe_check
        def no_value_is_negative(cls, data: pa.PolarsData) -> pl.LazyFrame:
            return data.lazyframe.select((pl.col("a") >= 0).all())

        @pa.dataframe_check
        def all_numbers_are_small(cls, data: pa.PolarsData) -> pl.LazyFrame:
            return data.lazyframe.select(pl.all().exclude("at") < 10)

    contract = Contract.from_model(Whole)

    def rules(a: list[float]) -> list[list[str]]:
        frame = pl.LazyFrame({"at": [START, START], "a": a, "b": [1.0, 1.0]})
        lazy = judge(frame, contract, event_time="at", window=MARCH)
        streamed = lazy.collect(engine="streaming")
        assert_frame_equal(streamed, lazy.collect(engine="in-memory"))
        return streamed["broken_rules"].to_list()

    assert rules([1.0, 2.0]) == [[], []]
    assert rules([1.0, -2.0]) == [["no_value_is_negative"]] * 2
    assert rules([10.0, 2.0]) == [["all_numbers_are_small"], []]


def test_more_rules_may_fail_than_fit_a_machine_word() -> None:
    names = [f"c{i}" for i in range(70)]
    fields = {name: column(gt=0) for name in names}
    wide = type(
        "Wide",
        (pa.DataFrameModel,),
        {"__annotations__": {"at": datetime} | dict.fromkeys(names, int), **fields},
    )
    frame = pl.LazyFrame({"at": [START, START]} | {name: [-1, 1] for name in names})
    result = judge(frame, Contract.from_model(wide), event_time="at", window=MARCH).collect()
    assert result["broken_rules"].to_list() == [[f"{name}_gt" for name in names], []]


@pytest.mark.parametrize("rows", [0, 1, 3])
def test_a_partition_may_be_empty_or_wholly_bad(rows: int) -> None:
    bad = raw(*[{"zone": 264}] * max(rows, 1)).head(rows)
    valid, quarantine = split(judge(bad, RIDE, event_time="started_at", window=MARCH))
    assert valid.collect().height == 0
    assert valid.collect_schema() == RIDE.schema | {"row_number": pl.UInt32()}
    assert quarantine.collect().height == rows
    assert quarantine.collect_schema()["broken_rules"] == pl.List(pl.String)
    assert rule_counts(quarantine) == ({"zone_known": rows} if rows else {})


def test_every_row_lands_in_one_half_with_its_values(tmp_path) -> None:
    frame = raw({}, {"zone": 264, "miles": -1.0}, {}, {"zone": 265}, {"start": START, "end": START + LATER})
    valid, quarantine = split(judge(frame, RIDE, event_time="started_at", window=MARCH))
    sinks = [
        half.sink_parquet(tmp_path / f"{name}.parquet", lazy=True)
        for name, half in [("valid", valid), ("quarantine", quarantine)]
    ]
    pl.collect_all(sinks, engine="streaming")
    good, bad = pl.read_parquet(tmp_path / "valid.parquet"), pl.read_parquet(tmp_path / "quarantine.parquet")
    assert good["row_number"].to_list() == [0, 2]
    assert bad["row_number"].to_list() == [1, 3, 4]
    assert bad["zone"].to_list() == [264, 265, 7]
    assert bad["broken_rules"].to_list() == [["ride_miles_gt", "zone_known"], ["zone_known"], ["unique"]]
    assert rule_counts(bad) == {"zone_known": 2, "ride_miles_gt": 1, "unique": 1}
    assert list(rule_counts(bad)) == ["zone_known", "ride_miles_gt", "unique"]


ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "start": st.sampled_from([START, START + LATER, None]),
            "end": st.sampled_from([START, START + LATER, START + timedelta(days=1), None]),
            "miles": st.sampled_from([0.0, 2.5, 100.0, -1.0, None]),
            "riders": st.sampled_from([1, 2, 3, None]),
            "zone": st.sampled_from([7, 13, 264, None]),
            "tag": st.sampled_from(["x", "X", "", None]),
            "tip_usd": st.sampled_from([0.0, -1.0, None]),
        }
    ),
    min_size=1,
    max_size=12,
)
SCHEMA = {"start": pl.Datetime, "end": pl.Datetime, "miles": pl.Float64, "riders": pl.Int64, "zone": pl.Int64}
SCHEMA |= {"tag": pl.String, "tip_usd": pl.Float64}


def _rows_refused_by_pandera(frame: pl.DataFrame) -> dict[str, set[int]]:
    """Rule name → rows, from pandera's own validation."""
    try:
        Ride.validate(frame, lazy=True)
    except pa.errors.SchemaErrors as errors:
        refused = {}
        for error in errors.schema_errors:
            if error.check == "multiple_fields_uniqueness":
                name = "unique"
            elif error.check == "not_nullable":
                name = f"{error.schema.name}_not_null"
            else:
                short = words(error.check)[0]
                name = short if error.schema.name == "Ride" else f"{error.schema.name}_{short}"
            refused[name] = set((~error.check_output["check_output"]).arg_true().to_list())
        return refused
    return {}


@given(ROWS)
@settings(max_examples=60, deadline=None, derandomize=True, database=None)
def test_pandera_refuses_the_same_rows_by_the_same_rules(rows: list[dict[str, Any]]) -> None:
    result = judged(pl.LazyFrame(rows, schema=SCHEMA))
    refused = _rows_refused_by_pandera(result.drop("row_number", "broken_rules"))
    ours: dict[str, set[int]] = {}
    for row, names in enumerate(result["broken_rules"].to_list()):
        for name in names:
            ours.setdefault(name, set()).add(row)
    # pandera marks every row of a repeated key, we all but one of each
    keys = result.select(pl.struct(*RIDE.unique[0]).alias("key"))["key"]
    assert len(refused.pop("unique", set())) - len(ours.pop("unique", set())) == int(
        keys.filter(keys.is_duplicated()).n_unique()
    )
    assert ours == refused
