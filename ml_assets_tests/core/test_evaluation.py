"""Contenders on the same rows, for every task; the record says what was judged, by which rows, and how sure it is."""

import json
from datetime import datetime, timedelta
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from ml_assets.core.assignment import PartCounts
from ml_assets.core.classification_metrics import Costs
from ml_assets.core.errors import ContractError
from ml_assets.core.evaluation import digest_of, evaluate, evaluation_record
from ml_assets.core.explanation import Explanation
from ml_assets.core.manifest import Manifest
from ml_assets.core.metrics import metrics_of
from ml_assets.core.time_split import TimeRange, TimeSplit

ROWS = 600
RNG = np.random.default_rng(7)
CHANCE = RNG.beta(1, 2, ROWS)
HOLDOUT = pl.DataFrame(
    {
        "row_number": np.arange(ROWS),
        "event_at": [datetime(2018, 3, 15) + timedelta(minutes=30 * i) for i in range(ROWS)],
        "label": RNG.gamma(2, 5, ROWS),
        "miles": RNG.gamma(2, 2, ROWS),
        "slice_hour": [float(i % 5) for i in range(ROWS)],
        "slice_zone": [None if i % 7 == 0 else f"z{i % 3}" for i in range(ROWS)],
        "@partition": pl.Series(["2018-03"] * 400 + ["2018-04"] * 200, dtype=pl.Enum(["2018-03", "2018-04"])),
    },
    schema_overrides={"row_number": pl.UInt32},
)
LABEL = HOLDOUT["label"].to_numpy()
PREDICTIONS = {
    "candidate": LABEL + RNG.normal(0, 1, ROWS),
    "champion": LABEL + RNG.normal(0, 2, ROWS),
    "naive": np.full(ROWS, np.median(LABEL)),
}
FLAGS = HOLDOUT.with_columns(label=pl.Series((RNG.random(ROWS) < CHANCE).astype(float)))
CHANCES = {"candidate": CHANCE, "champion": np.clip(CHANCE + 0.2, 0, 1), "naive": np.full(ROWS, 0.33)}
WIDE = RNG.dirichlet([1.0, 2.0, 0.5], ROWS)
CLASSES = HOLDOUT.with_columns(label=pl.Series([float(RNG.choice(3, p=row)) for row in WIDE]))
WIDES = {"candidate": WIDE, "champion": (WIDE + 1 / 3) / 2, "naive": np.full((ROWS, 3), 1 / 3)}
CASES = {
    "mae": (HOLDOUT, PREDICTIONS, "regression"),
    "rmse": (HOLDOUT, PREDICTIONS, "regression"),
    "pinball": (HOLDOUT, PREDICTIONS, "regression"),
    "log_loss": (FLAGS, CHANCES, "binary"),
    "brier": (FLAGS, CHANCES, "binary"),
    "log_loss of classes": (CLASSES, WIDES, "multiclass"),
    "brier of classes": (CLASSES, WIDES, "multiclass"),
}


def evaluated(case="mae", slices=("hour", "zone"), **changed):
    holdout, contenders, task = CASES[case]
    metric = case.split()[0]
    alpha = 0.5 if metric == "pinball" else None
    given = {"task": task, "metric": metric, "alpha": alpha, "slices": slices, "seed": 0, **changed}
    contenders = given.pop("contenders", contenders)
    return evaluate(given.pop("holdout", holdout), contenders, **given)


@pytest.mark.parametrize("case", CASES)
def test_contenders_on_the_same_rows(case):
    holdout, contenders, task = CASES[case]
    metric = case.split()[0]
    report = evaluated(case)
    assert (report.rows, report.task, report.metric) == (ROWS, task, metric)
    assert list(report.metrics) == list(report.intervals) == list(contenders)
    assert list(report.differences) == list(report.metric_differences) == ["champion", "naive"]
    label = holdout["label"].to_numpy()
    expected = metrics_of(task, label, contenders["champion"], alpha=0.5 if metric == "pinball" else None)
    assert report.metrics["champion"] == pytest.approx(expected)
    for who, interval in report.differences.items():
        power = 2 if metric == "rmse" else 1
        ours, theirs = (report.metrics[w][metric] ** power for w in ("candidate", who))
        assert interval.estimate == pytest.approx(ours - theirs)
        assert interval.low < interval.high < 0
        assert report.metric_differences[who][metric].high < 0
    for who, of in report.intervals.items():
        for name, found in of.items():
            assert found.estimate == report.metrics[who][name], name
            assert found.low <= found.estimate <= found.high, (who, name)
    assert list(report.slices["hour"]) == ["0", "1", "2", "3", "4"]
    assert set(report.slices["zone"]) == {"missing", "z0", "z1", "z2"}
    for column, values in report.slices.items():
        assert sum(s["rows"] for s in values.values()) == ROWS
        assert all(set(s) == {"rows", *contenders} for s in values.values())
        assert report.slice_differences[column].keys() == values.keys()
    assert json.loads(json.dumps(report.to_json(), allow_nan=False)) == report.to_json()


def test_the_worse_candidate_is_seen():
    swapped = {"candidate": PREDICTIONS["champion"], "champion": PREDICTIONS["candidate"]}
    report = evaluated(contenders=swapped, slices=[])
    assert report.differences["champion"].low > 0
    assert report.slices == report.slice_differences == {}


def test_without_a_champion_no_slice_is_compared():
    report = evaluated(contenders={w: p for w, p in PREDICTIONS.items() if w != "champion"})
    assert set(report.slices) == {"hour", "zone"}
    assert report.slice_differences == {}
    assert evaluated(contenders={"candidate": LABEL + 1}).differences == {}


def test_only_what_belongs_to_the_task_is_told():
    regression, quantile, binary, classes = (evaluated(c) for c in ("mae", "pinball", "brier", "brier of classes"))
    assert regression.calibration is regression.coverage is regression.costs is None
    assert quantile.coverage["alpha"] == 0.5
    assert quantile.coverage["low"] < quantile.coverage["estimate"] < quantile.coverage["high"]
    assert quantile.coverage["estimate"] == pytest.approx((PREDICTIONS["candidate"] >= LABEL).mean())
    assert binary.costs == {"false_positive": 1.0, "false_negative": 1.0, "threshold": 0.5}
    assert binary.calibration.bias.estimate == pytest.approx(binary.metrics["candidate"]["bias"])
    assert binary.calibration.error == pytest.approx(binary.metrics["candidate"]["calibration_error"])
    assert classes.calibration.error == pytest.approx(classes.metrics["candidate"]["calibration_error"])
    assert classes.costs is None


def test_costs_move_the_threshold():
    dear = evaluated("log_loss", costs=Costs(1, 4))
    assert dear.costs["threshold"] == pytest.approx(0.2)
    assert dear.metrics["candidate"]["recall"] > evaluated("log_loss").metrics["candidate"]["recall"]


def test_the_same_rows_and_seed_give_the_same_report():
    assert evaluated().to_json() == evaluated().to_json()
    assert evaluated().differences != evaluated(seed=1).differences


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ({"contenders": {"candidate": LABEL[:-1]}}, "predictions of shape"),
        ({"contenders": {"candidate": np.full(ROWS, np.nan)}}, "600 predictions are missing"),
        ({"holdout": HOLDOUT.drop("slice_zone")}, "no column slice_zone"),
        ({"holdout": HOLDOUT.drop("@partition", "row_number")}, "no column row_number"),
        ({"holdout": HOLDOUT.head(0), "contenders": {"candidate": LABEL[:0]}}, "labels of shape"),
        ({"holdout": HOLDOUT.with_columns(label=None)}, "600 labels are missing"),
    ],
)
def test_what_can_not_be_compared_is_refused(changed, found):
    with pytest.raises(ContractError, match=found):
        evaluated(**changed)


def test_the_digest_is_of_which_rows_judge():
    digest = digest_of(HOLDOUT)
    assert digest_of(HOLDOUT.with_columns(miles=0.0)) == digest
    assert digest_of(HOLDOUT.with_columns(pl.col("@partition").cast(pl.String))) == digest
    others = [
        HOLDOUT.head(ROWS - 1),
        HOLDOUT.reverse(),
        HOLDOUT.with_columns(pl.col("row_number") + 1),
        HOLDOUT.with_columns(label=pl.when(pl.int_range(pl.len()) == 5).then(1.0).otherwise("label")),
        HOLDOUT.with_columns(pl.lit("2018-03").alias("@partition")),
    ]
    assert len({digest, *map(digest_of, others)}) == len(others) + 1


def test_the_digest_can_be_computed_elsewhere():
    import hashlib
    import struct

    told = b""
    for key, rows in (("2018-03", HOLDOUT[:400]), ("2018-04", HOLDOUT[400:])):
        told += key.encode() + b"\0" + struct.pack("<Q", rows.height)
        told += struct.pack(f"<{rows.height}Q", *rows["row_number"])
        told += struct.pack(f"<{rows.height}d", *rows["label"])
    assert digest_of(HOLDOUT) == hashlib.sha256(told).hexdigest()


SPLIT = TimeSplit(
    TimeRange(datetime(2018, 1, 1), datetime(2018, 3, 1)),
    TimeRange(datetime(2018, 3, 1), datetime(2018, 3, 15)),
    TimeRange(datetime(2018, 3, 15), datetime(2018, 4, 1)),
    datetime(2018, 4, 1),
)
COUNTS = PartCounts({"train": 900, "validation": 90, "holdout": ROWS}, {"train": 0, "validation": 0, "holdout": 7})
MANIFEST = Manifest("2018-03", {"2018-03": "ab" * 32}, SPLIT, COUNTS)
BUNDLE = SimpleNamespace(
    facts={"pipeline": "duration", "importances": {"miles": 1.0}}, sha256="cd" * 32, rows_trained=900
)
CHAMPION = SimpleNamespace(bundle="ef" * 32, as_of="2018-02", sequence=3)


def record(**changed):
    given = {"unit": "minutes", "champion": CHAMPION, "champion_learnt_holdout": False, **changed}
    return evaluation_record(evaluated(), BUNDLE, MANIFEST, **given)


def test_the_record():
    found = record(explanation=Explanation("shap", {"miles": 2.0}, 600))
    assert found.keys() == {
        "pipeline", "bundle", "as_of", "scores_from", "rows_trained", "task", "metric", "unit", "rows", "rows_immature",
        "holdout", "metrics", "intervals", "differences", "metric_differences", "slices", "slice_differences",
        "worst_slices", "calibration", "coverage", "costs", "importances", "shap", "permutation", "champion",
        "champion_learnt_holdout", "checklist",
    }  # fmt: skip
    assert (found["pipeline"], found["bundle"], found["as_of"]) == ("duration", "cd" * 32, "2018-03")
    assert (found["rows_trained"], found["rows"], found["rows_immature"]) == (900, ROWS, 7)
    assert (found["scores_from"], found["unit"]) == ("2018-04-01T00:00:00", "minutes")
    assert found["champion"] == {"bundle": "ef" * 32, "as_of": "2018-02", "sequence": 3}
    assert (found["shap"], found["permutation"]) == ({"miles": 2.0}, None)
    assert found["holdout"]["sha256"] == digest_of(HOLDOUT)
    assert found["holdout"]["start"] == "2018-03-15T00:00:00"
    assert found["holdout"]["end"] == HOLDOUT["event_at"].max().isoformat()
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_the_record_without_champion_or_explanation():
    found = record(champion=None)
    assert found["champion"] is found["shap"] is found["permutation"] is None
    assert record(explanation=Explanation("permutation", {"miles": 0.1}, 9))["permutation"] == {"miles": 0.1}
