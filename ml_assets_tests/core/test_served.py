"""A partition's requests as a table, their labels, and whether the batch path gives the same answers."""

from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest

from ml_assets.core.bundle import Bundle
from ml_assets.core.errors import PredictionLogError
from ml_assets.core.features import Feature
from ml_assets.core.log_segments import microseconds
from ml_assets.core.models.kinds import fit_model
from ml_assets.core.models.spec import ModelSpec
from ml_assets.core.parameters import ModelParams
from ml_assets.core.prediction_log import Entry, frame_of
from ml_assets.core.served import bundles_of, counts, feature_frame, joined_by_key, served_table
from ml_assets.core.served_as_batch import differences, sampled, skews

PARAMS = ModelParams(trees=20, leaves=15, min_rows_per_leaf=5)
T0 = datetime(2024, 3, 1)
KINDS = {"zone": "category", "miles": "number", "hour": "number"}


def table(rows: int = 400, seed: int = 0) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    zone, miles, hour = rng.integers(0, 5, rows), rng.gamma(2, 2, rows), rng.integers(0, 24, rows)
    return pl.DataFrame(
        {
            "row_number": range(rows),
            "started_at": [T0 + timedelta(minutes=i) for i in range(rows)],
            "zone": [None if i % 50 == 7 else f"z{z}" for i, z in enumerate(zone)],
            "miles": miles,
            "hour": hour.astype(float),
            "label": 3 + 4 * miles + 3 * zone + hour / 3,
            "label_known_at": [T0 + timedelta(minutes=i + 30) for i in range(rows)],
        },
        schema_overrides={"row_number": pl.UInt32},
    )


def bundle(*names: str, task: str = "regression", classes: int = 2) -> Bundle:
    train, naive = table(), 1.0
    if task == "multiclass":
        train = train.with_columns(label=(pl.col("label") > 10).cast(pl.Float64) + (pl.col("label") > 20))
        naive = [1 / 3] * 3
    features = [Feature(n, pl.col(n), kind=KINDS[n]) for n in names]
    params = replace(PARAMS, objective="l1" if task == "regression" else task)
    spec = ModelSpec("model", "lightgbm", task, params, classes)
    fit = fit_model(spec, train, None, features=features, seed=0, threads=1)
    facts = {"features": [s.to_json() for s in fit.specs], "naive": naive, "task": task, "model": fit.model.facts()}
    return Bundle(facts, fit.model.files())


@pytest.fixture(scope="module")
def champion() -> Bundle:
    return bundle("zone", "miles", "hour")


@pytest.fixture(scope="module")
def other() -> Bundle:
    return bundle("hour", "miles")


def logged(model: Bundle, rows: pl.DataFrame, **changes: object) -> list[Entry]:
    """What a server logs of rows of a features table."""
    frame = model.feature_frame(rows)
    at = microseconds(T0)
    return [
        Entry(f"r{n}", 0, at + n, f"u{n}", "champion", "answered", model.sha256, values, score, 300, None, 2.0,
              (when.isoformat(), zone), at + n)._replace(**changes)
        for n, values, score, when, zone in zip(
            rows["row_number"], frame.iter_rows(), model.predict(frame).tolist(), rows["started_at"], rows["zone"],
            strict=True,
        )
    ]  # fmt: skip


LABELLED = {"role": "label", "values": None, "key": None, "bundle": ""}


def test_features_come_back_as_the_model_was_given_them(champion):
    frame = champion.feature_frame(table(60, 1))
    rows = frame_of(logged(champion, table(60, 1)))
    assert feature_frame(rows, champion.specs).equals(frame)
    assert frame["zone"].null_count() > 0
    whole = frame_of([logged(champion, table(1))[0]._replace(values=("z1", 3, True))])
    assert feature_frame(whole, champion.specs).row(0) == ("z1", 3.0, 1.0)
    assert feature_frame(rows.clear(), champion.specs).schema == frame.schema


@pytest.mark.parametrize(
    ("values", "said"),
    [((1, 2.0, 3.0), "zone is 1, no category"), (("z", "far", 3.0), "miles is 'far', no number"), (("z",), "1 values")],
)
def test_values_that_are_none_of_the_models_are_named(champion, values, said):
    rows = frame_of([logged(champion, table(1))[0]._replace(values=values)])
    with pytest.raises(PredictionLogError, match="request r0, row 0") as raised:
        feature_frame(rows, champion.specs)
    assert said in raised.value.found[0]


def test_bundles_with_different_features_stand_side_by_side(champion, other):
    month = table(6)
    rows = frame_of(
        [
            *logged(champion, month[:3]),
            *logged(other, month[3:5], role="shadow", variant="candidate"),
            *logged(champion, month[5:], role="failed", prediction=None, error="out of memory"),
        ]
    )
    assert bundles_of(rows) == sorted([champion.sha256, other.sha256])
    specs = {champion.sha256: champion.specs, other.sha256: other.specs}
    found = served_table(rows, specs, frame_of([]))
    assert found["request_id"].to_list() == [f"r{n}" for n in range(6)]
    names = sorted(c for c in found.columns if c.startswith("feature_"))
    assert names == ["feature_age_s", "feature_hour", "feature_miles", "feature_zone"]
    assert found["feature_miles"].to_list() == [*month["miles"][:5], None], "none of what failed"
    assert found["feature_zone"].to_list() == [*month["zone"][:3], None, None, None]
    assert found["prediction"].to_list()[:3] == champion.predict(champion.feature_frame(month[:3])).tolist()
    assert counts(found) == {"answered": 3, "shadow": 2, "failed": 1, "labelled": 0, "found_by_key": 0}


def test_a_feature_that_changed_its_kind_has_two_columns(champion, other):
    text = replace(other.specs[0], kind="category")
    rows = frame_of([*logged(champion, table(1)), *logged(other, table(1), values=("noon", 1.0))])
    found = served_table(rows, {champion.sha256: champion.specs, other.sha256: (text, other.specs[1])}, frame_of([]))
    assert found["feature_hour_number"].to_list() == [table(1)["hour"][0], None]
    assert found["feature_hour_category"].to_list() == [None, "noon"]


def test_classes_have_an_array_of_probabilities():
    model = bundle("zone", "miles", task="multiclass", classes=3)
    found = served_table(frame_of(logged(model, table(4))), {model.sha256: model.specs}, frame_of([]), classes=3)
    assert found["prediction"].dtype == pl.Array(pl.Float64, 3)
    np.testing.assert_array_equal(found["prediction"].to_numpy(), model.predict(model.feature_frame(table(4))))


def test_labels_come_by_the_requests_id_first_and_by_the_natural_key_where_it_is_unique(champion):
    rows, month = frame_of(logged(champion, table(6))), table(6)
    month = pl.concat([month, month[2:3].with_columns(row_number=pl.lit(99, pl.UInt32))]).filter(
        pl.col("row_number") != 4
    )
    labels = frame_of([logged(champion, table(1))[0]._replace(prediction=77.0, event_us=5, **LABELLED)])
    served = served_table(rows, {champion.sha256: champion.specs}, labels)
    found, ambiguous = joined_by_key(served, month, ("started_at", "zone"))
    assert found["label_from"].to_list() == ["request", "key", None, "key", None, "key"]
    assert ambiguous == 1
    assert found["label"].to_list() == [
        77.0,
        table(6)["label"][1],
        None,
        table(6)["label"][3],
        None,
        table(6)["label"][5],
    ]
    assert found["row_number"].to_list() == [0, 1, None, 3, None, 5]
    assert found["label_known_at"][1] == table(6)["label_known_at"][1]
    assert "key" not in found.columns
    assert counts(found)["labelled"] == 4
    alone, _ = joined_by_key(served, month, ())
    assert alone["label_from"].to_list() == ["request", *[None] * 5]


def test_keys_are_read_in_the_tables_dtypes_or_not_at_all(champion):
    month = pl.DataFrame(
        {"row_number": [0, 1], "n": [5, 6], "label": [1.0, 2.0], "label_known_at": [T0, T0]},
        schema_overrides={"row_number": pl.UInt32, "n": pl.Int16},
    )
    [entry] = logged(champion, table(1))
    keys = [(5,), (5.0,), ("6",), (5.5,), ("x",), None, (5, 6)]
    rows = frame_of([entry._replace(key=key, at_us=n) for n, key in enumerate(keys)])
    found, _ = joined_by_key(served_table(rows, {champion.sha256: champion.specs}, frame_of([])), month, ("n",))
    assert found["row_number"].to_list() == [0, 0, 1, None, None, None, None]


def test_what_was_served_is_predicted_again_to_the_bit(champion, other):
    for model in (champion, other, bundle("zone", "miles", task="multiclass", classes=3)):
        assert differences(frame_of(logged(model, table(200, 4))), model) == []
    assert differences(frame_of([]), champion) == []


@pytest.mark.parametrize("feature", ["zone", "miles", "hour"])
def test_a_tampered_value_is_named(champion, feature):
    entries, at = logged(champion, table(100, 4)), [s.name for s in champion.specs].index(feature)
    changed = {"zone": "z4", "miles": 30.0, "hour": 23.0}[feature]
    values = list(entries[5].values)
    values[at] = "z0" if values[at] == changed else changed
    entries[5] = entries[5]._replace(values=tuple(values))
    [found] = differences(frame_of(entries), champion)
    assert (found.request_id, found.bundle, found.served) == ("r5", champion.sha256, entries[5].prediction)
    assert found.batch != found.served
    assert found.feature == feature
    assert found.used == values[at]
    assert f"served as with {feature} = " in found.words


def test_another_vocabulary_is_named(champion):
    vocabulary = tuple(v for v in champion.specs[0].vocabulary if v != "z3")
    facts = {**champion.facts, "features": [replace(champion.specs[0], vocabulary=vocabulary).to_json(),
                                            *(s.to_json() for s in champion.specs[1:])]}  # fmt: skip
    poorer = Bundle(facts, champion.files)
    rows = table(100, 4).filter(zone="z4")
    entries = [e._replace(bundle=champion.sha256) for e in logged(poorer, rows)]
    found = differences(frame_of(entries), champion)
    assert found
    assert {d.feature for d in found[:3]} == {"zone"}
    assert found[0].used == "z4"


def test_a_last_bit_is_a_difference(champion):
    entries = logged(champion, table(10))
    entries[3] = entries[3]._replace(prediction=float(np.nextafter(entries[3].prediction, 1e9)))
    [found] = differences(frame_of(entries), champion)
    assert (found.request_id, found.feature) == ("r3", None)
    assert "the model or its code is another" in found.words


def test_a_sample_is_the_same_whatever_the_order_and_leaves_out_what_was_not_scored(champion):
    entries = logged(champion, table(50))
    entries[0] = entries[0]._replace(role="failed", prediction=None)
    rows = frame_of(entries)
    one, two = (sampled(r, 10, 3) for r in (rows, rows.reverse()))
    assert one.equals(two)
    assert one.height == 10
    assert not one.equals(sampled(rows, 10, 4))
    assert "r0" not in sampled(rows, 1000, 0)["request_id"].to_list()


def test_features_that_the_data_side_has_otherwise_are_named(champion):
    month, entries = table(20), logged(champion, table(20))
    for n in (4, 9):
        entries[n] = entries[n]._replace(values=(entries[n].values[0], entries[n].values[1] + 1, entries[n].values[2]))
    entries[7] = entries[7]._replace(values=(None, *entries[7].values[1:]))
    entries[5] = entries[5]._replace(values=("elsewhere", *entries[5].values[1:]))
    rows = frame_of(entries).with_columns(pl.Series("row_number", [*range(19), None], dtype=pl.UInt32))
    first, second = skews(rows, month, champion.specs)
    assert (first.feature, first.rows, first.of, first.request_id) == ("miles", 2, 19, "r4")
    assert first.served == first.batch + 1
    assert (second.feature, second.rows, second.served) == ("zone", 1, "elsewhere")
    assert "zone differs in 1 of 19 requests: request r5 was served with elsewhere" in second.words
    assert skews(frame_of([]).with_columns(row_number=pl.lit(None, pl.UInt32)), month, champion.specs) == []
