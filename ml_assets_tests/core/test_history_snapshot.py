"""One event's history looked up in a snapshot: to the bit what the batch computes for its partition."""

from datetime import date, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_assets.core.errors import ConfigError
from ml_assets.core.history import Earlier, HistoryFeature, history_columns
from ml_assets.core.history_facts import microseconds
from ml_assets.core.history_snapshot import HistorySnapshot, key_values, snapshot_of

START = datetime(2019, 3, 1)
LATE = {"speed_mph": "end_at"}
HOWS = ("count", "sum", "mean", "min", "max", "last")


def feature(how="mean", *, window="5s", value="speed_mph", by=("zone",), delay="4s", **kwargs) -> HistoryFeature:
    return HistoryFeature(how, by=by, value=value, window=window, how=how, delay=delay, **kwargs)


def at(second: float) -> datetime:
    return START + timedelta(seconds=second)


def us(second: float) -> int:
    return int(microseconds(pl.Series([at(second)]))[0])


def rides(rows: list[tuple]) -> pl.DataFrame:
    """(second of the start, second of the end, zone, speed) per row."""
    names = ["start_at", "end_at", "zone", "speed_mph"]
    schema = dict(zip(names, (pl.Datetime("us"), pl.Datetime("us"), pl.Int64, pl.Float64), strict=True))
    return pl.DataFrame(
        [(at(s), None if e is None else at(e), z, v) for s, e, z, v in rows], schema=schema, orient="row"
    )


def of(*frames: pl.DataFrame, features, complete_from=0, newest_from=0) -> HistorySnapshot:
    return snapshot_of(
        [f.lazy() for f in frames], features, event_time="start_at", known_late=LATE,
        complete_from=at(complete_from), newest_from=at(newest_from),
    )  # fmt: skip


SECONDS = st.integers(0, 40)
ROW = st.tuples(
    SECONDS,
    st.one_of(st.none(), st.integers(-2, 8)),
    st.sampled_from([1, 2, 3, None]),
    st.one_of(st.none(), st.floats(-1e9, 1e9), st.sampled_from([0.0, 1e-12, 7.0, 0.1])),
).map(lambda r: (r[0], None if r[1] is None else r[0] + r[1], r[2], r[3]))


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    rows=st.lists(ROW, min_size=1, max_size=40), cut=SECONDS, missing=st.integers(0, 30), window=st.integers(1, 20),
    delay=st.integers(1, 9),
)  # fmt: skip
def test_every_event_of_a_partition_has_the_figures_of_the_batch(rows, cut, missing, window, delay):
    table = rides(rows)
    before, own = table.filter(pl.col("start_at") < at(cut)), table.filter(pl.col("start_at") >= at(cut))
    missing = min(cut, missing)
    features = [feature(how, window=f"{window}s", delay=f"{delay}s", known_at="end_at") for how in HOWS]
    features.append(HistoryFeature("starts", by=(), window=f"{window}s", how="count"))
    history = Earlier([before.lazy()], at(missing))
    wanted = history_columns(own.lazy(), features, event_time="start_at", known_late=LATE, earlier=history)
    snapshot = of(before, own, features=features, complete_from=missing, newest_from=cut)
    zones, times = own["zone"].to_list(), microseconds(own["start_at"]).tolist()
    for f in features:
        keys = [(zone,) if f.by else () for zone in zones]
        found = [snapshot.figure(f.name, key, t) for key, t in zip(keys, times, strict=True)]
        assert found == wanted[f.name].to_list(), f.name


def test_rows_count_from_the_instant_after_they_became_known_until_the_window_is_over():
    table = rides([(100, 103, 1, 7.0), (100, 103, 1, 9.0), (101, 102, 2, 5.0), (110, 111, 3, 1.0)])
    features = [feature(how) for how in HOWS]
    snapshot = of(table, features=features)

    def figures(second: float) -> dict:
        return {how: snapshot.figure(how, (1,), us(second)) for how in HOWS}

    nothing = {"count": 0.0, "sum": 0.0, "mean": None, "min": None, "max": None, "last": None}
    both = {"count": 2.0, "sum": 16.0, "mean": 8.0, "min": 7.0, "max": 9.0, "last": 9.0}
    assert figures(103) == nothing, "known in the same instant"
    assert figures(103.000001) == both
    assert figures(105.9) == both
    assert figures(108) == both, "known exactly a window ago"
    assert figures(108.000001) == nothing


def test_a_window_that_begins_where_the_snapshot_ends_is_missing_and_one_partly_known_is_told_by_its_age():
    table = rides([(100, 102, 1, 7.0), (103, 104, 1, 9.0)])
    features = [feature("count"), feature("mean")]
    snapshot = of(table, features=features)
    assert snapshot.figure("count", (1,), us(107.9)) == 1.0, "rows until 103 are there"
    assert snapshot.age(us(107.9)) == pytest.approx(3.9)
    assert [snapshot.figure(how, (1,), us(108)) for how in ("count", "mean")] == [None, None], "103 and 5 s"
    assert snapshot.age(us(1000)) == 896.0
    # That a partition was stored, and is empty, says that nothing happened before it.
    empty = of(table, table.clear(), features=features, newest_from=110)
    assert [empty.figure("count", (1,), us(second)) for second in (110, 114.9)] == [0.0, 0.0]
    assert empty.figure("count", (1,), us(115)) is None


def test_an_event_older_than_the_snapshot_is_missing():
    table = rides([(s, s + 1, 1, 7.0) for s in range(20, 60)])
    features = [feature("count"), feature("mean", window="20s")]
    snapshot = of(table, features=features, complete_from=20, newest_from=40)
    assert snapshot.figure("count", (1,), us(28.9)) is None
    assert snapshot.figure("count", (1,), us(29)) == 5.0
    assert snapshot.figure("mean", (1,), us(43.9)) is None
    assert snapshot.figure("mean", (1,), us(44)) == 7.0
    assert snapshot.age(us(21)) is None, "nothing was known yet"


def test_rows_that_no_event_can_reach_are_not_kept():
    table = rides([(s, s + 1, 1, 7.0) for s in range(60)])
    assert of(table, features=[feature("count")], newest_from=40).rows == 60 - 40 + 9


def test_an_empty_table_and_unknown_or_missing_keys():
    features = [feature("count"), feature("sum"), feature("mean")]
    nothing = of(rides([]), features=features, complete_from=0, newest_from=50)
    assert [nothing.figure(f.name, (1,), us(51)) for f in features] == [0.0, 0.0, None]
    assert nothing.age(us(51)) is None
    one = of(rides([(50, 51, 1, 7.0), (60, 61, None, 7.0)]), features=features)
    assert [one.figure(f.name, (9,), us(55)) for f in features] == [0.0, 0.0, None]
    assert [one.figure(f.name, (None,), us(55)) for f in features] == [None, None, None]


def test_the_oldest_of_the_times_at_which_features_are_known_is_the_age_whatever_the_key():
    table = rides([(90, 91, 1, 7.0), (95, 97, 2, 7.0), (99, 103, 1, 7.0)])
    starts = HistoryFeature("starts", by=("zone",), window="9s", how="count")
    assert of(table, features=[starts]).age(us(100)) == 1.0
    assert of(table, features=[feature()]).age(us(100)) == 3.0
    assert of(table, features=[starts, feature(), feature("max", by=())]).age(us(100)) == 3.0
    assert of(table, features=[starts]).age(us(99)) == 4.0, "strictly before"


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "America/New_York"])
def test_keys_of_every_kind_and_times_in_units_and_zones(unit, zone):
    rows = rides([(s, s + 1, s % 2, float(s)) for s in range(30)]).with_columns(
        pl.col("start_at", "end_at").cast(pl.Datetime(unit)).dt.replace_time_zone(zone),
        day=pl.lit(date(2019, 3, 1)),
        name=pl.when(pl.col("zone") == 1).then(pl.lit("odd")).cast(pl.Enum(["odd", "even"])),
        shared=pl.col("zone") == 1,
        minute=pl.col("start_at").dt.truncate("10s"),
    )
    by = ("zone", "day", "name", "shared", "minute")
    features = [feature("sum", by=by), feature("last", by=("name",))]
    earlier = Earlier([], START)
    wanted = history_columns(rows.lazy(), features, event_time="start_at", known_late=LATE, earlier=earlier)
    snapshot = of(rows, features=features)
    times = microseconds(rows["start_at"]).tolist()
    for f in features:
        keys = list(zip(*(key_values(rows[c]) for c in f.by), strict=True))
        found = [snapshot.figure(f.name, key, t) for key, t in zip(keys, times, strict=True)]
        assert found == wanted[f.name].to_list()
        assert any(found)


def test_infinite_values_are_refused():
    with pytest.raises(ConfigError, match="infinite or NaN in 1 rows"):
        of(rides([(1, 2, 1, float("inf"))]), features=[feature()])


def test_memory_is_told():
    few, many = (of(rides([(s, s + 1, 1, s / 3) for s in range(n)]), features=[feature()]) for n in (10, 1000))
    assert 990 * 8 * 3 <= many.nbytes - few.nbytes <= 990 * 8 * 4, "a time and two or three parts of a sum a row"
