"""Verdicts where the truth is known: no drift, every kind of drift, seasons, and what can't be judged.

Rates over many thousand streams, and power beside other libraries, are in `benchmarks/drift_power.py`.
"""

import json

import numpy as np
import polars as pl
import pytest
from scipy import stats

from ml_assets.core.drift.bins import Column
from ml_assets.core.drift.policy import DriftPolicy
from ml_assets.core.drift.profile import Profile
from ml_assets.core.drift.profiling import count_partition, profile_of
from ml_assets.core.drift.verdict import DriftReport, judge
from ml_assets.core.errors import ConfigError, ProfileError

IMPORTANCES = {"miles": 0.5, "zone": 0.2, "speed": 0.17, "hour": 0.1, "vendor": 0.03}
COLUMNS = [
    Column("miles", "number"), Column("speed", "number"), Column("hour", "number"), Column("zone", "category"),
    Column("vendor", "category"), Column("prediction", "number", "prediction"), Column("label", "number", "label"),
]  # fmt: skip
MONTHS, ROWS = 12, 800


def trips(rng, rows=ROWS):
    miles = rng.normal(0, 1, rows)
    return pl.DataFrame(
        {
            "miles": miles,
            "speed": rng.exponential(10, rows),
            "hour": rng.integers(0, 24, rows).astype(float),
            "zone": [f"z{i}" for i in np.minimum(rng.geometric(0.1, rows), 40)],
            "vendor": rng.choice(["one", "two"], rows),
            "prediction": miles + 0.5 * rng.normal(0, 1, rows),
            "label": 2 * miles + rng.normal(0, 1, rows),
        }
    )


def learnt(rng, rows=ROWS, months=MONTHS, season=lambda _month: 0.0):
    parts = [trips(rng, rows).with_columns(pl.col("miles", "prediction") + season(m)) for m in range(months)]
    return profile_of(pl.concat(parts), COLUMNS, pl.Series(np.repeat([f"m{m:02d}" for m in range(months)], rows)))


def report_of(profile, frame, policy=None, importances=IMPORTANCES):
    return judge(profile, count_partition(frame.lazy(), profile.bins, "now"), importances, policy)


@pytest.fixture(scope="module")
def profile():
    return learnt(np.random.default_rng(0))


@pytest.fixture
def now():
    return trips(np.random.default_rng(1))


@pytest.fixture(scope="module")
def without_drift():
    reports = []
    for seed in range(200):
        rng = np.random.default_rng([7, seed])
        reports.append(report_of(learnt(rng), trips(rng)))
    return reports


@pytest.mark.parametrize("rate", [0.01, 0.02, 0.05])
def test_false_alarm_rate_is_the_configured_one(without_drift, rate):
    low, high = stats.binom.interval(0.95, len(without_drift), rate)
    assert low <= sum(r.p <= rate for r in without_drift) <= high


def test_the_rest_of_the_report_is_calibrated_too(without_drift):
    over = np.mean([c.distance > c.threshold for r in without_drift for c in r.columns])
    assert 0.003 < over < 0.02
    assert np.mean([bool(r.drifted_columns) for r in without_drift]) <= 0.05
    for name in ("miles", "zone", "prediction"):
        p = [next(c.p for c in r.columns if c.name == name) for r in without_drift]
        assert stats.binom.ppf(0.005, 200, 0.1) <= np.sum(np.array(p) <= 0.1) <= stats.binom.ppf(0.995, 200, 0.12)
    assert np.median([r.magnitude for r in without_drift]) < 1


ONE_IN_30 = pl.int_range(pl.len()) % 30 == 0
KINDS = {
    "location": pl.col("miles") + 0.25,
    "spread": pl.col("miles") * 1.3,
    "shape": (pl.col("miles") > 0) * 2.0 - 1 + 0.3 * pl.col("miles"),
    "missing": pl.when(ONE_IN_30).then(None).otherwise(pl.col("miles")).alias("miles"),
    "not a number": pl.when(ONE_IN_30).then(float("nan")).otherwise("miles").alias("miles"),
    "infinite": pl.when(ONE_IN_30).then(float("inf")).otherwise("miles").alias("miles"),
    "another unit": pl.col("miles") * 60,
    "one in thirty in another unit": pl.when(ONE_IN_30).then(900.0).otherwise("miles").alias("miles"),
    "constant": pl.col("miles") * 0,
    "nothing": pl.lit(None, pl.Float64).alias("miles"),
    "rounded": pl.col("miles").round(0),
    "one hour more": (pl.col("hour") + 3) % 24 + 0.5,
    "new category": pl.when(ONE_IN_30).then(pl.lit("new")).otherwise("zone").alias("zone"),
    "category gone": pl.col("zone").replace({"z1": "z2"}),
    "categories swapped": pl.col("zone").replace({"z1": "z9", "z9": "z1"}),
    "all categories new": ("Z" + pl.col("zone")).alias("zone"),
    "no category": pl.lit(None, pl.String).alias("zone"),
    "predictions": pl.col("prediction") * 1.4,
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_drift_alarms(profile, now, kind):
    report = report_of(profile, now.with_columns(KINDS[kind]))
    assert report.verdict == "drifted"
    assert report.drivers[0] in KINDS[kind].meta.output_name()
    assert report.drivers[0] in report.drifted_columns
    assert report_of(profile, now).verdict == "stable"


UNIMPORTANT = {
    "constant": pl.lit("one").alias("vendor"),
    "new": pl.lit("three").alias("vendor"),
    "missing": pl.lit(None, pl.String).alias("vendor"),
}


@pytest.mark.parametrize("kind", UNIMPORTANT)
def test_an_unimportant_column_alone_does_not_alarm(profile, now, kind):
    report = report_of(profile, now.with_columns(UNIMPORTANT[kind]))
    assert report.verdict == "stable"
    assert report.drivers == ()
    assert report.drifted_columns == ("vendor",)
    equal = dict.fromkeys(IMPORTANCES, 1.0)
    assert report_of(profile, now.with_columns(UNIMPORTANT[kind]), importances=equal).verdict == "drifted"


def test_a_label_alone_does_not_alarm_but_is_told(profile, now):
    report = report_of(profile, now.with_columns(pl.col("label") + 3))
    assert report.verdict == "stable"
    assert report.drifted_columns == ("label",)


@pytest.mark.parametrize("months", [6, 12])
def test_a_season_that_was_seen_is_no_alarm_and_one_that_was_not_is(months):
    rng = np.random.default_rng(3)
    profile = learnt(rng, months=months, season=lambda month: 0.4 * np.sin(2 * np.pi * month / months))
    again = [trips(rng).with_columns(pl.col("miles", "prediction") + s) for s in (-0.4, 0.0, 0.4)]
    assert [report_of(profile, frame).verdict for frame in again] == ["stable"] * 3
    assert report_of(profile, trips(rng).with_columns(pl.col("miles") + 4)).verdict == "drifted"


def test_season_widens_the_threshold(profile):
    seasonal = learnt(np.random.default_rng(4), season=lambda month: 0.4 * np.sin(month / 2))
    frame = trips(np.random.default_rng(5))
    calm, wide = (report_of(p, frame).columns[0] for p in (profile, seasonal))
    assert calm.name == wide.name == "miles"
    assert wide.threshold > 1.5 * calm.threshold


@pytest.mark.parametrize("rows", [0, 1, 199])
def test_too_few_rows_are_never_stable(profile, now, rows):
    report = report_of(profile, now.head(rows))
    assert (report.verdict, report.rows, report.p, report.columns) == ("not_enough_rows", rows, None, ())


def test_min_rows_is_a_knob(profile, now):
    assert report_of(profile, now.head(100), DriftPolicy(min_rows=100)).verdict == "stable"
    assert report_of(profile, now, DriftPolicy(min_rows=ROWS + 1)).verdict == "not_enough_rows"


def test_other_knobs_change_the_verdict(profile, now):
    moved = now.with_columns(pl.col("miles") + 0.09)
    p = report_of(profile, moved).p
    assert report_of(profile, moved, DriftPolicy(false_alarm_rate=0.9 * p)).verdict == "stable"
    assert report_of(profile, moved, DriftPolicy(false_alarm_rate=1.1 * p)).verdict == "drifted"
    vendor = now.with_columns(vendor=pl.lit("three"))
    assert report_of(profile, vendor, DriftPolicy(min_importance=0.1)).verdict == "drifted"
    predicted = now.with_columns(pl.col("prediction") + 1)
    assert report_of(profile, predicted, DriftPolicy(prediction_weight=0.0)).verdict == "stable"
    strict, loose = DriftPolicy(false_discovery_rate=1e-9), DriftPolicy(false_discovery_rate=0.3)
    somewhat = now.with_columns(pl.col("miles") + 0.2)
    assert report_of(profile, somewhat, strict).drifted_columns == ()
    assert report_of(profile, somewhat, loose).drifted_columns == ("miles",)


@pytest.mark.parametrize(
    "wrong", [{"false_alarm_rate": 0}, {"false_discovery_rate": 0.5}, {"min_rows": 10}, {"min_importance": 1.0},
              {"prediction_weight": -0.1}, {"false_alarm_rate": float("nan")}],
)  # fmt: skip
def test_policy_refuses(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        DriftPolicy(**wrong)


def test_predictions_and_labels_may_come_later(profile, now):
    early = [b for b in profile.bins if b.column.role == "feature"]
    report = judge(profile, count_partition(now.lazy().select(b.name for b in early), early, "now"), IMPORTANCES)
    assert report.verdict == "stable"
    assert sum(c.weight for c in report.columns) == pytest.approx(1)


def test_same_rows_same_report_whatever_their_order(profile, now):
    again = now.sample(fraction=1.0, shuffle=True, seed=3)
    assert json.dumps(report_of(profile, again).to_json()) == json.dumps(report_of(profile, now).to_json())
    read = Profile.from_bytes(profile.to_bytes())
    assert json.dumps(report_of(read, now).to_json()) == json.dumps(report_of(profile, now).to_json())


def test_report_in_json_says_everything(profile, now):
    told = json.loads(json.dumps(report_of(profile, now.with_columns(KINDS["missing"])).to_json(), allow_nan=False))
    assert told["verdict"] == "drifted"
    assert told["partitions_compared"] == MONTHS
    miles = told["columns"][0]
    assert miles["missing"] == [0.0, pytest.approx(1 / 30, abs=0.001)]
    assert {"distance", "threshold", "psi", "statistic", "test_p", "wasserstein", "unseen", "adjusted_p"} <= set(miles)
    assert miles["signals"]["missing"] == min(miles["signals"].values())


def test_few_partitions_are_told(now):
    one = learnt(np.random.default_rng(6), rows=5000, months=1)
    assert report_of(one, now).partitions_compared == 1
    assert report_of(one, now).verdict == "stable"
    assert report_of(one, now.with_columns(KINDS["location"])).verdict == "drifted"


def test_what_does_not_fit_is_refused(profile, now):
    some = count_partition(now.lazy(), profile.bins[1:], "now")
    other = count_partition(now.lazy(), learnt(np.random.default_rng(9)).bins, "now")
    for current, importances, words in (
        (some, IMPORTANCES, "feature miles was not counted"),
        (other, IMPORTANCES, "column miles was counted over other bins"),
        (count_partition(now.lazy(), profile.bins, "now"), {"miles": 1.0}, "feature zone has no importance"),
        (profile, IMPORTANCES, "12 partitions at once"),
    ):
        with pytest.raises(ProfileError, match=words):
            judge(profile, current, importances)


def test_report_is_small(profile, now):
    report = report_of(profile, now)
    assert isinstance(report, DriftReport)
    assert len(json.dumps(report.to_json())) < 8000
