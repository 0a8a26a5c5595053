"""An answer is explained from its request's id alone: features, model, data, decision, shadows, label."""

import json
from datetime import datetime

import dagster as dg
import polars as pl
import pytest
from click.testing import CliRunner

from ml_assets.cli import main
from ml_assets.core.assignment import PartCounts
from ml_assets.core.bundle import Bundle
from ml_assets.core.explained_request import explained_request, in_words
from ml_assets.core.features import Feature
from ml_assets.core.log_segments import microseconds
from ml_assets.core.manifest import Manifest
from ml_assets.core.models.kinds import fit_model
from ml_assets.core.models.spec import ModelSpec
from ml_assets.core.parameters import ModelParams
from ml_assets.core.prediction_log import Entry, frame_of
from ml_assets.core.time_split import TimeRange, TimeSplit
from ml_assets.resources.ledger import Ledger
from ml_assets.resources.log_files import SegmentWriter
from ml_assets.resources.models import Models
from ml_assets.resources.settings import settings
from ml_assets.resources.storage import Store
from ml_assets.resources.whole_files import publish

AT = datetime(2024, 3, 5, 8)
FEATURES = [Feature("zone", pl.col("zone"), kind="category"), Feature("miles", pl.col("miles"), kind="number")]
DATA = {"2024-01": "ab" * 32, "2024-02": "cd" * 32}


def trained(seed: int) -> Bundle:
    n = pl.int_range(300, eager=True)
    train = pl.DataFrame({"zone": [f"z{i % 4}" for i in range(300)], "miles": (n % 17) / 3}).with_columns(
        label=pl.col("miles") * 3 + (n % 4) * 2 + seed
    )
    spec = ModelSpec("model", "lightgbm", "regression", ModelParams(trees=15, leaves=15, min_rows_per_leaf=5))
    split = TimeSplit(*(TimeRange(datetime(2024, 1, d), datetime(2024, 1, d + 9)) for d in (1, 10, 19)), AT)
    return Bundle.of(
        fit_model(spec, train, None, features=FEATURES, seed=seed, threads=1),
        pipeline="duration",
        label={"name": "minutes", "unit": "minutes", "task": "regression"},
        spec=spec,
        seed=seed,
        manifest=Manifest("2024-02", DATA, split, PartCounts(rows={"train": 300}, immature={})),
        train=train,
        learning={"window": 2, "half_life": None, "rows": 300, "refit": False},
    )


@pytest.fixture(scope="module")
def champion() -> Bundle:
    return trained(0)


@pytest.fixture(scope="module")
def shadow() -> Bundle:
    return trained(1)


def entry(bundle: Bundle, **changes: object) -> Entry:
    values = ("z3", 2.5)
    score = float(bundle.predict(pl.DataFrame({"zone": ["z3"], "miles": [2.5]}))[0])
    told = Entry("r1", 0, microseconds(AT), "u7", "champion", "answered", bundle.sha256, values, score, 412, None, 90.0)
    return told._replace(**changes)


@pytest.fixture
def served(tmp_path, monkeypatch, champion, shadow):
    """A request with a shadow and a label in the log; its models and their decisions."""
    for variable in ("STORE", "MODELS", "REPORTS", "LEDGER", "PREDICTIONS"):
        monkeypatch.setenv(f"ML_ASSETS_{variable}", "")
    monkeypatch.setenv("ML_ASSETS_DATA", str(tmp_path))
    roots = settings()
    for bundle in (champion, shadow):
        Models(root=roots.models).save(bundle)
    decided = {"bundle": champion.sha256, "as_of": "2024-02", "verdict": "promote", "record": "ef" * 32,
               "reasons": ["mae 2.7 against 7.0"]}  # fmt: skip
    Ledger(url=roots.ledger).append("duration", "decided", decided, after=0)
    writer = SegmentWriter(roots.predictions, "duration", "a.1")
    answers = [entry(champion), entry(shadow, role="shadow", variant="shadow"), entry(champion, request_id="r2")]
    writer.write("requests", frame_of(answers))
    told = entry(champion, role="label", prediction=17.0, values=None, event_us=microseconds(AT) + 1)
    writer.write("labels", frame_of([told]))
    return roots


def run(*arguments: str):
    return CliRunner().invoke(main, ["explain", *arguments])


def test_a_request_is_explained_for_programs(served, champion, shadow):
    told = json.loads(run("--request", "r1", "--json").stdout)
    [row] = told["rows"]
    assert (told["request_id"], told["pipeline"]) == ("r1", "duration")
    assert (row["model"], row["variant"], row["unit"]) == (champion.sha256, "champion", "u7")
    assert row["prediction"] == entry(champion).prediction
    assert row["features"] == {"zone": "z3", "miles": 2.5}
    assert row["feature_age_s"] == 90.0
    assert (row["label"], row["label_known_at"]) == (17.0, "2024-03-05T08:00:00.000001")
    [beside] = row["shadows"]
    assert (beside["model"], beside["prediction"]) == (shadow.sha256, entry(shadow).prediction)
    model = told["models"][champion.sha256]
    assert model["data"] == DATA
    assert model["training_window"] == ["2024-01", "2024-02"]
    assert model["decision"]["record"] == "ef" * 32
    assert told["models"][shadow.sha256]["decision"] is None


def test_shap_values_sum_to_the_raw_score(served, champion):
    told = json.loads(run("--request", "r1", "--json").stdout)["rows"][0]
    booster = champion.model.trees
    frame = pl.DataFrame({"zone": ["z3"], "miles": [2.5]})
    base = booster.contributions(champion.model._matrix(frame, champion.specs), threads=1).reshape(-1)[-1]
    assert base + sum(told["contributions"].values()) == pytest.approx(told["prediction"])
    assert set(told["contributions"]) == {"zone", "miles"}
    assert all(told["contributions"].values())


def test_a_request_is_explained_for_people(served, champion):
    result = run("--request", "r1", "--pipeline", "duration")
    assert result.exit_code == 0, result.output
    for words in (
        "request r1 to duration", "by " + champion.sha256[:12] + " (champion)", "2024-03-05T08:00:00 UTC, in 0.41 ms",
        "label       17.0, known at", "shadow ", "the newest history 90 s old", "moved the raw score by",
        "event 1: promote", "mae 2.7 against 7.0", "2024-01  " + "ab" * 32,
    ):  # fmt: skip
        assert words in result.output


def test_a_label_that_the_natural_key_found_is_told(served, champion):
    store = Store(root=served.store)
    rows = {"request_id": ["r1", "r2"], "row": [0, 0], "label": [3.0, 4.0], "label_known_at": [AT, AT]}
    [staged] = store.stage(pl.LazyFrame(rows))
    publish(staged.path, store.path(dg.AssetKey(["duration", "served"]), "2024-03"))
    told = [json.loads(run("--request", r, "--json").stdout)["rows"][0] for r in ("r1", "r2")]
    assert [t["label"] for t in told] == [17.0, 4.0], "one that was delivered by id comes first"
    assert told[1]["label_known_at"] == AT.isoformat()


def test_an_unknown_id_is_answered_with_where_was_looked(served, tmp_path):
    result = run("--request", "r9")
    assert result.exit_code == 1
    assert "it is in none of 2 files of duration, the newest begun 2024-03-05T08:00:00+00:00" in result.output
    assert "a second later" in result.output
    elsewhere = run("--request", "r1", "--data", str(tmp_path / "elsewhere"))
    assert elsewhere.exit_code == 1
    assert f"no log of any pipeline under {tmp_path}/elsewhere/predictions" in elsewhere.output
    other = run("--request", "r1", "--pipeline", "tips")
    assert "it is in none of 0 files of tips" in other.output


def test_one_thing_is_explained_at_a_time(served):
    for arguments in ([], ["--model", "abcdef", "--request", "r1"]):
        result = run(*arguments)
        assert result.exit_code == 2
        assert "one of --model and --request" in result.output


def test_what_failed_is_explained_too(champion):
    failed = entry(champion, role="failed", prediction=None, values=None, error="miles: 'far' is no number")
    told = explained_request("duration", frame_of([failed]), {}, [])
    assert told["rows"][0]["features"] is None
    text = "\n".join(in_words(told))
    assert "row 0: failed: miles: 'far' is no number" in text
