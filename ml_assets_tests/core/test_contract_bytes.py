"""A contract packed and unpacked judges as before; Python's code is not packed."""

import pandera.polars as pa
import polars as pl
import pytest

from ml_assets.core.contract import Contract
from ml_assets.core.contract_bytes import packed, unpacked
from ml_assets.core.requests import RequestRules
from ml_assets.defs.trips.schema import Trip
from ml_assets_tests.core.test_requests import GOOD, RIDE, SOURCES

TRIP = Contract.from_model(Trip)


def test_everything_that_a_contract_says_is_there_again():
    again = unpacked(packed(TRIP) or b"")
    assert again == TRIP
    assert again.schema == TRIP.schema
    assert [c.limits for c in again.columns] == [c.limits for c in TRIP.columns]
    for rule, before in zip(again.rules, TRIP.rules, strict=True):
        assert (rule.keeps is None) == (before.keeps is None)
        assert rule.keeps is None or rule.keeps.meta.eq(before.keeps)
    for c, before in zip(again.columns, TRIP.columns, strict=True):
        assert (c.derived is None) == (before.derived is None)
        assert c.derived is None or c.derived.meta.eq(before.derived)


@pytest.mark.parametrize("change", [{}, {"trip_miles": 0}, {"vendor": 3}, {"passengers": "x"}, {"more": 1}], ids=str)
def test_it_judges_as_before(change):
    fields = ["pickup_at", "vendor", "trip_miles", "passengers"]
    record = {"pickup_at": "2019-03-05T12:00:00", "vendor": 1, "trip_miles": 2.5, "passengers": 1} | change
    before, after = (RequestRules.of(c, fields, event_time="pickup_at") for c in (TRIP, unpacked(packed(TRIP) or b"")))
    assert after.faults([record]) == before.faults([record])
    assert bool(before.faults([record])[0]) == bool(change)


def test_python_functions_are_not_packed():
    assert packed(RIDE) is None, "it has a check that runs a Python function"
    assert not RequestRules.of(RIDE, SOURCES, event_time="started_at").faults([GOOD])[0]

    class Slow(pa.DataFrameModel):
        zone: int

        @pa.check("zone")
        def odd(cls, data: pa.PolarsData) -> pl.LazyFrame:
            return data.lazyframe.select(pl.col(data.key).map_batches(lambda s: s % 2 == 1, return_dtype=pl.Boolean))

    assert packed(Contract.from_model(Slow)) is None
