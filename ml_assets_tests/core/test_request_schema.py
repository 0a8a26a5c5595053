"""The JSON Schema of a request is as wide as the rules: what it excludes, they refuse; its example they take."""

from datetime import date, datetime

import pandera.polars as pa
import polars as pl
import pytest

from ml_assets.core.contract import Contract, column
from ml_assets.core.request_schema import field_schema, record_schema
from ml_assets.core.requests import RequestRules


class Parcel(pa.DataFrameModel):
    """One parcel."""

    sent_at: datetime = column(unit="local time", description="handed in")
    kilograms: float = column(gt=0, le=31.5, unit="kg")
    depth: int = column(in_range={"min_value": 1, "max_value": 120, "include_max": False})
    city: str = column(isin=["Rome", "Oslo"])
    fragile: bool = column(nullable=True)
    day: date = column(nullable=True, required=False)
    floor: int = column(nullable=True, lt=9)
    weekday: int = column(derived=pl.col("sent_at").dt.weekday().cast(pl.Int64))


RULES = RequestRules.of(
    Contract.from_model(Parcel), [n for n in Parcel.to_schema().columns if n != "weekday"], event_time="sent_at"
)
SCHEMA = record_schema(RULES)
VALUES = {"string": "x", "integer": 7, "number": 2.5, "boolean": True, "null": None, "array": [1], "object": {}}


def options(name: str) -> list[dict]:
    told = SCHEMA["properties"][name]
    return told.get("anyOf", [told])


def types(name: str) -> set[str]:
    found = set()
    for one in options(name):
        found |= {one["type"]} if isinstance(one["type"], str) else set(one["type"])
    return found | ({"integer"} if "number" in found else set())


@pytest.mark.parametrize("name", list(SCHEMA["properties"]))
def test_a_value_of_no_type_of_the_schema_is_refused(name):
    for kind, value in VALUES.items():
        if kind not in types(name) and not (kind == "number" and "integer" in types(name)):
            [faults] = RULES.faults([SCHEMA["example"] | {name: value}])
            assert {f.rule for f in faults} & {f"{name}_type", f"{name}_not_null"}, (name, kind)


@pytest.mark.parametrize(
    ("name", "limits", "beyond"),
    [
        ("kilograms", {"exclusiveMinimum": 0, "maximum": 31.5}, [0, 31.6]),
        ("depth", {"minimum": 1, "exclusiveMaximum": 120}, [0, 120]),
        ("city", {"enum": ["Oslo", "Rome"]}, ["Bonn"]),
        ("floor", {"exclusiveMaximum": 9}, [9]),
        ("fragile", {}, []),
    ],
)
def test_ranges_are_those_of_the_rules(name, limits, beyond):
    assert {k: v for k, v in options(name)[0].items() if k not in ("type", "description")} == limits
    for value in beyond:
        assert RULES.faults([SCHEMA["example"] | {name: value}])[0]


def test_fields_are_named_and_the_example_keeps_the_rules():
    assert SCHEMA["required"] == ["sent_at", "kilograms", "depth", "city", "fragile", "floor"]
    assert SCHEMA["additionalProperties"] is False
    assert set(SCHEMA["example"]) == set(SCHEMA["properties"])
    assert RULES.faults([SCHEMA["example"]]) == [[]]
    assert SCHEMA["properties"]["sent_at"]["description"].startswith("handed in (a time as ISO 8601 text")
    assert "in kg" in SCHEMA["properties"]["kilograms"]["description"]


def test_where_no_example_is_found_there_is_none():
    class Odd(pa.DataFrameModel):
        number: int

        @pa.check("number")
        def prime(cls, data: pa.PolarsData) -> pl.LazyFrame:
            return data.lazyframe.select(pl.col(data.key) == 7919)

    rules = RequestRules.of(Contract.from_model(Odd), ["number"], event_time="number")
    assert "example" not in record_schema(rules)
    assert field_schema(rules.fields[0])["anyOf"][0] == {"type": "integer"}
