"""History features against a naive Python loop and against SQL, and that no feature ever knows the future."""

import json
import math
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_assets.core.errors import ConfigError
from ml_assets.core.features import Feature, build_features
from ml_assets.core.history import Earlier, HistoryFeature, history_columns, reach_of
from ml_assets.core.history_check import disagreements

START = datetime(2019, 3, 1)
LONG_AGO = datetime(2019, 1, 1)
LATE = {"speed_mph": "end_at"}
HOWS = ("count", "sum", "mean", "min", "max", "last")


def feature(how="mean", *, window="5s", value="speed_mph", by=("zone",), delay="4s", **kwargs) -> HistoryFeature:
    return HistoryFeature(how, by=by, value=value, window=window, how=how, delay=delay, **kwargs)


def rides(rows: list[tuple]) -> pl.DataFrame:
    """(second of the start, second of the end, zone, speed) per row."""
    names = ["start_at", "end_at", "zone", "speed_mph"]
    schema = dict(zip(names, (pl.Datetime("us"), pl.Datetime("us"), pl.Int64, pl.Float64), strict=True))

    def at(second):
        return None if second is None else START + timedelta(seconds=second)

    return pl.DataFrame([(at(s), at(e), z, v) for s, e, z, v in rows], schema=schema, orient="row")


def computed(rows: pl.DataFrame, features, earlier=(), complete_from=START) -> dict[str, list]:
    history = Earlier([f.lazy() for f in earlier], complete_from)
    return history_columns(rows.lazy(), features, event_time="start_at", known_late=LATE, earlier=history).to_dict(
        as_series=False
    )


def by_loop(rows: pl.DataFrame, f: HistoryFeature, before: pl.DataFrame | None = None, complete_from=START) -> list:
    """The definition as one would say it."""
    everything = rows if before is None else pl.concat([before, rows])
    found = []
    for event in rows.iter_rows(named=True):
        t = event["start_at"]
        if event["zone"] is None or t - f.window_length - f.delay_length < complete_from:
            found.append(None)
            continue
        values = []
        for row in everything.iter_rows(named=True):
            if row["zone"] != event["zone"] or row[f.known_at or "end_at"] is None:
                continue
            known = max(row[f.known_at or "end_at"], row["start_at"])
            if not t - f.window_length <= known < t or known - row["start_at"] > f.delay_length:
                continue
            value = 1.0 if f.value is None else row[f.value]
            if value is not None:
                values.append((known, value))
        found.append(figure(f.how, values))
    return found


def figure(how: str, values: list[tuple]) -> float | None:
    only = [v for _, v in values]
    if how == "count":
        return float(len(only))
    if how == "sum":
        return math.fsum(only)
    if not only:
        return None
    if how == "last":
        return sorted(enumerate(values), key=lambda i: (i[1][0], i[0]))[-1][1][1]
    return {"mean": math.fsum(only) / len(only), "min": min(only), "max": max(only)}[how]


def same(found: list, wanted: list) -> bool:
    return len(found) == len(wanted) and all(
        (a is None) == (b is None) and (a is None or math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-12))
        for a, b in zip(found, wanted, strict=True)
    )


SECONDS = st.integers(0, 40)
ROW = st.tuples(
    SECONDS,
    st.one_of(st.none(), st.integers(-2, 8)),
    st.sampled_from([1, 2, 3, None]),
    st.one_of(st.none(), st.floats(-1e9, 1e9), st.sampled_from([0.0, 1e-12, 7.0])),
).map(lambda r: (r[0], None if r[1] is None else r[0] + r[1], r[2], r[3]))


@settings(max_examples=150, deadline=None, derandomize=True)
@given(rows=st.lists(ROW, max_size=40), window=st.integers(1, 20), delay=st.integers(1, 9))
def test_as_a_naive_loop_says(rows, window, delay):
    table = rides(rows)
    features = [feature(how, window=f"{window}s", delay=f"{delay}s") for how in HOWS]
    found = computed(table, features)
    for f in features:
        assert same(found[f.name], by_loop(table, f)), f.how


@settings(max_examples=60, deadline=None, derandomize=True)
@given(rows=st.lists(ROW, max_size=40), cut=SECONDS, missing=st.integers(0, 30), window=st.integers(1, 20))
def test_windows_reach_into_earlier_partitions_and_know_what_is_missing(rows, cut, missing, window):
    table = rides(rows)
    edge, complete_from = START + timedelta(seconds=cut), START + timedelta(seconds=missing)
    before, own = table.filter(pl.col("start_at") < edge), table.filter(pl.col("start_at") >= edge)
    features = [feature(how, window=f"{window}s") for how in HOWS]
    halves = [before[: before.height // 2], before[before.height // 2 :]]
    found = computed(own, features, halves, complete_from)
    for f in features:
        wanted = by_loop(own, f, before.filter(pl.col("start_at") >= complete_from), complete_from)
        assert same(found[f.name], wanted), f.how


SQL = """
with numbered as (select *, row_number() over () as n, greatest(end_at, start_at) as known from rides),
facts as (select * from numbered where end_at is not null and known - start_at <= interval 3 hours)
select
  (select count(f.speed_mph) from facts f where f.zone = e.zone and f.known < e.start_at
     and f.known >= e.start_at - interval 1 hour) as "count",
  (select coalesce(sum(f.speed_mph), 0) from facts f where f.zone = e.zone and f.known < e.start_at
     and f.known >= e.start_at - interval 1 hour) as "sum",
  (select avg(f.speed_mph) from facts f where f.zone = e.zone and f.known < e.start_at
     and f.known >= e.start_at - interval 1 hour) as mean,
  (select min(f.speed_mph) from facts f where f.zone = e.zone and f.known < e.start_at
     and f.known >= e.start_at - interval 1 hour) as "min",
  (select max(f.speed_mph) from facts f where f.zone = e.zone and f.known < e.start_at
     and f.known >= e.start_at - interval 1 hour) as "max",
  (select arg_max(f.speed_mph, (f.known, f.n)) from facts f where f.zone = e.zone and f.known < e.start_at
     and f.known >= e.start_at - interval 1 hour and f.speed_mph is not null) as "last"
from numbered e order by n
"""


def oracle(rides: pl.DataFrame) -> dict[str, list]:
    found = duckdb.sql(SQL).pl()
    known = rides.select(pl.col("zone").is_not_null() & (pl.col("start_at") - timedelta(hours=4) >= START)).to_series()
    return {how: [v if ok else None for v, ok in zip(found[how], known, strict=True)] for how in HOWS}


def test_as_sql_says_on_real_trips(tlc):
    check_against_sql(as_rides(tlc / "yellow_tripdata_2019-03.parquet"))


def as_rides(file: Path) -> pl.DataFrame:
    return (
        pl.read_parquet(file)
        .select(
            start_at="tpep_pickup_datetime",
            end_at="tpep_dropoff_datetime",
            # Few zones, so that windows hold several trips of this sample.
            zone=pl.col("PULocationID") % 7,
            speed_mph=pl.col("trip_distance"),
        )
        .filter(pl.col("start_at") >= START)
        .head(3000)
    )


@pytest.mark.parametrize("seed", range(6))
def test_as_sql_says_on_random_rows_with_ties_repeats_and_gaps(seed):
    rng = np.random.default_rng(seed)
    n = 1200
    start = rng.integers(0, 24 * 60, n)  # minutes: many events share one
    took = rng.choice([-5, 0, 30, 90, 180, 181, 400], n)
    trips = pl.DataFrame(
        {
            "start_at": [START + timedelta(minutes=int(m)) for m in start],
            "end_at": [
                None if rng.random() < 0.05 else START + timedelta(minutes=int(m + d))
                for m, d in zip(start, took, strict=True)
            ],
            "zone": [None if rng.random() < 0.05 else int(z) for z in rng.integers(0, 5, n)],
            "speed_mph": [None if rng.random() < 0.1 else float(v) for v in rng.normal(10, 5, n).round(2)],
        },
        schema_overrides={"zone": pl.Int64},
    )
    check_against_sql(pl.concat([trips, trips.sample(50, seed=seed)]).sample(fraction=1, shuffle=True, seed=seed))


def test_as_sql_says_on_the_built_in_source(tmp_path):
    from ml_assets.resources.sources.simulated import write_tlc_files

    [file] = write_tlc_files(tmp_path, ["2019-03"], 3000, 0)
    check_against_sql(as_rides(file))


def check_against_sql(trips: pl.DataFrame) -> None:
    features = [feature(how, window="1h", delay="3h") for how in HOWS]
    found, wanted = computed(trips, features), oracle(trips)
    for how in HOWS:
        assert same(found[how], wanted[how]), how
        assert sum(v is not None for v in found[how]) > 0.3 * trips.height


@settings(max_examples=60, deadline=None, derandomize=True)
@given(rows=st.lists(ROW, min_size=2, max_size=25), data=st.data())
def test_nothing_known_at_or_after_an_event_changes_its_features(rows, data):
    table = rides(rows)
    features = [feature(how) for how in HOWS]
    event = data.draw(st.integers(0, len(rows) - 1))
    at = rows[event][0]
    future = [
        (s, e, zone, data.draw(st.floats(-9, 9)) if e is not None and max(s, e) >= at else value)
        for s, e, zone, value in rows
    ]
    before, after = computed(table, features), computed(rides(future), features)
    assert {n: v[event] for n, v in before.items()} == {n: v[event] for n, v in after.items()}


def test_the_edges_of_a_window():
    rows = rides([(0, 1, 1, 10.0), (0, 4, 1, 20.0), (0, 9, 1, 30.0), (9, 12, 1, 40.0), (9, 12, 2, 50.0)])
    found = computed(rows, [feature("count", delay="9s"), feature("last", delay="9s")], complete_from=LONG_AGO)
    # At second 9: known at 4 is exactly the window ago and counts; known at 9 is not strictly before.
    assert found["count"] == [0.0, 0.0, 0.0, 1.0, 0.0]
    assert found["last"] == [None, None, None, 20.0, None]


def test_what_became_known_too_late_never_counts():
    rows = rides([(0, 5, 1, 10.0), (4, 5, 1, 20.0), (8, 9, 1, 0.0)])
    found = computed(rows, [feature("sum", delay="4s")], complete_from=LONG_AGO)
    assert found["sum"] == [0.0, 0.0, 20.0]


def test_a_row_that_was_known_before_its_event_does_not_count_for_itself():
    rows = rides([(5, 1, 1, 10.0), (6, 7, 1, 20.0)])
    found = computed(rows, [feature("sum")], complete_from=LONG_AGO)
    assert found["sum"] == [0.0, 10.0]


def test_one_large_value_leaves_no_trace_in_later_windows():
    rows = rides([(0, 1, 1, 1e15), (10, 11, 1, 0.1), (11, 12, 1, 0.2), (14, 15, 1, 0.0)])
    found = computed(rows, [feature("sum")], complete_from=LONG_AGO)
    assert found["sum"][-1] == 0.1 + 0.2
    running = pl.Series([1e15, 0.1, 0.2]).cum_sum()
    assert running[2] - running[0] != pytest.approx(0.3, rel=1e-3), "prefix sums of floats would"


def test_keys_of_several_columns_and_of_none():
    rows = rides([(0, 1, 1, 10.0), (0, 1, 2, 20.0), (3, 4, 1, 0.0)]).with_columns(kind=pl.Series(["a", "a", "b"]))
    features = [
        HistoryFeature("both", by=("zone", "kind"), window="5s", how="count"),
        HistoryFeature("all", by=(), window="5s", how="count"),
    ]
    found = computed(rows, features, complete_from=LONG_AGO)
    assert found == {"both": [0.0, 0.0, 0.0], "all": [0.0, 0.0, 2.0]}


def test_very_many_keys_over_a_long_time():
    """Keys and microseconds that together do not fit in 63 bits."""
    n = 3000
    rows = pl.DataFrame(
        {
            "start_at": [START + timedelta(days=30 * (i % 1000)) for i in range(n)],
            "zone": [i // 3 * 10**15 for i in range(n)],
            "speed_mph": [float(i) for i in range(n)],
        }
    ).with_columns(end_at=pl.col("start_at"))
    f = HistoryFeature("n", by=("zone",), window="31d", how="count")
    rows_of = {(i // 3, i % 1000) for i in range(n)}
    wanted = [float((i // 3, i % 1000 - 1) in rows_of) for i in range(n)]
    assert computed(rows, [f], complete_from=datetime(2000, 1, 1))["n"] == wanted


def test_a_zone_of_time_is_no_hindrance():
    rows = rides([(0, 1, 1, 10.0), (3, 4, 1, 20.0)])
    zoned = rows.with_columns(pl.col("start_at", "end_at").dt.replace_time_zone("America/New_York"))
    assert computed(zoned, [feature("sum", window="2s", delay="1s")]) == {"sum": [None, 10.0]}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_no_numbers_are_refused(value):
    with pytest.raises(ConfigError, match="speed_mph is infinite or NaN in 1 rows"):
        computed(rides([(0, 1, 1, value), (3, 4, 1, 20.0)]), [feature("sum")])


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ({"how": "median"}, "none of count"),
        ({"value": None}, "mean of no value"),
        ({"window": "0s"}, "no length"),
        ({"window": "1 month"}, "a length of time"),
        ({"delay": "soon"}, "a length of time"),
    ],
)
def test_declarations_that_mean_nothing_are_refused(declared, said):
    with pytest.raises(ConfigError, match=said):
        feature(**declared).reach  # noqa: B018


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ({"by": ("zon",)}, "by zon, which is no column"),
        ({"by": ("end_at",)}, "by end_at, which is not known at the event's time"),
        ({"by": ("speed_mph",)}, "by speed_mph, which is not known"),
        ({"value": "miles"}, "reads miles, which is no column"),
        ({"value": "name"}, "reads name, which is String"),
        ({"known_at": "start_at"}, "known at end_at, not at start_at"),
        ({"known_at": "zone"}, "known_at zone is Int64"),
        ({"delay": "0s"}, "no delay: how long after start_at may end_at be"),
        ({"value": "zone", "delay": "4s"}, "delay 4s: a row is known at start_at"),
    ],
)
def test_what_the_table_can_not_give_in_time_is_refused(declared, said):
    rows = rides([(0, 1, 1, 1.0)]).with_row_index("row_number").with_columns(name=pl.lit("a")).lazy()
    with pytest.raises(ConfigError) as caught:
        build_features(
            rows, [feature(**declared)], label="speed_mph", event_time="start_at", known_at="end_at", known_late=LATE
        )
    assert said in "\n".join(caught.value.found)


def test_history_features_stand_in_the_features_table_in_their_order():
    rows = rides([(i, i + 1, 1, float(i)) for i in range(20)]).with_row_index("row_number").lazy()
    features = [
        feature("mean"),
        Feature("zone", pl.col("zone"), kind="category"),
        HistoryFeature("speed_mph", by="zone", window="5s", how="count"),  # named as a column that is read
    ]
    built = build_features(
        rows, features, label="speed_mph", event_time="start_at", known_at="end_at", keep=["mean"]
    ).collect()
    assert built.columns[4:] == ["mean", "zone", "speed_mph", "slice_mean"]
    assert built["mean"].to_list()[:12] == [None] * 9 + [5.0, 6.0, 7.0]
    assert built["speed_mph"].to_list()[:7] == [None] * 5 + [5.0, 5.0]
    assert built["label"].to_list() == [float(i) for i in range(20)]


def test_the_check_finds_what_differs_from_the_definition():
    rows = rides([(i, i + 1, i % 3, float(i)) for i in range(60)]).with_row_index("row_number").lazy()
    features = [feature(how) for how in HOWS]
    built = build_features(rows, features, label="speed_mph", event_time="start_at", known_at="end_at", known_late=LATE)
    asked = {"sample": 12, "event_time": "start_at", "known_late": LATE, "earlier": Earlier([], START)}
    assert disagreements(rows, built, features, **asked) == []
    # As if rows known at the event's own time counted, too.
    peeking = built.with_columns(pl.col("count") + 1.0)
    found = disagreements(rows, peeking, features, **asked)
    assert found
    assert all(f.startswith("count of the event at") for f in found)


def test_declarations_are_data():
    told = json.loads(json.dumps(feature("mean", unit="mph").to_json()))
    assert (told["by"], told["how"], told["window"]) == (["zone"], "mean", "5s")
    assert HistoryFeature.from_json(told) == feature("mean", unit="mph")
    assert reach_of([feature("mean", window="1h", delay="3h"), Feature("z", pl.col("z"), kind="number")]) == timedelta(
        hours=4
    )


def test_a_figure_is_the_same_to_the_bit_whatever_else_its_partition_holds():
    rng = np.random.default_rng(3)
    rows = [(int(s), int(s) + 2, 1, float(v)) for s, v in zip(range(400), rng.normal(20, 9, 400), strict=True)]
    features = [feature("mean", window="300s"), feature("sum", window="300s")]
    alone = computed(rides(rows), features, complete_from=LONG_AGO)
    more = [(1000 + i, 1001 + i, 1, 1e12) for i in range(600)]
    among = computed(rides(rows + more), features, complete_from=LONG_AGO)
    for name, values in alone.items():
        assert among[name][:400] == values
