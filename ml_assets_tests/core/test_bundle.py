"""A bundle of whatever task has one address, scores what it was trained on, and refuses everything else."""

import hashlib
import json
from dataclasses import replace
from datetime import datetime

import numpy as np
import polars as pl
import pytest

from ml_assets.core.assignment import PartCounts
from ml_assets.core.bundle import FORMAT, GOLDEN_ROWS, Bundle, require_names
from ml_assets.core.drift.joint_reference import FILE as SAMPLE
from ml_assets.core.drift.profile import FILE as PROFILE
from ml_assets.core.drift.reference import with_reference
from ml_assets.core.encoding import encode
from ml_assets.core.errors import BundleError, ScoringError
from ml_assets.core.estimators import with_estimator
from ml_assets.core.features import ROW_NUMBER, Feature
from ml_assets.core.manifest import Manifest
from ml_assets.core.models.kinds import fit_model
from ml_assets.core.models.spec import ModelSpec
from ml_assets.core.models.trees_model import FILE
from ml_assets.core.parameters import ModelParams
from ml_assets.core.split import PARTITION
from ml_assets.core.time_split import TimeRange, TimeSplit

FEATURES = [
    Feature("zone", pl.col("zone"), kind="category"),
    Feature("miles", pl.col("miles"), kind="number", unit="miles"),
    Feature("hour", pl.col("hour"), kind="number", unit="hours"),
]
NAMES = ["zone", "miles", "hour"]
SPLIT = TimeSplit(
    TimeRange(datetime(2018, 1, 1), datetime(2018, 3, 1)),
    TimeRange(datetime(2018, 3, 1), datetime(2018, 3, 15)),
    TimeRange(datetime(2018, 3, 15), datetime(2018, 4, 1)),
    datetime(2018, 4, 1),
)


def rides(rows: int, seed: int) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    zone, miles, hour = rng.integers(0, 12, rows), rng.gamma(2, 2, rows), rng.integers(0, 24, rows)
    minutes = 3 + 4 * miles + (zone % 5) + np.where((hour > 7) & (hour < 10), 6, 0) + rng.exponential(2, rows)
    return pl.DataFrame(
        {"zone": [f"z{z}" for z in zone], "miles": miles, "hour": hour.astype(float), "label": minutes}
    ).with_columns(miles=pl.when(pl.int_range(pl.len()) % 20 == 0).then(None).otherwise("miles"))


TRAIN, VALIDATION = rides(800, 1), rides(200, 2)
FRAME = VALIDATION.select(NAMES)


PARAMS = ModelParams(trees=30, leaves=7, min_rows_per_leaf=10)
LABEL = {"name": "trip_minutes", "unit": "minutes", "task": "regression", "classes": None}
LEARNING = {"window": None, "half_life": None, "rows": 800, "refit": False}
MANIFEST = Manifest(
    "2018-03", {"2018-03": "ab" * 32}, SPLIT,
    PartCounts(rows={"train": 900, "validation": 200, "holdout": 1}, immature=dict.fromkeys(NAMES, 0)),
)  # fmt: skip


def fitted(spec: ModelSpec, train: pl.DataFrame = TRAIN, validation: pl.DataFrame | None = VALIDATION, **given):
    told = {"features": FEATURES, "seed": 0, "threads": 1, **given}
    return fit_model(spec, train, validation, **told)


def made(
    seed: int = 0, train: pl.DataFrame = TRAIN, params: ModelParams = PARAMS, validation=VALIDATION, features=FEATURES,
    threads: int = 1, **changed: object,
) -> Bundle:  # fmt: skip
    spec = ModelSpec("model", "lightgbm", params.task, params, classes=3 if params.task == "multiclass" else 2)
    told = {"pipeline": "duration", "label": LABEL, "spec": spec, "seed": seed, "manifest": MANIFEST, "train": train,
            "learning": LEARNING, **changed}  # fmt: skip
    return Bundle.of(fitted(spec, train, validation, seed=seed, features=features, threads=threads), **told)


def in_classes(frame: pl.DataFrame, *steps: float) -> pl.DataFrame:
    return frame.with_columns(label=sum(pl.col("label") > step for step in steps).cast(pl.Float64))


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return made()


def text(bundle: Bundle) -> str:
    return bundle.files[FILE].decode()


def with_text(bundle: Bundle, other: str) -> Bundle:
    return replace(bundle, files={FILE: other.encode()})


def test_it_says_what_it_is(bundle):
    record = json.loads(bundle.manifest)
    assert record["format"] == FORMAT
    assert (bundle.as_of, bundle.rows_trained, bundle.naive) == ("2018-03", 800, TRAIN["label"].median())
    assert [s.name for s in bundle.specs] == NAMES
    assert record["iterations"] == text(bundle).count("\nTree=") > 1
    assert record["model"]["kind"] == record["models"][0]["kind"] == "lightgbm"
    assert record["models"][0]["params"] == PARAMS.to_json()
    assert record["files"] == {FILE: hashlib.sha256(bundle.files[FILE]).hexdigest()}
    assert (record["task"], record["classes"], record["tuning"]) == ("regression", None, None)
    assert list(record["validation"]) == ["l1"]
    assert len(record["golden"]["rows"]) == len(record["golden"]["scores"]) == GOLDEN_ROWS
    assert len(set(record["golden"]["scores"])) > 1


def test_an_estimator_is_part_of_it_and_changes_no_score(bundle):
    holdout = rides(400, 3).with_columns(event_at=pl.datetime(2018, 3, 15) + pl.duration(hours=pl.int_range(pl.len())))
    told = {"metric": "mae", "alpha": None}
    estimated, again = (with_estimator(bundle, holdout, **told, threads=n) for n in (1, 2))
    assert estimated.sha256 == again.sha256 != bundle.sha256
    assert estimated.predict(FRAME).tolist() == bundle.predict(FRAME).tolist()
    read = Bundle({k: v for k, v in json.loads(estimated.manifest).items() if k != "files"}, estimated.files)
    assert read.sha256 == estimated.sha256
    scores = bundle.predict(FRAME)
    found = [b.estimator.expected(FRAME, scores, b.specs, threads=1).by_block for b in (estimated, read)]
    np.testing.assert_array_equal(*found)
    assert found[0].mean() == pytest.approx(np.abs(scores - VALIDATION["label"].to_numpy()).mean(), rel=0.2)


def test_a_profile_is_part_of_it_on_any_number_of_threads_and_changes_no_score(bundle):
    assert (bundle.profile, bundle.reference) == (None, None)
    rows = TRAIN.with_columns(pl.lit("2018-03").alias(PARTITION), event_at=datetime(2018, 3, 1))
    told = {"declared": FEATURES, "metric": "mae", "alpha": None}
    one, two = (
        with_reference(bundle, rows, rides(200, 3), {"2018-03": rows.lazy()}, **told, threads=n) for n in (1, 2)
    )
    assert one.sha256 == two.sha256 != bundle.sha256
    assert one.predict(FRAME).tolist() == bundle.predict(FRAME).tolist()
    read = Bundle({k: v for k, v in json.loads(one.manifest).items() if k != "files"}, one.files)
    assert read.sha256 == one.sha256
    assert read.profile.to_bytes() == one.files[PROFILE] == one.profile.to_bytes()
    assert read.profile.total_rows == TRAIN.height
    assert read.reference == one.reference
    assert set(read.reference.weights) == set(NAMES)


def test_rows_for_the_domain_classifier_are_part_of_its_hash_where_they_are_asked_for(bundle):
    rows = TRAIN.with_columns(pl.lit("2018-03").alias(PARTITION), event_at=datetime(2018, 3, 1)).with_row_index(
        ROW_NUMBER
    )
    told = {"declared": FEATURES, "metric": "mae", "alpha": None}
    without, one, two = (
        with_reference(bundle, rows, rides(200, 3), {"2018-03": rows.lazy()}, **told, threads=n, sampled=sampled)
        for n, sampled in ((1, False), (1, True), (2, True))
    )
    assert one.sha256 == two.sha256 != without.sha256
    assert set(one.files) - set(without.files) == {SAMPLE}
    assert (without.joint_reference, one.joint_reference.to_bytes()) == (None, one.files[SAMPLE])
    assert one.joint_reference.sample.rows.height == TRAIN.height


def test_how_many_rows_get_a_label_at_all(bundle):
    assert bundle.labelled_share == 1
    counts = PartCounts(rows={"holdout": 30}, immature={"holdout": 5}, unlabelled={"holdout": 10})
    assert made(manifest=replace(MANIFEST, counts=counts)).labelled_share == 0.75


def test_a_bundle_without_an_estimator_is_one_too(bundle):
    assert "estimator" not in bundle.facts
    assert bundle.estimator is None
    assert with_estimator(bundle, rides(99, 3), metric="mae", alpha=None, threads=1) is bundle, "too few rows"


def test_it_really_splits_and_is_better_than_the_naive_baseline(bundle):
    error = np.abs(bundle.predict(FRAME) - VALIDATION["label"].to_numpy()).mean()
    assert error < 0.5 * (VALIDATION["label"] - bundle.naive).abs().mean()
    for name in NAMES:
        other = FRAME.with_columns(FRAME[name].reverse())
        assert not np.array_equal(bundle.predict(other), bundle.predict(FRAME)), name


def test_the_scores_do_not_depend_on_threads_or_on_the_rows_beside(bundle):
    together = bundle.predict(FRAME, threads=2)
    assert together.dtype == np.float64
    np.testing.assert_array_equal(together, bundle.predict(FRAME))
    one_by_one = np.concatenate([bundle.predict(FRAME[i : i + 1]) for i in range(20)])
    np.testing.assert_array_equal(together[:20], one_by_one)


def test_from_its_manifest_and_text_it_scores_the_same_to_the_bit(bundle):
    record = json.loads(bundle.manifest)
    del record["files"]
    again = Bundle(record, bundle.files)
    assert again.sha256 == bundle.sha256
    np.testing.assert_array_equal(again.predict(FRAME), bundle.predict(FRAME))
    again.require_golden()


def test_the_same_facts_have_the_same_address(bundle):
    assert made().sha256 == bundle.sha256
    assert Bundle(dict(reversed(bundle.facts.items())), bundle.files).sha256 == bundle.sha256


@pytest.mark.parametrize(
    "fact",
    [
        "format",
        "pipeline",
        "label",
        "features",
        "task",
        "classes",
        "models",
        "model",
        "seed",
        "training",
        "learning",
        "tuning",
        "iterations",
        "validation",
        "importances",
        "naive",
        "golden",
    ],
)
def test_any_other_fact_is_another_address(bundle, fact):
    assert fact in bundle.facts
    assert replace(bundle, facts={**bundle.facts, fact: "other"}).sha256 != bundle.sha256


def test_another_text_or_training_is_another_address(bundle):
    others = [
        with_text(bundle, text(bundle) + "\n"),
        made(seed=1),
        made(train=TRAIN.head(799)),
        made(pipeline="other"),
    ]
    assert len({bundle.sha256, *(o.sha256 for o in others)}) == 5


def test_golden_rows_that_score_otherwise_are_refused(bundle):
    bundle.require_golden()
    golden = bundle.facts["golden"]
    nudged = [float(np.nextafter(golden["scores"][0], np.inf)), *golden["scores"][1:]]
    with pytest.raises(BundleError, match="golden rows") as caught:
        replace(bundle, facts={**bundle.facts, "golden": {**golden, "scores": nudged}}).require_golden()
    assert "lightgbm" in caught.value.cure
    with pytest.raises(BundleError, match="golden rows"):
        with_text(bundle, text(made(train=rides(800, 3)))).require_golden()


def test_lightgbm_itself_scores_permuted_columns_without_a_word(bundle):
    import lightgbm as lgb

    raw = lgb.Booster(model_str=text(bundle))
    matrix = encode(FRAME, bundle.specs)
    permuted = raw.predict(matrix[:, [0, 2, 1]])
    assert np.isfinite(permuted).all()
    assert np.abs(permuted - bundle.predict(FRAME)).mean() > 1
    with pytest.raises(ScoringError, match="column 2 is hour, not miles"):
        bundle.predict(FRAME.select("zone", "hour", "miles"))


@pytest.mark.parametrize(
    ("wrong", "found"),
    [
        (FRAME.select("zone", "hour", "miles"), ["column 2 is hour, not miles", "column 3 is miles, not hour"]),
        (FRAME.rename({"miles": "km"}), ["column miles is missing", "column km is not a feature of the model"]),
        (FRAME.select("zone"), ["column miles is missing", "column hour is missing"]),
        (FRAME.with_columns(label=1.0), ["column label is not a feature of the model"]),
        (
            FRAME.with_columns(pl.col("hour").cast(pl.Int64), pl.col("zone").cast(pl.Categorical)),
            ["column zone is Categorical, not String", "column hour is Int64, not Float64"],
        ),
        (
            FRAME.select("hour", pl.col("miles").cast(pl.Float32), more=1),
            [
                "column zone is missing",
                "column more is not a feature of the model",
                "column miles is Float32, not Float64",
            ],
        ),
        (FRAME.with_columns(hour=pl.lit(float("inf"))), ["column hour is infinite in 200 rows"]),
    ],
)
def test_a_frame_that_does_not_fit_is_refused_with_everything_that_is_wrong(bundle, wrong, found):
    with pytest.raises(ScoringError) as caught:
        bundle.predict(wrong)
    assert caught.value.found == found


def test_a_category_it_does_not_know_counts_as_missing(bundle):
    unknown, missing = (FRAME.with_columns(zone=pl.lit(z, pl.String)) for z in ("never seen", None))
    np.testing.assert_array_equal(bundle.predict(unknown), bundle.predict(missing))
    assert not np.array_equal(bundle.predict(unknown), bundle.predict(FRAME))


def test_no_rows_have_no_scores(bundle):
    scores = bundle.predict(FRAME.clear())
    assert (scores.shape, scores.dtype) == ((0,), np.float64)
    with pytest.raises(ScoringError):
        bundle.predict(FRAME.clear().select("zone"))


def test_its_columns_out_of_a_features_table(bundle):
    table = VALIDATION.select("label", "hour", "miles", "zone").with_row_index("row_number")
    assert bundle.feature_frame(table).equals(FRAME)
    with pytest.raises(ScoringError) as caught:
        bundle.predict(bundle.feature_frame(table.drop("zone", "hour")))
    assert caught.value.found == ["column zone is missing", "column hour is missing"]


def test_fewer_rows_than_golden_ones():
    spec = ModelSpec("model", "lightgbm", "regression", ModelParams(trees=5))
    small = Bundle.of(fitted(spec), pipeline="p", label={}, spec=spec, seed=0, train=TRAIN.head(3), manifest=MANIFEST,
                      learning=LEARNING)  # fmt: skip
    assert len(small.facts["golden"]["rows"]) == 3
    small.require_golden()


TASKS = {
    "binary": (in_classes(TRAIN, 15), in_classes(VALIDATION, 15), ["no", "yes"]),
    "multiclass": (in_classes(TRAIN, 10, 20), in_classes(VALIDATION, 10, 20), ["short", "middle", "long"]),
}


@pytest.mark.parametrize("task", TASKS)
def test_a_classifier(task):
    train, validation, names = TASKS[task]
    label = {**LABEL, "unit": None, "task": task, "classes": names}
    bundle = made(train=train, validation=validation, params=replace(PARAMS, objective=task), label=label)
    rates = np.bincount(train["label"].cast(int)) / train.height
    wide = task == "multiclass"
    assert bundle.naive == (rates.tolist() if wide else rates[1])
    assert (bundle.task, bundle.classes, bundle.facts["classes"]) == (task, 3 if wide else 1, names)
    scores = bundle.predict(FRAME)
    assert scores.shape == bundle.naive_scores(200).shape == ((200, 3) if wide else (200,))
    assert bundle.predict(FRAME.clear()).shape == ((0, 3) if wide else (0,))
    assert ((scores > 0) & (scores < 1)).all()
    np.testing.assert_array_equal(bundle.naive_scores(2), [rates, rates] if wide else [rates[1]] * 2)
    again = Bundle({k: v for k, v in json.loads(bundle.manifest).items() if k != "files"}, bundle.files)
    again.require_golden()
    assert again.sha256 == bundle.sha256
    np.testing.assert_array_equal(again.predict(FRAME, threads=2), scores)


def test_the_naive_baseline_of_a_quantile_is_the_quantile():
    bundle = made(params=replace(PARAMS, objective="quantile", alpha=0.9))
    assert bundle.naive == TRAIN["label"].quantile(0.9, "linear")
    assert (bundle.naive_scores(3) == bundle.naive).all()


def test_what_was_learnt_from_and_tuned_is_told():
    learning = {"window": 2, "half_life": 1.5, "rows": 321, "refit": True}
    tuning = {"study": "duration 2018-03", "trials": 30, "best": [{"leaves": 31}]}
    bundle = made(learning=learning, tuning=tuning, validation=None)
    assert (bundle.facts["learning"], bundle.facts["tuning"], bundle.rows_trained) == (learning, tuning, 321)
    assert bundle.facts["validation"] is None


def test_several_models_of_one_bundle_are_all_told():
    specs = [ModelSpec(n, "lightgbm", "regression", replace(PARAMS, trees=t)) for n, t in (("few", 5), ("many", 9))]
    bundle = made(spec=specs)
    assert [(m["name"], m["params"]["trees"]) for m in bundle.facts["models"]] == [("few", 5), ("many", 9)]


@pytest.mark.parametrize(
    "name",
    ["../model.txt", "/etc/passwd", "a/b", "a\\b", "..", ".hidden", "-rf", "", "a b", "zöne.txt", "a\n",
     "manifest.json", "Manifest.JSON", "x" * 101, "C:model"],
)  # fmt: skip
def test_names_that_lead_elsewhere_are_refused(bundle, name):
    with pytest.raises(BundleError, match="files of a bundle"):
        Bundle(bundle.facts, {name: b""})
    require_names({FILE: 0, "member_a.onnx": 0})


def test_names_that_differ_in_their_case_only_are_refused(bundle):
    with pytest.raises(BundleError) as caught:
        Bundle(bundle.facts, {"a.txt": b"", "A.txt": b"", "b/": b""})
    assert [found.split(":")[0] for found in caught.value.found] == ["'A.txt'", "'b/'"]


def test_a_model_of_an_unknown_kind_is_refused(bundle):
    other = replace(bundle, facts={**bundle.facts, "model": {"kind": "pickle"}})
    with pytest.raises(BundleError, match="kind 'pickle'"):
        other.predict(FRAME)
