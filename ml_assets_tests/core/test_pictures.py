"""Pictures: PNG, the same bytes for the same input, small enough for a preview, whatever the input."""

import struct

import numpy as np
import pytest

from ml_assets.core.pictures import error_over_time, importance, learning_curve, quarantine_reasons

PREVIEW_BYTES = 60_000
WIDTH = 576
RNG = np.random.default_rng(0)
MONTHS = [f"{year}-{month:02d}" for year in (2018, 2019, 2020) for month in range(1, 13)]
SERIES = {who: list(base + RNG.random(36)) for who, base in (("champion", 3), ("never_retrained", 3.3), ("naive", 7))}


def over_time(count=36, trained=("2018-12", "2019-03"), **changed):
    series = {who: values[:count] for who, values in SERIES.items()}
    given = {"partitions": MONTHS[:count], "series": series, "trained": trained, "metric": "mae", "unit": "minutes"}
    return error_over_time(**{**given, **changed})


LAST = {month: {"estimate": 3.4, "low": 3.1, "high": 3.7} for month in MONTHS[-2:]}
UNKNOWN = {who: [*values[:34], None, None] for who, values in SERIES.items()}


CURVE = [2 + 8 * float(np.exp(-i / 30)) for i in range(300)]
REALISTIC = {
    "learning_curve": lambda: learning_curve(CURVE, [1.1 * c for c in CURVE], 250, loss="l1"),
    "error_over_time": over_time,
    "labels_are_missing": lambda: over_time(series=UNKNOWN, expected=LAST),
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
    "no_partitions": lambda: error_over_time([], {}, [], metric="mae", unit=""),
    "one_partition": lambda: over_time(1, ["2031-01"]),
    "no_label_at_all": lambda: over_time(2, [], series={}, partitions=MONTHS[-2:], expected=LAST),
    "no_broken_rules": lambda: quarantine_reasons({}, 0),
    "no_features": lambda: importance({}),
    "dollars": lambda: quarantine_reasons({r"code matches ^\d{2}$, fare $ > 0, \frac{": 3, "a_b^c": 1}, 10),
}


@pytest.mark.parametrize("name", EDGE)
def test_nothing_breaks_them(name):
    assert size(EDGE[name]())[0] == WIDTH


def test_rules_with_the_same_beginning_and_end_keep_a_bar_each():
    long = "a rule of many words, the same at its start"
    two = {f"{long}{i}{long}": rows for i, rows in enumerate((50, 20))}
    assert quarantine_reasons(two, 100) != quarantine_reasons(dict.fromkeys(two, 50), 100)
    assert size(quarantine_reasons(two, 100)) == size(quarantine_reasons({"a": 50, "b": 20}, 100))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (over_time, lambda: over_time(trained=["2018-12"])),
        (over_time, lambda: over_time(35)),
        (over_time, lambda: over_time(expected=LAST)),
        (REALISTIC["learning_curve"], lambda: learning_curve(CURVE, [1.1 * c for c in CURVE], 25, loss="l1")),
        (REALISTIC["importance"], lambda: importance({f"feature_{i}": 0.1 + 0.1 * (i == 3) for i in range(10)})),
    ],
)
def test_other_input_is_another_picture(one, other):
    assert one() != other()
