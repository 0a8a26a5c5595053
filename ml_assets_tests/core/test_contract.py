from datetime import datetime

import pandera.polars as pa
import polars as pl
import pytest

from ml_assets.core.contract import Contract, column
from ml_assets.core.errors import ConfigError


class Ride(pa.DataFrameModel):
    """One ride.

    Source: nowhere.
    """

    started_at: datetime = column(source="start", unit="local time", description="when\n it began")
    ended_at: datetime
    ride_miles: float = column(source="miles", gt=0, lt=100, unit="miles")
    ride_hours: float = column(derived=pl.col("ride_minutes") / 60)
    ride_minutes: float = column(
        derived=(pl.col("ended_at") - pl.col("started_at")).dt.total_seconds() / 60, in_range=(1, 180)
    )
    riders: pl.Int8 | None = column(nullable=True, isin=[1, 2], unique=True)

    class Config:
        unique = ("started_at", "ended_at")

    @pa.check("ride_miles", "riders")
    def odd(cls, data: pa.PolarsData) -> pl.LazyFrame:
        """It is odd."""
        return data.lazyframe.select(pl.col(data.key) % 2 == 1)

    @pa.dataframe_check
    def ends_after_start(cls, data: pa.PolarsData) -> pl.LazyFrame:
        return data.lazyframe.select(pl.col("ended_at") > pl.col("started_at"))


def model(annotations: dict[str, type] | None = None, **members: object) -> type[pa.DataFrameModel]:
    """A model with these members; its columns are integers unless annotated otherwise."""
    columns = [name for name, value in members.items() if hasattr(value, "nullable_explicit")]
    annotated = dict.fromkeys(columns, int) | (annotations or {})
    return type("M", (pa.DataFrameModel,), {"__annotations__": annotated, **members})


def test_a_model_becomes_plain_columns() -> None:
    contract = Contract.from_model(Ride)
    assert (contract.name, contract.description) == ("Ride", "One ride.\n\nSource: nowhere.")
    assert contract.schema == {
        "started_at": pl.Datetime("us"),
        "ended_at": pl.Datetime("us"),
        "ride_miles": pl.Float64(),
        "ride_hours": pl.Float64(),
        "ride_minutes": pl.Float64(),
        "riders": pl.Int8(),
    }
    assert contract.source_schema == {
        "start": pl.Datetime("us"),
        "ended_at": pl.Datetime("us"),
        "miles": pl.Float64(),
        "riders": pl.Int8(),
    }
    started, _, miles, hours, _, riders = contract.columns
    assert (started.description, started.unit, started.nullable) == ("when it began", "local time", False)
    assert miles.constraints == ("> 0", "< 100", "keeps the check “odd”")
    assert (hours.source, hours.derived is None) == (None, False)
    assert (riders.nullable, riders.required, riders.unit) == (True, False, None)
    assert contract.unique == (("riders",), ("started_at", "ended_at"))
    assert [c.name for c, _ in contract.in_order_of_derivation()] == ["ride_minutes", "ride_hours"]


def test_rules_have_stable_names_in_the_order_of_the_model() -> None:
    contract = Contract.from_model(Ride)
    assert [rule.name for rule in contract.rules_for("started_at")] == [
        "started_at_type",
        "started_at_not_null",
        "ended_at_type",
        "ended_at_not_null",
        "ride_miles_type",
        "ride_miles_not_null",
        "ride_miles_finite",
        "ride_miles_gt",
        "ride_miles_lt",
        "ride_miles_odd",
        "ride_hours_not_null",
        "ride_hours_finite",
        "ride_minutes_not_null",
        "ride_minutes_finite",
        "ride_minutes_in_range",
        "riders_type",
        "riders_isin",
        "riders_odd",
        "ends_after_start",
        "riders_unique",
        "unique",
        "started_at_in_partition",
    ]
    described = {rule.name: rule.description for rule in contract.rules}
    assert described["ride_miles_lt"] == "ride_miles < 100"
    assert described["ride_miles_odd"] == "It is odd."
    assert [rule.name for rule in contract.rules if rule.keeps is None and rule.kind not in ("type", "unique")] == []
    assert contract == Contract.from_model(Ride)


@pytest.mark.parametrize("event_time", ["nowhere", "ride_miles"])
def test_the_event_time_is_a_time_of_the_contract(event_time: str) -> None:
    with pytest.raises(ConfigError, match="started_at, ended_at"):
        Contract.from_model(Ride).rules_for(event_time)


def test_the_event_time_is_never_null() -> None:
    contract = Contract.from_model(model(annotations={"at": datetime}, at=column(nullable=True)))
    with pytest.raises(ConfigError, match="nullable=True"):
        contract.rules_for("at")


def test_several_joint_keys_are_told_apart() -> None:
    class Config:
        unique = (("a", "b"), ("b", "c"))

    contract = Contract.from_model(model(a=column(), b=column(), c=column(), Config=Config))
    names = [rule.name for rule in contract.rules if rule.kind == "unique"]
    assert names == ["unique_a_b", "unique_b_c"]


def test_a_column_has_one_origin() -> None:
    with pytest.raises(ConfigError, match="both source and derived"):
        column(source="a", derived=pl.col("b"))


def test_metadata_of_the_user_stays() -> None:
    field = column(source="a", metadata={"owner": "me"})
    assert field.metadata["owner"] == "me"


class _UniqueElsewhere:
    unique = ("a", "nowhere")


@pytest.mark.parametrize(
    ("members", "found"),
    [
        ({"row_number": column()}, "row_number"),
        ({"a": column(source="x"), "b": column(source="x")}, "x is the source of 2 columns"),
        ({"a": column(known_at="b"), "b": column()}, "a is known at b, which is no time column"),
        ({"a": column(), "Config": _UniqueElsewhere}, "unique names nowhere"),
        ({"a": column(default=1)}, "default"),
        ({"a": column(alias="^a.*$", regex=True)}, "regex"),
        ({"a": column(required=False)}, "optional but not nullable"),
        ({"a": column(derived=pl.col("b")), "b": column(derived=pl.col("a"))}, "from each other"),
        (
            {"a": column(), "b": column(derived=pl.col("a") / 2)},
            "its expression gives Float64",
        ),
        ({"a": column(), "b": column(derived=pl.col("z"))}, "z"),
        ({"a": column(), "b": column(derived=pl.sum_horizontal(pl.all()))}, "pattern"),
        ({"a": column(str_length=3)}, "a"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_a_contract_cannot_hold_is_refused(members: dict[str, object], found: str) -> None:
    with pytest.raises(ConfigError) as raised:
        Contract.from_model(model(**members))
    assert found in str(raised.value)
    assert raised.value.cure


def test_two_rules_of_one_name_are_refused() -> None:
    def a_gt(cls, data):
        return data.lazyframe.select(pl.col("a") > 1)

    with pytest.raises(ConfigError, match="two rules named a_gt"):
        Contract.from_model(model(a=column(gt=0), a_gt=pa.dataframe_check(a_gt)))


def test_only_a_pandera_polars_model_will_do() -> None:
    with pytest.raises(ConfigError, match=r"pandera\.polars\.DataFrameModel"):
        Contract.from_model(dict)
    with pytest.raises(ConfigError, match="'not a class'"):
        Contract.from_model("not a class")


def test_what_pandera_refuses_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match="schema M"):
        Contract.from_model(model(annotations={"a": complex}, a=column()))
