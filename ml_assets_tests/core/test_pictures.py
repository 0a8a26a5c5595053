"""Pictures: PNG, the same bytes for the same input, small enough for a preview, whatever the input."""

import struct

import numpy as np
import pytest

from ml_assets.core.pictures import (
    MOST_BARS,
    error_by_slice,
    error_over_time,
    importance,
    learning_curve,
    quarantine_reasons,
    residuals,
)

PREVIEW_BYTES = 60_000
WIDTH = 576
ROWS = 20_000
RNG = np.random.default_rng(0)
LABEL = RNG.gamma(2, 6, ROWS) + 2
PREDICTION = LABEL * RNG.normal(1, 0.15, ROWS)
MONTHS = [f"{year}-{month:02d}" for year in (2018, 2019, 2020) for month in range(1, 13)]
SERIES = {who: list(base + RNG.random(36)) for who, base in (("champion", 3), ("never_retrained", 3.3), ("naive", 7))}


def slices(names, contenders=("candidate", "champion", "naive")) -> dict[str, dict[str, float]]:
    return {v: {"rows": 10 + i, **{w: 3.0 + j + i % 4 for j, w in enumerate(contenders)}} for i, v in enumerate(names)}


def over_time(count=36, trained=("2018-12", "2019-03"), **changed):
    series = {who: values[:count] for who, values in SERIES.items()}
    given = {"partitions": MONTHS[:count], "series": series, "trained": trained, "metric": "mae", "unit": "minutes"}
    return error_over_time(**{**given, **changed})


def by_hour(names=range(24), unit="minutes"):
    return error_by_slice(slices(map(str, names)), column="pickup_hour", metric="mae", unit=unit)


CURVE = [2 + 8 * float(np.exp(-i / 30)) for i in range(300)]
REALISTIC = {
    "learning_curve": lambda: learning_curve(CURVE, [1.1 * c for c in CURVE], 250, loss="l1"),
    "residuals": lambda: residuals(LABEL, PREDICTION, name="trip_minutes", unit="minutes"),
    "error_by_slice": by_hour,
    "error_over_time": over_time,
    "quarantine_reasons": lambda: quarantine_reasons({f"rule_{i} > 0": 800 - i for i in range(12)}, 10_000),
    "importance": lambda: importance({f"feature_{i}": 0.1 for i in range(10)}),
}


def size(png: bytes) -> tuple[int, int]:
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    assert png.endswith(b"IEND\xaeB`\x82")
    return struct.unpack(">II", png[16:24])


@pytest.mark.parametrize("name", REALISTIC)
def test_realistic_pictures(name):
    png = REALISTIC[name]()
    assert size(png)[0] == WIDTH
    assert 200 < size(png)[1] < 800
    assert len(png) < PREVIEW_BYTES
    assert REALISTIC[name]() == png
    assert b"matplotlib" not in png.lower()


EDGE = {
    "one_tree": lambda: learning_curve([1.0], [1.0], 1, loss="l2"),
    "one_row": lambda: residuals(np.array([5.0]), np.array([7.0]), name="label", unit=""),
    "constant": lambda: residuals(np.full(50, 5.0), np.full(50, 5.0), name="label", unit=""),
    "all_too_high": lambda: residuals(np.zeros(50), np.full(50, 1e8), name="label", unit=""),
    "all_negative": lambda: residuals(-LABEL, -PREDICTION, name="label", unit="USD"),
    "equal_large_errors": lambda: residuals(np.full(9, 3e9), np.full(9, 3e9) + 1e9, name="label", unit=""),
    "no_slices": lambda: error_by_slice({}, column="zone", metric="mae", unit=""),
    "one_slice": lambda: error_by_slice(slices(["missing"]), column="zone", metric="mae", unit=""),
    "no_partitions": lambda: error_over_time([], {}, [], metric="mae", unit=""),
    "one_partition": lambda: over_time(1, ["2031-01"]),
    "no_broken_rules": lambda: quarantine_reasons({}, 0),
    "no_features": lambda: importance({}),
    "dollars": lambda: quarantine_reasons({r"code matches ^\d{2}$, fare $ > 0, \frac{": 3, "a_b^c": 1}, 10),
    "dollar_slices": lambda: error_by_slice(slices(["$1_x$", "$"]), column="$\\bad{$", metric="mae", unit="$"),
}


@pytest.mark.parametrize("name", EDGE)
def test_nothing_breaks_them(name):
    assert size(EDGE[name]())[0] == WIDTH


def test_the_largest_of_many_slices():
    names = [f"zone {i}" for i in range(500)]
    many = error_by_slice(slices(names), column="zone", metric="mae", unit="")
    assert size(many) == size(error_by_slice(slices(names[:MOST_BARS]), column="zone", metric="mae", unit=""))
    smallest_changed = {**slices(names), "zone 0": {"rows": 1, "candidate": 99.0, "champion": 99.0, "naive": 99.0}}
    assert error_by_slice(smallest_changed, column="zone", metric="mae", unit="") == many
    largest_changed = {**slices(names), "zone 499": {"rows": 999, "candidate": 99.0, "champion": 9.0, "naive": 9.0}}
    assert error_by_slice(largest_changed, column="zone", metric="mae", unit="") != many


def test_rules_with_the_same_beginning_and_end_keep_a_bar_each():
    long = "a rule of many words, the same at its start"
    two = {f"{long}{i}{long}": rows for i, rows in enumerate((50, 20))}
    assert quarantine_reasons(two, 100) != quarantine_reasons(dict.fromkeys(two, 50), 100)
    assert size(quarantine_reasons(two, 100)) == size(quarantine_reasons({"a": 50, "b": 20}, 100))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (by_hour, lambda: by_hour(range(1, 25))),
        (by_hour, lambda: by_hour(unit="hours")),
        (over_time, lambda: over_time(trained=["2018-12"])),
        (over_time, lambda: over_time(35)),
        (REALISTIC["residuals"], lambda: residuals(LABEL, PREDICTION + 1, name="trip_minutes", unit="minutes")),
        (REALISTIC["learning_curve"], lambda: learning_curve(CURVE, [1.1 * c for c in CURVE], 25, loss="l1")),
        (REALISTIC["importance"], lambda: importance({f"feature_{i}": 0.1 + 0.1 * (i == 3) for i in range(10)})),
    ],
)
def test_other_input_is_another_picture(one, other):
    assert one() != other()
