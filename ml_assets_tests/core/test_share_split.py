"""Splits by group and at random: whole groups, the right shares, the same part as of every partition."""

import subprocess
import sys
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_assets.core.assignment import identified, rows_of
from ml_assets.core.errors import TrainingError
from ml_assets.core.share_split import ShareSplit
from ml_assets.core.split import PARTITION, PARTS, UNIT
from ml_assets.core.stable_hash import salt

DAYS = [datetime(2019, 1, d) for d in range(1, 8)]
KEYS = [f"{d:%Y-%m-%d}" for d in DAYS[:-1]]
ROWS = 500
RANDOM = ShareSplit("random", validation=0.2, holdout=0.3, seed=0, start=DAYS[0], as_of=DAYS[-1])
GROUP = replace(RANDOM, kind="group", group="vendor")


def partition(start: datetime, end: datetime) -> pl.LazyFrame:
    number = pl.int_range(ROWS, dtype=pl.UInt32)
    event = pl.lit(start) + (end - start) / ROWS * number
    return pl.select(
        number.alias("row_number"),
        event.alias("event_at"),
        label=number.cast(pl.Float64),
        label_known_at=event,
        slice_vendor=pl.when(number % 50 != 0).then("v" + (number * 7 % 83).cast(pl.String)),
    ).lazy()


HISTORY = {key: partition(a, b) for key, (a, b) in zip(KEYS, pairwise(DAYS), strict=True)}


def divided(split: ShareSplit, history=HISTORY) -> pl.DataFrame:
    return identified(history, split).with_columns(part=split.part()).collect()


def identities(frame: pl.DataFrame) -> dict[tuple[str, int], str]:
    return {(partition, number): part for partition, number, part in
            frame.select(PARTITION, "row_number", "part").iter_rows()}  # fmt: skip


@pytest.mark.parametrize("split", [RANDOM, GROUP], ids=["random", "group"])
def test_every_row_is_in_one_part_as_of_every_partition(split):
    whole = identities(divided(split))
    assert set(whole.values()) == set(PARTS)
    later = replace(split, start=DAYS[2])
    assert identities(divided(later, {k: HISTORY[k] for k in KEYS[2:]})).items() <= whole.items()
    earlier = replace(split, as_of=DAYS[3])
    found = identities(divided(earlier, {k: HISTORY[k] for k in KEYS[:3]}))
    assert found.items() <= whole.items()
    assert len(found) == 3 * ROWS


def test_a_group_is_never_divided_and_rows_without_one_are_one_group():
    parts = divided(GROUP).group_by("slice_vendor").agg(pl.col("part").n_unique(), pl.col(UNIT).n_unique())
    assert parts["part"].to_list() == parts[UNIT].to_list() == [1] * 84
    assert parts["slice_vendor"].null_count() == 1


def test_a_random_split_divides_groups_and_takes_each_row_by_itself():
    frame = divided(RANDOM)
    assert frame[UNIT].n_unique() == frame.height
    assert frame.group_by("slice_vendor").agg(pl.col("part").n_unique())["part"].min() > 1
    # The same row number of other partitions is another row.
    across = frame.group_by("row_number").agg(pl.col("part").n_unique())["part"]
    assert (across > 1).mean() > 0.9


def test_the_parts_have_their_shares():
    shares = dict(divided(RANDOM)["part"].value_counts(normalize=True).iter_rows())
    # 3,000 rows: a share of 0.3 has a standard error of 0.008.
    assert shares == pytest.approx({"train": 0.5, "validation": 0.2, "holdout": 0.3}, abs=0.03)
    groups = divided(GROUP).unique("slice_vendor")["part"].value_counts(normalize=True)
    assert dict(groups.iter_rows()) == pytest.approx({"train": 0.5, "validation": 0.2, "holdout": 0.3}, abs=0.15)


@pytest.mark.parametrize("split", [RANDOM, GROUP], ids=["random", "group"])
def test_the_seed_counts_and_a_longer_holdout_takes_rows_and_gives_none_back(split):
    before = divided(split)["part"]
    assert (divided(replace(split, seed=1))["part"] != before).mean() > 0.3
    more = divided(replace(split, holdout=0.5))["part"]
    assert (more.filter(before == "holdout") == "holdout").all()


def test_where_a_row_falls_is_computed_as_told():
    mask = 2**64 - 1

    def drawn(unit: int) -> str:
        hashed = splitmix64((unit + salt("part", 0)) & mask) / 2**64
        return "holdout" if hashed < 0.3 else "validation" if hashed < 0.5 else "train"

    rows = divided(RANDOM)
    assert rows["part"].to_list() == [
        drawn(splitmix64((n + salt("row", key)) & mask)) for key, n in rows.select(PARTITION, "row_number").iter_rows()
    ]
    groups = divided(GROUP)
    assert groups["part"].to_list() == [drawn(salt("value", vendor)) for vendor in groups["slice_vendor"]]


def splitmix64(state: int) -> int:
    z = (state + 0x9E3779B97F4A7C15) & (2**64 - 1)
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & (2**64 - 1)
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & (2**64 - 1)
    return z ^ (z >> 31)


SCRIPT = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("test_share_split", sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
print(module.fingerprint())
"""


def fingerprint() -> str:
    from hashlib import sha256

    return sha256("".join(p[0] for s in (RANDOM, GROUP) for p in divided(s)["part"]).encode()).hexdigest()


def test_the_same_in_another_process_on_other_threads():
    said = [
        subprocess.run(
            [sys.executable, "-c", SCRIPT, __file__],
            env={"POLARS_MAX_THREADS": threads, "PYTHONHASHSEED": threads},
            capture_output=True, text=True, check=True,
        ).stdout.strip()
        for threads in ("1", "2")
    ]  # fmt: skip
    assert said == [fingerprint()] * 2


@settings(derandomize=True, database=None, deadline=None, max_examples=30)
@given(
    groups=st.lists(st.none() | st.sampled_from("abcdefgh"), min_size=1, max_size=40),
    waits=st.lists(st.none() | st.integers(0, 10 * 24), min_size=40, max_size=40),
    seed=st.integers(0, 5),
)
def test_rows_are_divided_whole_with_labels_known_as_of(groups, waits, seed):
    at = [DAYS[0] + timedelta(hours=3 * i) for i in range(len(groups))]
    known = [None if w is None else a + timedelta(hours=w) for a, w in zip(at, waits, strict=False)]
    frame = pl.LazyFrame(
        {"row_number": range(len(at)), "event_at": at, "label": 1.0, "label_known_at": known, "slice_vendor": groups},
        schema_overrides={"row_number": pl.UInt32, "label_known_at": pl.Datetime("us"), "slice_vendor": pl.String},
    )
    split = replace(GROUP, seed=seed, as_of=DAYS[5])
    parts = {p: rows_of({"x": frame}, split, p).collect() for p in PARTS}
    seen = [{*frame["slice_vendor"]} for frame in parts.values()]
    assert sum(map(len, seen)) == len(set().union(*seen))
    rows = sorted(n for frame in parts.values() for n in frame["row_number"])
    assert rows == [i for i, (a, k) in enumerate(zip(at, known, strict=True)) if a < DAYS[5] and k and k <= DAYS[5]]


@pytest.mark.parametrize(
    ("other", "judged"),
    [
        (RANDOM, True),
        (replace(RANDOM, as_of=DAYS[5], start=DAYS[1]), True),
        (replace(RANDOM, holdout=0.4), True),
        (replace(RANDOM, holdout=0.25), False),
        (replace(RANDOM, seed=1), False),
        (GROUP, False),
        (replace(GROUP, start=DAYS[0] - timedelta(days=9), as_of=DAYS[0]), True),
    ],
)
def test_a_model_that_the_same_hash_kept_from_the_holdout_is_judged_by_it(other, judged):
    split = replace(RANDOM, start=DAYS[0])
    assert split.may_judge(other) is judged


def test_labels_must_be_known_as_of():
    assert RANDOM.learns_until == RANDOM.as_of
    assert {RANDOM.known_by(p) for p in PARTS} == {RANDOM.as_of}
    assert RANDOM.gap("train", "holdout") is None
    assert (RANDOM.group_column, GROUP.group_column) == (None, "slice_vendor")


@pytest.mark.parametrize("split", [RANDOM, GROUP], ids=["random", "group"])
def test_json(split):
    record = split.to_json()
    assert (record["kind"], record["seed"], record["group"]) == (split.kind, 0, split.group)
    assert record["shares"] == {"validation": 0.2, "holdout": 0.3}
    assert ShareSplit.from_json(record) == split


def test_partitions_without_the_group_are_named():
    without = {key: HISTORY[key].drop("slice_vendor") for key in (KEYS[1], KEYS[4])}
    history = {**HISTORY, **without}
    with pytest.raises(TrainingError, match="slice_vendor") as caught:
        identified(history, GROUP)
    assert [f.split()[1] for f in caught.value.found] == [KEYS[1], KEYS[4]]
    assert identified(history, RANDOM) is not None


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"validation": 0.0}, ["a share of 0.0 for validation"]),
        ({"validation": float("nan"), "holdout": 1.0}, ["a share of nan for validation", "a share of 1.0 for holdout"]),
        ({"validation": 0.6, "holdout": 0.4}, ["validation 0.6 and holdout 0.4, which leave nothing to train on"]),
        ({"group": "vendor"}, ["group vendor"]),
        ({"kind": "group"}, ["group None"]),
        ({"start": DAYS[-1]}, [f"a window from {DAYS[-1]} to {DAYS[-1]}"]),
    ],
)
def test_refused(changes, found):
    with pytest.raises(TrainingError) as caught:
        replace(RANDOM, **changes)
    assert caught.value.found == found
