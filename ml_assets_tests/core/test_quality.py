"""When a partition is fit to be used: every verdict, with the counts that make it so and not so."""

from datetime import datetime

import pandera.polars as pa
import polars as pl
import pytest

from ml_assets.core.contract import Contract, column
from ml_assets.core.quality import (
    CHECK_OF,
    Limits,
    contract_verdict,
    keys_verdict,
    refusals,
    rows_verdict,
    rules_by_check,
    volume_verdict,
)
from ml_assets.core.rules import Kind
from ml_assets.core.schema_change import schema_change

LIMITS = {
    "max_quarantined": 0.1,
    "max_broken": 0.05,
    "min_rows": 100,
    "max_row_change": 3.0,
    "new_columns": "ignore",
    "missing_columns": "ignore",
    "changed_types": "ignore",
}


def limits(**changed: object) -> Limits:
    return Limits(**{**LIMITS, **changed})


class Ride(pa.DataFrameModel):
    start_at: datetime = column()
    zone: int = column(ge=1)
    miles: float = column(nullable=True, gt=0)

    class Config:
        unique = ["zone"]  # noqa: RUF012 - pandera reads it so

    @pa.dataframe_check
    def short_in_town(cls, data: pa.PolarsData) -> pl.LazyFrame:
        return data.lazyframe.select((pl.col("zone") > 5) | (pl.col("miles") < 3))


def test_every_rule_of_a_contract_is_in_exactly_one_check():
    contract = Contract.from_model(Ride)
    checks = rules_by_check(contract, "start_at")
    assert checks == {
        "contract": ["start_at_type", "zone_type", "miles_type"],
        "rows": ["start_at_not_null", "zone_not_null", "zone_ge", "miles_finite", "miles_gt", "short_in_town"],
        "keys": ["unique", "start_at_in_partition"],
        "volume": [],
    }
    named = [rule for rules in checks.values() for rule in rules]
    assert sorted(named) == sorted(rule.name for rule in contract.rules_for("start_at"))
    assert set(CHECK_OF) == set(Kind.__args__)


BEFORE = {"zone": "int64", "miles": "double", "fee": "empty"}


@pytest.mark.parametrize(
    ("now", "verdict", "said"),
    [
        (BEFORE, "unchanged", []),
        ({"zone": "int64", "miles": "double"}, "unchanged", []),
        ({**BEFORE, "fee": "double"}, "schema_changed", ["fee appeared: double"]),
        ({**BEFORE, "tip": "double"}, "schema_changed", ["tip appeared: double"]),
        ({"zone": "int64"}, "schema_changed", ["miles disappeared: it was double"]),
        ({**BEFORE, "miles": "empty"}, "schema_changed", ["miles disappeared: it was double"]),
        ({**BEFORE, "zone": "double"}, "schema_changed", ["zone changed its type: int64 became double"]),
    ],
)
def test_columns_that_appear_disappear_or_change_type(now, verdict, said):
    change = schema_change(now, BEFORE, "2019-01")
    assert (change.verdict, change.in_words(), change.since) == (verdict, said, "2019-01")


def test_the_first_partition_has_nothing_to_be_compared_with():
    assert schema_change(BEFORE, None, None).to_json() == {"verdict": "first", "since": None, "changes": []}


@pytest.mark.parametrize(
    ("policy", "now", "refused"),
    [
        ("new_columns", {**BEFORE, "tip": "double"}, "tip appeared (double) (quality.new_columns: refuse)"),
        ("missing_columns", {"zone": "int64"}, "miles disappeared (quality.missing_columns: refuse)"),
        ("changed_types", {**BEFORE, "zone": "double"}, "zone: int64 became double (quality.changed_types: refuse)"),
    ],
)
def test_each_policy_refuses_its_own_kind_of_change_only(policy, now, refused):
    change = schema_change(now, BEFORE, "2019-01")
    assert refusals(change, limits()) == []
    assert refusals(change, limits(**{policy: "refuse"})) == [refused]
    others = {"new_columns", "missing_columns", "changed_types"} - {policy}
    assert refusals(change, limits(**dict.fromkeys(others, "refuse"))) == []
    verdict = contract_verdict(change, [], {}, 10, limits(**{policy: "refuse"}))
    assert verdict.errors == (refused,)
    assert not verdict.passed


@pytest.mark.parametrize("judge", ["contract", "rows", "keys"])
@pytest.mark.parametrize(("broken", "passes"), [(0, True), (5, True), (6, False)])
def test_a_rule_that_is_broken_too_often_is_a_warning(judge, broken, passes):
    counts = {"zone_ge": broken, "other": 90}
    verdict = {
        "contract": lambda: contract_verdict(schema_change({}, None, None), ["zone_ge"], counts, 100, limits()),
        "rows": lambda: rows_verdict(["zone_ge"], counts, 100, limits()),
        "keys": lambda: keys_verdict(["zone_ge"], counts, 100, {}, limits()),
    }[judge]()
    assert verdict.passed is passes
    assert verdict.errors == ()
    if not passes:
        assert verdict.reasons == ["zone_ge: 6 of 100 rows (6.0%), at most 5.0% (quality.max_broken)"]


def test_keys_of_another_partition_are_an_error():
    verdict = keys_verdict([], {}, 100, {"2019-01": 0, "2019-02": 3}, limits())
    assert verdict.errors == ("3 keys are in 2019-02, too",)


@pytest.mark.parametrize(
    ("counts", "recent", "errors", "warnings"),
    [
        ((1000, 950, 50), [900, 1000, 1100], 0, 0),
        ((1000, 950, 50), [], 0, 0),
        ((1000, 949, 50), [], 1, 0),
        ((99, 99, 0), [], 1, 0),
        ((1000, 899, 101), [], 1, 0),
        ((1000, 1000, 0), [3001], 0, 1),
        ((1000, 1000, 0), [333, 333, 9999], 0, 1),
        ((1000, 1000, 0), [3000], 0, 0),
        ((0, 0, 0), [1000], 1, 1),
        ((100, 0, 100), [500], 1, 1),
    ],
)
def test_rows_are_accounted_for_as_many_as_usual_and_few_of_them_in_quarantine(counts, recent, errors, warnings):
    raw, validated, quarantined = counts
    verdict = volume_verdict(raw=raw, validated=validated, quarantined=quarantined, recent=recent, limits=limits())
    assert (len(verdict.errors), len(verdict.warnings)) == (errors, warnings)


@pytest.mark.parametrize(
    ("knob", "value", "counts"),
    [
        ("max_quarantined", 0.04, (1000, 950, 50)),
        ("min_rows", 1001, (1000, 950, 50)),
        ("max_row_change", 1.1, (1000, 950, 50)),
    ],
)
def test_each_limit_of_volume_changes_the_verdict(knob, value, counts):
    raw, validated, quarantined = counts
    told = {"raw": raw, "validated": validated, "quarantined": quarantined, "recent": [800]}
    assert volume_verdict(**told, limits=limits()).passed
    [reason] = volume_verdict(**told, limits=limits(**{knob: value})).reasons
    assert f"quality.{knob}" in reason
