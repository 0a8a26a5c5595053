"""Target encodings against plain Python, and against what they must never tell: a row's own label."""

import json
import subprocess
import sys
from dataclasses import replace
from math import fsum

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_assets.core.errors import ConfigError, TrainingError
from ml_assets.core.features import Feature
from ml_assets.core.models.spec import ModelSpec
from ml_assets.core.models.trees import fit_trees
from ml_assets.core.parameters import ModelParams
from ml_assets.core.split import UNIT
from ml_assets.core.stable_hash import salt
from ml_assets.core.target_encoding import FittedEncoding, TargetEncoding, divided, fit, fold_of

MASK = 2**64 - 1
ZONE = TargetEncoding("mean_by_zone", of=("zone",))
ROUTE = TargetEncoding("mean_by_route", of=("zone", "to"), smoothing=3.0, folds=3)
FEATURES = [
    Feature("zone", pl.col("zone"), kind="category"),
    Feature("to", pl.col("to"), kind="category"),
    Feature("miles", pl.col("miles"), kind="number"),
]


def frame(label, zone, to=None, miles=0.0, unit=None) -> pl.DataFrame:
    to = ["x"] * len(label) if to is None else to
    unit = range(len(label)) if unit is None else unit
    columns = {"label": label, "zone": zone, "to": to, "miles": miles, UNIT: pl.Series(unit, dtype=pl.UInt64)}
    return pl.DataFrame(columns, schema_overrides={"label": pl.Float64, "zone": pl.String, "to": pl.String,
                                                   "miles": pl.Float64})  # fmt: skip


def rides(rows: int, seed: int, zones: int = 12) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    zone, to, miles = rng.integers(0, zones, rows), rng.integers(0, 5, rows), rng.gamma(2, 2, rows)
    label = 3 + 4 * miles + 2 * (zone % 5) + rng.exponential(2, rows)
    names = [None if z == 3 else f"z{z}" for z in zone]
    return frame(label, names, [f"t{t}" for t in to], miles, rng.integers(0, 2**63, rows))


def folds_in_python(units, folds: int, seed: int) -> list[int]:
    def splitmix64(state: int) -> int:
        z = (state + 0x9E3779B97F4A7C15) & MASK
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        return z ^ (z >> 31)

    return [splitmix64((u + salt("fold", seed)) & MASK) % folds for u in units]


def oracle(encoding: TargetEncoding, train: pl.DataFrame, seed: int):
    """Row by row: what each training row is given, and what a row with given categories is given later."""
    rows = list(zip(folds_in_python(train[UNIT], encoding.folds, seed), train["label"],
                    train.select(encoding.of).iter_rows(), strict=True))  # fmt: skip
    prior = fsum(label for _, label, _ in rows) / len(rows)

    def smoothed(key, without_fold=None) -> float:
        labels = [y for f, y, k in rows if k == key and f != without_fold]
        if None in key or not labels:
            return prior
        return (fsum(labels) + encoding.smoothing * prior) / (len(labels) + encoding.smoothing)

    return [smoothed(key, fold) for fold, _, key in rows], smoothed


ZONES = st.none() | st.sampled_from("abc")


@settings(derandomize=True, database=None, deadline=None, max_examples=60)
@given(
    rows=st.lists(st.tuples(st.floats(-100, 100), ZONES, ZONES, st.integers(0, 30)), min_size=1, max_size=40),
    smoothing=st.sampled_from([0.0, 0.5, 20.0]),
    folds=st.integers(2, 7),
    seed=st.integers(0, 3),
    of=st.sampled_from([("zone",), ("zone", "to"), ("to", "zone")]),
)
def test_against_plain_python(rows, smoothing, folds, seed, of):
    label, zone, to, unit = (list(column) for column in zip(*rows, strict=True))
    train = frame(label, zone, to, unit=unit)
    encoding = TargetEncoding("mean", of=of, smoothing=smoothing, folds=folds)
    fitted, out_of_fold = fit(encoding, train, seed=seed)
    expected, smoothed = oracle(encoding, train, seed)
    assert out_of_fold.to_list() == pytest.approx(expected, abs=1e-9)
    other = frame([0.0] * 20, [None, "a", "b", "c", "new"] * 4, [z for z in (None, "a", "b", "new") for _ in range(5)])
    assert fitted.values(other).to_list() == pytest.approx(
        [smoothed(k) for k in other.select(of).iter_rows()], abs=1e-9
    )
    assert fitted.values(other).to_list() == FittedEncoding.from_json(fitted.to_json()).values(other).to_list()


def test_the_arithmetic_in_small():
    train = frame([10.0, 20.0, 60.0], ["a", "a", "b"])
    fitted, _ = fit(replace(ZONE, smoothing=1.0), train, seed=0)
    assert fitted.prior == 30
    assert fitted.values(train).to_list() == [20.0, 20.0, 45.0]
    assert fitted.values(frame([0, 0], [None, "c"])).to_list() == [30.0, 30.0]
    unsmoothed, _ = fit(replace(ZONE, smoothing=0.0), train, seed=0)
    assert unsmoothed.values(train).to_list() == [15.0, 15.0, 60.0]


def test_a_row_is_told_nothing_of_the_labels_of_its_fold():
    train = rides(2000, 1)
    for encoding in (ZONE, ROUTE, replace(ZONE, smoothing=0.0, folds=2)):
        fold = fold_of(train[UNIT], encoding.folds, 0)
        _, before = fit(encoding, train, seed=0)
        for changed in range(encoding.folds):
            # Other labels of the same sum, whole numbers so that the mean of all stays what it is to the bit.
            own = fold == changed
            whole = train.with_columns(pl.col("label").round())
            shuffled = whole["label"].to_numpy().copy()
            shuffled[own] = shuffled[own][::-1]
            _, first = fit(encoding, whole, seed=0)
            _, second = fit(encoding, whole.with_columns(label=shuffled), seed=0)
            assert first.to_numpy()[own].tolist() == second.to_numpy()[own].tolist()
            assert first.to_list() != second.to_list()
        assert before.n_unique() > encoding.folds


def test_a_category_of_one_row_is_told_the_mean_of_all_and_nothing_else():
    train = frame(np.random.default_rng(0).normal(size=500), [f"row {i}" for i in range(500)])
    fitted, out_of_fold = fit(ZONE, train, seed=0)
    assert out_of_fold.unique().to_list() == [fitted.prior]
    assert np.corrcoef(fitted.values(train), train["label"])[0, 1] > 0.999  # in fold it would tell everything


def residual_correlation(x: np.ndarray, label: np.ndarray, given: np.ndarray) -> float:
    """Correlation with the label after both were regressed on the rest."""
    basis = np.column_stack([np.ones(label.size), given])
    x, label = (v - basis @ np.linalg.lstsq(basis, v, rcond=None)[0] for v in (x, label))
    return float(np.corrcoef(x, label)[0, 1])


def test_noise_of_many_categories_stays_noise():
    rows = 20_000
    rng = np.random.default_rng(4)
    miles = rng.gamma(2, 2, rows)
    label = 3 + 4 * miles + rng.normal(0, 5, rows)
    train = frame(label, [f"driver {d}" for d in rng.integers(0, rows // 5, rows)], miles=miles)
    encoding = replace(ZONE, smoothing=2.0)
    fitted, out_of_fold = fit(encoding, train, seed=0)
    assert residual_correlation(fitted.values(train).to_numpy(), label, miles) > 0.15
    assert abs(residual_correlation(out_of_fold.to_numpy(), label, miles)) < 3 / np.sqrt(rows)


def trained(train, validation, *, features, params, seed=0):
    spec = ModelSpec("model", "lightgbm", "regression", params)
    return fit_trees(spec, train, validation, features=features, seed=seed, threads=1)


def score(model, rows: pl.DataFrame, names=("zone", "to", "miles")) -> np.ndarray:
    return model.model.scores(rows.select(names), model.specs, threads=1)


def test_what_in_fold_encoding_would_do_to_a_model():
    """Each row has a category of its own, and the label is miles and noise."""
    rng = np.random.default_rng(5)
    parts = []
    for part, rows in (("train", 3000), ("validation", 1000)):
        miles = rng.gamma(2, 2, rows)
        parts.append(frame(4 * miles + rng.normal(0, 5, rows), [f"{part} {i}" for i in range(rows)], miles=miles))
    train, validation = parts
    params = ModelParams(objective="l2", trees=60, leaves=15, min_rows_per_leaf=20, early_stopping_rounds=0,
                         feature_fraction=1.0, max_categories=1)  # fmt: skip
    told = {"features": FEATURES, "params": params}

    def rmse(predicted, rows) -> float:
        return float(np.sqrt(np.mean((predicted - rows["label"].to_numpy()) ** 2)))

    plain = trained(train, validation, **told)
    ours = trained(train, validation, **{**told, "features": [*FEATURES, ZONE]})
    assert ours.importances["mean_by_zone"] == 0
    assert rmse(score(ours, validation), validation) == pytest.approx(rmse(score(plain, validation), validation))

    fitted, _ = fit(ZONE, train, seed=0)
    naive = Feature("naive", pl.col("naive"), kind="number")
    leaking = [rows.with_columns(fitted.values(rows).alias("naive")) for rows in parts]
    fooled = trained(*leaking, **{**told, "features": [*FEATURES, naive]})
    names = ("zone", "to", "miles", "naive")
    # A near-perfect fit of labels that hold noise of 5, and nothing learnt about others.
    assert rmse(score(fooled, leaking[0], names), train) < 2
    assert rmse(score(fooled, leaking[1], names), validation) > 1.5 * rmse(score(ours, validation), validation)


def test_an_encoding_helps_where_categories_count():
    train, validation = rides(4000, 1, zones=300), rides(1000, 2, zones=300)
    params = ModelParams(trees=40, leaves=7, min_rows_per_leaf=20, feature_fraction=1.0, max_categories=5)
    errors = {}
    for listed in (FEATURES, [FEATURES[0], ZONE, *FEATURES[1:]]):
        model = trained(train, validation, features=listed, params=params)
        errors[len(listed)] = np.abs(score(model, validation) - validation["label"].to_numpy()).mean()
    assert errors[4] < 0.9 * errors[3]
    assert list(model.importances) == ["zone", "to", "miles", "mean_by_zone"]
    assert model.importances["mean_by_zone"] > 0.05


def test_rows_in_another_order_with_their_units_are_given_the_same():
    train = rides(500, 1).with_columns(pl.col("label").round())  # whole numbers: sums do not depend on the order
    order = np.random.default_rng(0).permutation(500)
    fitted, out_of_fold = fit(ROUTE, train, seed=0)
    permuted, permuted_out_of_fold = fit(ROUTE, train[order], seed=0)
    assert permuted_out_of_fold.to_list() == out_of_fold.to_numpy()[order].tolist()
    assert permuted.to_json() == fitted.to_json()


def test_folds_go_by_unit_and_seed():
    units = pl.Series(range(5000), dtype=pl.UInt64)
    fold = fold_of(units, 5, 0)
    assert fold.tolist() == folds_in_python(range(5000), 5, 0)
    assert np.bincount(fold).min() > 900
    assert (fold != fold_of(units, 5, 1)).mean() > 0.7
    # Rows of one unit, as all rows of a group are, share a fold: a group never learns from itself.
    train = frame(np.arange(40.0), ["a", "b"] * 20, unit=[7, 9] * 20)
    _, out_of_fold = fit(replace(ZONE, smoothing=0.0), train, seed=0)
    assert out_of_fold.unique().to_list() == [19.5]
    _, by_row = fit(replace(ZONE, smoothing=0.0), frame(np.arange(40.0), ["a", "b"] * 20), seed=0)
    assert by_row.n_unique() > 2


def test_every_knob_counts():
    train = rides(500, 1)
    fitted, out_of_fold = fit(ZONE, train, seed=0)
    other, _ = fit(replace(ZONE, smoothing=5.0), train, seed=0)
    assert fitted.table["@value"].to_list() != other.table["@value"].to_list()
    for changed, seed in ((replace(ZONE, folds=3), 0), (ZONE, 1)):
        again, again_out_of_fold = fit(changed, train, seed=seed)
        assert again.table.equals(fitted.table)
        assert again_out_of_fold.to_list() != out_of_fold.to_list()
    assert out_of_fold.name == fitted.name == "mean_by_zone"


def test_json_is_canonical_and_complete():
    fitted, _ = fit(ROUTE, rides(300, 1), seed=0)
    text = json.dumps(fitted.to_json())
    again = FittedEncoding.from_json(json.loads(text))
    assert json.dumps(again.to_json()) == text
    record = fitted.to_json()
    assert (record["name"], record["of"]) == ("mean_by_route", ["zone", "to"])
    assert (record["smoothing"], record["folds"]) == (3.0, 3)
    keys = list(zip(*record["keys"], strict=True))
    assert keys == sorted(set(keys))
    assert len(keys) == len(record["values"]) == 55  # 11 zones with a name, 5 destinations


SCRIPT = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("test_target_encoding", sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
print(module.fingerprint())
"""


def fingerprint() -> str:
    from hashlib import sha256

    fitted, out_of_fold = fit(ROUTE, rides(20_000, 1), seed=0)
    return sha256((json.dumps(fitted.to_json()) + json.dumps(out_of_fold.to_list())).encode()).hexdigest()


def test_the_same_to_the_bit_in_another_process_on_other_threads():
    said = [
        subprocess.run([sys.executable, "-c", SCRIPT, __file__], env={"POLARS_MAX_THREADS": threads},
                       capture_output=True, text=True, check=True).stdout.strip()
        for threads in ("1", "2")
    ]  # fmt: skip
    assert said == [fingerprint()] * 2


def test_no_rows_to_score_and_no_category_at_all():
    fitted, out_of_fold = fit(ZONE, frame([1.0, 3.0], [None, None]), seed=0)
    assert out_of_fold.to_list() == [2.0, 2.0]
    assert fitted.values(frame([0.0], ["a"])).to_list() == [2.0]
    assert fitted.values(frame([], [])).to_list() == []


def test_features_named_as_what_is_computed_with():
    train = rides(100, 1).rename({"zone": "value", "to": "name"})
    fitted, _ = fit(TargetEncoding("code", of=("value", "name")), train, seed=0)
    assert fitted.values(train).is_between(train["label"].min(), train["label"].max()).all()


def test_rows_without_units_are_refused():
    with pytest.raises(TrainingError, match="mean_by_zone") as caught:
        fit(ZONE, rides(10, 1).drop(UNIT), seed=0)
    assert "Manifest.rows" in caught.value.cure


def test_a_list_is_divided_in_its_order():
    assert divided([ROUTE, *FEATURES, ZONE]) == (FEATURES, [ROUTE, ZONE])
    assert divided(FEATURES) == (FEATURES, [])
    assert (ZONE.kind, ZONE.unit, ZONE.description, ZONE.smoothing, ZONE.folds) == ("number", None, "", 20.0, 5)


@pytest.mark.parametrize(
    ("encoding", "found"),
    [
        (replace(ZONE, of=("zome",)), ["mean_by_zone: zome is no category feature of the list"]),
        (replace(ZONE, of=("zone", "miles")), ["mean_by_zone: miles is no category feature of the list"]),
        (replace(ZONE, of=("mean_by_route",)), ["mean_by_zone: mean_by_route is no category feature of the list"]),
        (replace(ZONE, of=()), ["mean_by_zone: of=() is no tuple of one or more different features"]),
        (replace(ZONE, of="zone"), ["mean_by_zone: of='zone' is no tuple of one or more different features"]),
        (
            replace(ZONE, of=("to", "to")),
            ["mean_by_zone: of=('to', 'to') is no tuple of one or more different features"],
        ),
        (replace(ZONE, name="miles"), ["miles: 2 features have this name"]),
        (replace(ROUTE, of=("zone",)), ["mean_by_route: 2 features have this name"] * 2),
        (replace(ZONE, name="label"), ["label: its name is reserved, as are row_number, event_at, label, "
                                       "label_known_at and slice_*"]),
        (replace(ZONE, name="mean by zone"), ["mean by zone: its name is no identifier of letters, digits and _"]),
        (replace(ZONE, folds=1), ["mean_by_zone: folds 1"]),
        (replace(ZONE, smoothing=-0.1), ["mean_by_zone: smoothing -0.1"]),
        (replace(ZONE, smoothing=float("nan")), ["mean_by_zone: smoothing nan"]),
        (replace(ZONE, smoothing=float("inf"), folds=0), ["mean_by_zone: smoothing inf", "mean_by_zone: folds 0"]),
    ],
)  # fmt: skip
def test_refused(encoding, found):
    with pytest.raises(ConfigError) as caught:
        divided([*FEATURES, ROUTE, encoding])
    assert caught.value.found == found
    with pytest.raises(ConfigError):
        trained(rides(100, 1), rides(100, 2), features=[*FEATURES, ROUTE, encoding], params=ModelParams())


def test_speed():
    """3,000,000 rows take about a second on two free cores; here a tenth of them, with much room."""
    import time

    rng = np.random.default_rng(0)
    train = frame(rng.gamma(2, 5, 300_000), pl.Series(rng.integers(0, 260, 300_000)).cast(pl.String))
    started = time.perf_counter()
    fitted, _ = fit(ZONE, train, seed=0)
    fitted.values(train)
    assert time.perf_counter() - started < 2
