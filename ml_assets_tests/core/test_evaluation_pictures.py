"""Pictures of an evaluation: PNG, the same bytes for the same input, small enough for a preview, whatever the input."""

import struct
from datetime import datetime, timedelta
from functools import cache

import numpy as np
import polars as pl
import pytest

from ml_assets.core.evaluation import evaluate
from ml_assets.core.evaluation_pictures import (
    error_by_slice,
    explained,
    intervals,
    pictures_of,
    reliability,
    residuals,
    roc_and_precision,
    worst,
)
from ml_assets.core.explanation import Explanation

PREVIEW_BYTES = 60_000
WIDTH = 576
ROWS = 20_000
RNG = np.random.default_rng(0)
LABEL = RNG.gamma(2, 6, ROWS) + 2
PREDICTION = LABEL * RNG.normal(1, 0.15, ROWS)
CHANCE = RNG.beta(1, 2, ROWS)
FLAG = (RNG.random(ROWS) < CHANCE).astype(float)
CHANCES = {
    "candidate": CHANCE,
    "champion": np.clip(CHANCE + 0.1 * RNG.random(ROWS), 0, 1),
    "naive": np.full(ROWS, 0.3),
    "linear": RNG.random(ROWS),
}


def slices(names, contenders=("candidate", "champion", "naive")) -> dict[str, dict[str, float]]:
    return {v: {"rows": 10 + i, **{w: 3.0 + j + i % 4 for j, w in enumerate(contenders)}} for i, v in enumerate(names)}


def by_hour(names=range(24), unit="minutes"):
    return error_by_slice(slices(map(str, names)), column="pickup_hour", metric="mae", unit=unit)


def found(count=6) -> dict[str, dict[str, dict[str, float]]]:
    names = ["candidate", "champion", "naive", "naive_by_key", "last_value", "linear"][:count]
    return {w: {"mae": {"estimate": 3.0 + i, "low": 2.9 + i, "high": 3.2 + i}} for i, w in enumerate(names)}


def calibration(count=10, **changed):
    of = [{"predicted": (i + 0.5) / count, "observed": (i + 0.7) / count, "rows": 300} for i in range(count)]
    return {"bins": of, "error": 0.02, "expected_by_chance": 0.015, **changed}


def rules(count=5, **changed):
    one = {"rule": "pickup_hour > 15.5 and trip_miles > 9.1", "rows": 90, "share_of_rows": 0.06, "share_of_loss": 0.2}
    one |= {"candidate": 5.0, "champion": 6.0, "naive": 20.0, **changed}
    return [one | {"candidate": 5.0 - i / 2} for i in range(count)]


def explanation(features=15, rows=900, seed=0):
    rng = np.random.default_rng(seed)
    dots = rng.normal(0, 1, (rows, features)) * np.linspace(4, 0.1, features)
    ranks = rng.random((rows, features))
    ranks[:, ::3] = np.nan
    return Explanation("shap", {f"feature_{i}": 4.0 - i / 9 for i in range(features)}, rows, dots, ranks)


@cache
def drawn(name: str) -> bytes:
    return REALISTIC[name]()


def size(png: bytes) -> tuple[int, int]:
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    assert png.endswith(b"IEND\xaeB`\x82")
    return struct.unpack(">II", png[16:24])


REALISTIC = {
    "residuals": lambda: residuals(LABEL, PREDICTION, name="trip_minutes", unit="minutes"),
    "error_by_slice": by_hour,
    "intervals": lambda: intervals(found(), metric="mae", unit="minutes"),
    "reliability": lambda: reliability(calibration()),
    "roc_and_precision": lambda: roc_and_precision(FLAG, CHANCES),
    "worst": lambda: worst(rules(), metric="mae", unit="minutes"),
    "explained": lambda: explained(explanation()),
    "explained_by_bars": lambda: explained(Explanation("permutation", {"a": 2.0, "b": 0.1, "c": -0.1}, 900)),
}


@pytest.mark.parametrize("name", REALISTIC)
def test_realistic_pictures(name):
    png = drawn(name)
    assert size(png)[0] == WIDTH
    assert 100 < size(png)[1] < 800
    assert len(png) < PREVIEW_BYTES
    assert REALISTIC[name]() == png
    assert b"matplotlib" not in png.lower()


EDGE = {
    "one_row": lambda: residuals(np.array([5.0]), np.array([7.0]), name="label", unit=""),
    "constant": lambda: residuals(np.full(50, 5.0), np.full(50, 5.0), name="label", unit=""),
    "all_too_high": lambda: residuals(np.zeros(50), np.full(50, 1e8), name="label", unit=""),
    "all_negative": lambda: residuals(-LABEL, -PREDICTION, name="label", unit="USD"),
    "equal_large_errors": lambda: residuals(np.full(9, 3e9), np.full(9, 3e9) + 1e9, name="label", unit=""),
    "no_slices": lambda: error_by_slice({}, column="zone", metric="mae", unit=""),
    "one_slice": lambda: error_by_slice(slices(["missing"]), column="zone", metric="mae", unit=""),
    "dollar_slices": lambda: error_by_slice(slices(["$1_x$", "$"]), column="$\\bad{$", metric="mae", unit="$"),
    "no_contenders": lambda: intervals({}, metric="mae", unit=""),
    "one_contender": lambda: intervals(found(1), metric="mae", unit="$x_$"),
    "an_undefined_metric": lambda: intervals(found(2), metric="auc", unit=""),
    "one_bin": lambda: reliability(calibration(1)),
    "bins_of_zeros": lambda: reliability(calibration(bins=[{"predicted": 0.0, "observed": 0.0, "rows": 3}])),
    "two_rows_ranked": lambda: roc_and_precision(np.array([0.0, 1.0]), {"candidate": np.array([0.1, 0.2])}),
    "ranked_wrongly": lambda: roc_and_precision(np.array([0.0, 1.0]), {"candidate": np.array([0.2, 0.1])}),
    "nothing_ranks": lambda: roc_and_precision(FLAG, {"naive": CHANCES["naive"]}),
    "one_rule": lambda: worst(rules(1, rule="zone is $x_1^"), metric="mae", unit=""),
    "one_feature": lambda: explained(explanation(1, 1)),
    "dollar_feature": lambda: explained(Explanation("shap", {"$a_$": 1.0}, 9)),
    "equal_contributions": lambda: explained(Explanation("shap", {"a": 0.0}, 9, np.zeros((9, 1)), np.zeros((9, 1)))),
}


@pytest.mark.filterwarnings("ignore:No artists with labels found:UserWarning")
@pytest.mark.parametrize("name", EDGE)
def test_nothing_breaks_them(name):
    assert size(EDGE[name]())[0] == WIDTH


def test_the_largest_of_many_slices():
    names = [f"zone {i}" for i in range(500)]

    def by_zone(of):
        return error_by_slice(of, column="zone", metric="mae", unit="")

    many = by_zone(slices(names))
    assert size(many) == size(drawn("error_by_slice")), "as many bars as a day has hours"
    smallest_changed = {**slices(names), "zone 0": {"rows": 1, "candidate": 99.0, "champion": 99.0, "naive": 99.0}}
    assert by_zone(smallest_changed) == many
    largest_changed = {**slices(names), "zone 499": {"rows": 999, "candidate": 99.0, "champion": 9.0, "naive": 9.0}}
    assert by_zone(largest_changed) != many


OTHER = {
    "error_by_slice": lambda: by_hour(range(1, 25)),
    "residuals": lambda: residuals(LABEL, PREDICTION + 1, name="trip_minutes", unit="minutes"),
    "intervals": lambda: intervals(found(5), metric="mae", unit="minutes"),
    "reliability": lambda: reliability(calibration(error=0.03)),
    "roc_and_precision": lambda: roc_and_precision(FLAG, {**CHANCES, "linear": CHANCE**2 * FLAG}),
    "worst": lambda: worst(rules(champion=7.0), metric="mae", unit="minutes"),
    "explained": lambda: explained(explanation(seed=1)),
}


@pytest.mark.parametrize("name", OTHER)
def test_other_input_is_another_picture(name):
    assert OTHER[name]() != drawn(name)


HOLDOUT = pl.DataFrame(
    {
        "row_number": np.arange(600),
        "event_at": [datetime(2018, 3, 15) + timedelta(minutes=30 * i) for i in range(600)],
        "label": LABEL[:600],
        "miles": PREDICTION[:600],
        "slice_hour": [float(i % 5) for i in range(600)],
        "@partition": ["2018-03"] * 600,
    }
)


@pytest.mark.parametrize(
    ("task", "metric", "label", "contenders", "expected"),
    [
        ("regression", "mae", LABEL, {"candidate": PREDICTION}, {"residuals"}),
        ("binary", "log_loss", FLAG, CHANCES, {"roc_and_precision", "calibration"}),
        ("binary", "log_loss", 0 * FLAG, CHANCES, {"calibration"}),
    ],
)
def test_what_fits_the_task_is_drawn(task, metric, label, contenders, expected):
    holdout = HOLDOUT.with_columns(label=label[:600])
    given = {who: p[:600] for who, p in contenders.items()}
    report = evaluate(holdout, given, task=task, metric=metric, slices=["hour"], seed=0)
    record = {**report.to_json(), "unit": "minutes"}
    pictures = pictures_of(record, label[:600], given, name="label", unit="minutes", explanation=explanation(3))
    assert set(pictures) - {"worst_slices"} == {"contenders", "error_by_hour", "explanation", *expected}
    assert all(len(png) < PREVIEW_BYTES for png in pictures.values())
