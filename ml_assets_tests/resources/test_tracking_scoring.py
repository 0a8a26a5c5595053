"""A bundle in MLflow's hands scores as it does in ours, to the bit, whatever way the rows come; or says why not."""

import json
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from ml_assets.core.errors import BundleError, ScoringError
from ml_assets.resources.bundle_files import load
from ml_assets.resources.tracking_calls import save_model
from ml_assets.resources.tracking_scoring import ScoredBundle


def frame_of(rows):
    rng = np.random.default_rng(5)
    zones = [None if i % 7 == 0 else f"z{i % 14}" for i in range(rows)]  # z12, z13: not in the vocabulary
    miles = [None if i % 5 == 0 else float(v) for i, v in enumerate(rng.gamma(2, 2, rows))]
    return pl.DataFrame({"zone": zones, "miles": miles, "hour": [float(i % 24) for i in range(rows)]})


FRAME = frame_of(150)
ROWS = [list(r) for r in FRAME.rows()]
RECORDS = FRAME.to_dicts()
SHUFFLED = [dict(reversed(r.items())) for r in RECORDS]


@pytest.fixture(scope="module")
def saved(bundle, tmp_path_factory):
    """MLflow's model of the bundle, and the bundle."""
    import mlflow

    folder = tmp_path_factory.mktemp("saved") / "model"
    save_model(mlflow, Path(bundle[0]) / bundle[1], folder)
    return folder, load(Path(bundle[0]), bundle[1])


@pytest.fixture(scope="module")
def model(saved):
    import mlflow

    return mlflow.pyfunc.load_model(str(saved[0]))


@pytest.fixture(scope="module")
def expected(saved):
    return saved[1].predict(FRAME)


def test_the_model_really_uses_what_it_is_given(saved, expected):
    assert len(set(expected.tolist())) > 50
    for name in FRAME.columns:
        assert not np.array_equal(saved[1].predict(FRAME.with_columns(pl.col(name).reverse())), expected)


def pandas_frames():
    frame = FRAME.to_pandas()
    yield "as it was trained", frame
    yield "categories", frame.astype({"zone": "category"})
    yield "pandas strings", frame.astype({"zone": "string"})
    yield "integers", frame.astype({"hour": "int64"})
    yield "small integers", frame.astype({"hour": "uint8"})
    yield "nullable", frame.astype({"hour": "Int32", "miles": "Float64"})
    yield "objects", frame.astype(object).where(frame.notna(), None)
    yield "columns shuffled", frame[["hour", "zone", "miles"]]
    yield "another index", frame.set_index(np.arange(len(frame))[::-1])


PANDAS = dict(pandas_frames())


@pytest.mark.parametrize("frame", PANDAS.values(), ids=PANDAS)
def test_pandas(model, expected, frame):
    np.testing.assert_array_equal(model.predict(frame), expected)


BODIES = {
    "split": {"dataframe_split": {"columns": FRAME.columns, "data": ROWS}},
    "split without names": {"dataframe_split": {"data": ROWS}},
    "records": {"dataframe_records": RECORDS},
    "records in another order": {"dataframe_records": SHUFFLED},
    "inputs by column": {"inputs": FRAME.to_dict(as_series=False)},
    "inputs as records": {"inputs": SHUFFLED},
    "inputs row by row": {"inputs": ROWS},
    "instances as records": {"instances": SHUFFLED},
    "instances row by row": {"instances": ROWS},
}


def served(model, body):
    """What MLflow's scoring server answers."""
    from mlflow.pyfunc.scoring_server import invocations

    answer = invocations(json.dumps(body), "application/json", model, model.metadata.get_input_schema())
    assert answer.status == 200
    return np.array(json.loads(answer.response)["predictions"])


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_json_as_the_scoring_server_reads_it(model, expected, body):
    np.testing.assert_array_equal(served(model, body), expected)


def test_json_with_integers_and_one_row(model, saved):
    row = {"zone": "z3", "miles": 2, "hour": 7}
    score = saved[1].predict(pl.DataFrame({"zone": ["z3"], "miles": [2.0], "hour": [7.0]}))
    np.testing.assert_array_equal(served(model, {"dataframe_records": [row]}), score)
    np.testing.assert_array_equal(served(model, {"instances": [row]}), score)
    np.testing.assert_array_equal(served(model, {"inputs": [list(row.values())]}), score)


def test_rows_of_text_and_numbers_keep_every_bit_of_the_numbers(model, saved):
    # Without a null MLflow makes one array of texts of them.
    full = FRAME.drop_nulls()
    np.testing.assert_array_equal(served(model, {"inputs": [list(r) for r in full.rows()]}), saved[1].predict(full))


def test_numpy_in_the_order_of_the_features(model, expected, saved):
    array = np.array(ROWS, dtype=object)
    np.testing.assert_array_equal(model.predict(array), expected)
    np.testing.assert_array_equal(model.predict(array[3]), expected[3:4])
    np.testing.assert_array_equal(model.predict({n: array[:, i] for i, n in enumerate(FRAME.columns)}), expected)
    with pytest.raises(ScoringError, match="zone is not text in 2 rows"):
        model.predict(np.array([[0.0, 1.0, 2.0], [1.0, 1.0, 2.0]]))
    missing = np.array([[np.nan, 1.0, 2.0], [np.nan, np.nan, 2.0]])
    same = pl.DataFrame({"zone": [None, None], "miles": [1.0, None], "hour": [2.0, 2.0]}, schema=FRAME.schema)
    np.testing.assert_array_equal(model.predict(missing), saved[1].predict(same))


def test_no_rows_no_scores(model):
    assert model.predict(FRAME.clear().to_pandas()).shape == (0,)


WRONG = {
    "a missing column": (lambda f: f.drop(columns="miles"), "column miles is missing"),
    "an unknown column": (lambda f: f.assign(extra=1.0), "column extra is not a feature"),
    "a misspelt column": (lambda f: f.rename(columns={"hour": "Hour"}), "hour is missing\n.*Hour is not a feature"),
    "a column twice": (lambda f: f[["zone", "miles", "hour", "hour"]], "more than once: hour"),
    "text for a number": (lambda f: f.assign(miles="2.5"), "miles is not a number in 150 rows: '2.5'"),
    "a code for a category": (lambda f: f.assign(zone=3), "zone is not text in 150 rows: 3"),
    "an infinite number": (lambda f: f.assign(hour=float("inf")), "hour is infinite in 150 rows"),
    "an integer beyond any float": (lambda f: f.assign(hour=10**400), "hour is not a number"),
    "too few columns of an array": (lambda f: f.to_numpy()[:, :2], "2 columns without names"),
    "three dimensions": (lambda f: np.zeros((1, 2, 3)), "3 dimensions"),
    "columns of unequal length": (
        lambda f: {"zone": ["a"], "miles": [1.0, 2.0], "hour": [1.0, 2.0]},
        "zone has 1 rows",
    ),
}


@pytest.mark.parametrize(("change", "said"), WRONG.values(), ids=WRONG)
def test_what_is_not_the_models_is_refused(model, change, said):
    with pytest.raises(ScoringError, match=f"(?s){said}"):
        model.predict(change(FRAME.to_pandas()))


def test_mlflow_knows_what_goes_in_and_what_comes_out(saved):
    from mlflow.models import Model

    read = Model.load(str(saved[0]))
    assert [f["name"] for f in read.metadata["ml_assets"]["features"]] == FRAME.columns
    assert read.signature.outputs.inputs[0].shape == (-1,)
    flavour = read.flavors["python_function"]
    assert (flavour["loader_module"], flavour["code"]) == ("ml_assets.resources.tracking_scoring", None)
    example = json.loads((saved[0] / "serving_input_example.json").read_text())
    assert example["dataframe_split"]["columns"] == FRAME.columns


def test_its_example_scores(saved, model):
    example = json.loads((saved[0] / "serving_input_example.json").read_text())
    np.testing.assert_array_equal(served(model, example), saved[1].facts["golden"]["scores"])


def test_a_model_that_was_tampered_with_is_not_loaded(saved, tmp_path):
    import mlflow

    folder = tmp_path / "model"
    shutil.copytree(saved[0], folder)
    [changed] = [p for p in (folder / "data").rglob("*") if p.is_file() and p.name != "manifest.json"]
    changed.write_bytes(changed.read_bytes().replace(b"1", b"2", 1))
    with pytest.raises(BundleError, match="SHA-256"):
        mlflow.pyfunc.load_model(str(folder))


def test_it_does_not_need_mlflow(saved, expected):
    np.testing.assert_array_equal(ScoredBundle(saved[1]).predict(FRAME.to_pandas()), expected)
