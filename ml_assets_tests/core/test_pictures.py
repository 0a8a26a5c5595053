"""Pictures: PNG, small, the same for the same numbers, another for others, and never a failure on odd input."""

import struct
import zlib
from collections.abc import Callable

import numpy as np
import pytest

from ml_assets.core import pictures

RNG = np.random.default_rng(0)
LABEL = RNG.gamma(2, 7, 3000) + 1
SCORES = LABEL * RNG.normal(1, 0.2, 3000)
MONTHS = [f"2019-{m:02d}" for m in range(1, 13)]
SLICES = {str(h): {"rows": 100 + h, "candidate": 3 + h / 10, "champion": 3.5, "naive": 7.0} for h in range(24)}
RULES = {"trip_minutes: in_range(1, 180)": 120, "unique": 3, r"code: str_matches('^\$a\b$')": 2}


def curve(last=3.0):
    return pictures.learning_curve([8.0, 4.0, last], [8.1, 4.5, last + 0.4], 2, loss="l1")


def residuals(scores=SCORES):
    return pictures.residuals(LABEL[: len(scores)], scores, name="trip_minutes", unit="minutes")


def by_slice(slices=SLICES, column="pickup_hour", unit="minutes"):
    return pictures.error_by_slice(slices, column=column, metric="mae", unit=unit)


def over_time(champion=3.0, trained=("2019-03",), months=MONTHS):
    series = {"champion": [champion] * len(months), "naive": [7.0] * len(months)} if months else {}
    return pictures.error_over_time(months, series, trained, metric="mae", unit="minutes")


def reasons(rules=RULES, rows=10_000):
    return pictures.quarantine_reasons(rules, rows)


def importance(shares=None):
    return pictures.importance(shares or {"trip_miles": 0.6, "pickup_zone": 0.25, "pickup_hour": 0.15})


PICTURES: dict[Callable[..., bytes], tuple] = {
    curve: (5.0,),
    residuals: (LABEL + 1,),
    by_slice: ({"1": {"rows": 5, "candidate": 1.0, "naive": 2.0}},),
    over_time: (4.0,),
    reasons: ({"unique": 5},),
    importance: ({"trip_miles": 1.0},),
}


def pixels(png: bytes) -> bytes:
    """The picture itself, and nothing but it: any other text or time in the file fails here."""
    kinds, data, at = set(), b"", 8
    while at < len(png):
        (length,), kind = struct.unpack(">I", png[at : at + 4]), png[at + 4 : at + 8]
        kinds.add(kind)
        data += png[at + 8 : at + 8 + length] if kind == b"IDAT" else b""
        at += 12 + length
    assert kinds == {b"IHDR", b"pHYs", b"IDAT", b"IEND"}
    return zlib.decompress(data)


@pytest.mark.parametrize("draw", PICTURES, ids=lambda f: f.__name__)
def test_small_repeatable_and_of_its_numbers(draw):
    png = draw()
    assert png.startswith(b"\x89PNG\r\n")
    assert len(png) <= 40_000
    assert draw() == png
    assert pixels(draw(*PICTURES[draw])) != pixels(png)


def test_trainings_are_marked():
    assert over_time(trained=[]) != over_time() != over_time(trained=["2019-07"])
    assert over_time(trained=["2017-01"]) == over_time(trained=[])


def test_contenders_have_colours_of_their_own():
    contenders = [k for k in SLICES["0"] if k != "rows"]
    assert len({pictures.COLORS[who] for who in contenders}) == 3
    assert len({pictures.COLORS[who] for who in ("champion", "never_retrained", "naive")}) == 3


@pytest.mark.parametrize(
    "draw",
    [
        lambda: by_slice({}),
        lambda: by_slice({r"$\b$": {"rows": 1, "candidate": 1.0, "naive": 2.0}}, column="$a$", unit="US$ per $"),
        lambda: by_slice({"1": {"rows": 1, "candidate": 0.0, "naive": 0.0}}, unit=""),
        lambda: over_time(months=[]),
        lambda: over_time(months=["2019-01"]),
        lambda: reasons({}, 0),
        lambda: residuals(np.array([5.0])),
        lambda: residuals(LABEL),
        lambda: pictures.residuals(np.zeros(3), np.zeros(3), name="x", unit=""),
        lambda: pictures.learning_curve([1.0], [1.0], 1, loss="l1"),
    ],
)
def test_odd_input_is_drawn_too(draw):
    assert pixels(draw())
