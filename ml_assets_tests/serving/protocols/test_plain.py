"""Raw fields over HTTP: what is answered, what is refused and how, and which features reach the log."""

import json
from dataclasses import replace
from datetime import datetime
from types import SimpleNamespace

import pandera.polars as pa
import polars as pl
import pytest

from ml_assets.core.contract import Contract, column
from ml_assets.core.encoding import FeatureSpec
from ml_assets.core.features import Feature
from ml_assets.core.history import HistoryFeature
from ml_assets.core.history_snapshot import snapshot_of
from ml_assets.core.log_segments import microseconds
from ml_assets.core.raw_fields import RawFields
from ml_assets.core.routing import Arm, Routing, alone
from ml_assets.serving.app import App
from ml_assets.serving.data_plane import DataPlane
from ml_assets.serving.exposing import exposed
from ml_assets.serving.limits import Limits
from ml_assets.serving.picture import Picture
from ml_assets.serving.protocols.plain import FIELDS, RECORDS, TOLD, Plain
from ml_assets_tests.serving.conftest import NEW, OLD, model

LATE = {"minutes": "ended_at", "ended_at": "ended_at"}


class Ride(pa.DataFrameModel):
    """One ride."""

    started_at: datetime = column(unit="local time", description="when it starts")
    ended_at: datetime = column(known_at="ended_at")
    zone: int = column(in_range=(1, 9), description="where it starts")
    distance: float = column(gt=0, lt=100, unit="miles", description="planned")
    riders: int = column(nullable=True, required=False, isin=[1, 2, 4])
    minutes: float = column(known_at="ended_at", nullable=True)


FEATURES = (
    Feature("miles", pl.col("distance"), kind="number", unit="miles"),
    Feature("zone", pl.col("zone"), kind="category"),
    HistoryFeature(
        "past_minutes", by=("zone",), value="minutes", window="1h", how="mean", known_at="ended_at", delay="1h"
    ),
    Feature("riders", pl.col("riders"), kind="number"),
)
SPECS = (
    FeatureSpec("miles", "number", "miles"), FeatureSpec("zone", "category", None, ("1", "7")),
    FeatureSpec("past_minutes", "number", "minutes", history=FEATURES[2]),
)  # fmt: skip
RIDE = {"started_at": "2020-03-05T12:00:00", "zone": 7, "distance": 2.5}
PAST = pl.DataFrame(
    {
        "started_at": [datetime(2020, 3, 5, 11), datetime(2020, 3, 5, 11, 30)],
        "ended_at": [datetime(2020, 3, 5, 11, 20), datetime(2020, 3, 5, 11, 50)],
        "zone": [7, 8],
        "minutes": [20.0, 10.0],
    }
)


@pytest.fixture(scope="module")
def fields() -> RawFields:
    contract = Contract.from_model(Ride)
    return RawFields("rides", "trips", "daily", "started_at", LATE, contract, FEATURES, "miles, again")


@pytest.fixture
def history(fields):
    """Who keeps the rows looked back on."""
    snapshot = snapshot_of(
        [PAST.lazy()], fields.online.history, event_time="started_at", known_late=LATE,
        complete_from=datetime(2020, 3, 1), newest_from=datetime(2020, 3, 5),
    )  # fmt: skip
    return SimpleNamespace(snapshot=snapshot)


@pytest.fixture
def plane(told):
    plane = DataPlane(["rides"], [told.append])
    models = {s: model(s, times, specs=SPECS) for s, times in ((NEW, 1.0), (OLD, 10.0))}
    plane.put("rides", Picture(alone(NEW, (OLD,)), models, 1))
    return plane


@pytest.fixture
def app(plane, fields, history, asgi):
    app = App(plane, exposed({}, Plain({"rides": fields}, {"rides": history})), limits=Limits(rows_at_once=4))
    return asgi(app, both_ways=plane)


@pytest.fixture
def ask(app):
    def ask(body, path="/predict/rides", **headers):
        sent = body if isinstance(body, bytes) else json.dumps(body).encode()
        answer = app("POST", path, sent, [(name.replace("_", "-"), value) for name, value in headers.items()])
        return SimpleNamespace(status=answer.status, headers=answer.headers, told=json.loads(answer.body))

    return ask


def test_an_object_is_answered_with_its_prediction_and_who_made_it(ask):
    answer = ask(RIDE, x_request_id="r1", x_unit_id="anna")
    assert answer.status == 200
    assert answer.told == {
        "prediction": 2.5, "pipeline": "rides", "model_version": NEW, "variant": "champion", "request_id": "r1",
        "feature_age_s": 600.0,
    }  # fmt: skip
    assert (answer.headers["x-request-id"], answer.headers["x-model-version"]) == ("r1", NEW)
    assert answer.headers["x-variant"] == "champion"


def test_the_log_is_told_natural_keys_and_event_times_and_a_unit_sticks(plane, fields, history, asgi, told):
    keyed = replace(fields, unit="zone", key=("started_at", "riders"))
    ask = asgi(App(plane, exposed({}, Plain({"rides": keyed}, {"rides": history}))))

    def sent(rides, **headers):
        names = [(name.replace("_", "-"), value) for name, value in headers.items()]
        assert ask("POST", "/predict/rides", json.dumps(rides).encode(), names).status == 200
        return told[-1]

    at = datetime(2020, 3, 5, 12)
    served = sent([RIDE | {"riders": 2}, RIDE])
    assert served.keys == [(at.isoformat(), 2), None], "a record that lacks a field has no key"
    assert served.events_us == [microseconds(at)] * 2
    assert served.unit == "7"
    assert sent([RIDE, RIDE | {"zone": 1}], x_request_id="r9").unit == "r9", "whose records differ"
    assert sent(RIDE, x_unit_id="anna").unit == "anna", "the client knows better"


@pytest.mark.parametrize("count", [1, 3, 9])
def test_a_list_is_answered_with_a_list_in_its_order(ask, count):
    answer = ask([RIDE | {"distance": 1 + i} for i in range(count)])
    assert answer.told["predictions"] == [1.0 + i for i in range(count)]
    assert "prediction" not in answer.told
    assert answer.told["feature_age_s"] == 600.0


def test_features_as_they_were_used_and_their_age_reach_the_log(ask, told):
    ask([RIDE, RIDE | {"zone": 8, "started_at": "2020-03-05T11:50:00.5"}], x_unit_id="anna")
    [served] = told
    assert served.columns == {"miles": [2.5, 2.5], "zone": ["7", "8"], "past_minutes": [20.0, 10.0]}
    assert "riders" not in served.columns, "no model reads it"
    assert served.unit == "anna"
    assert served.feature_age_s == pytest.approx(600, abs=1), "the oldest"


def test_without_known_rows_history_is_missing_and_has_no_age(ask, told, history):
    history.snapshot = None
    assert ask(RIDE).told["feature_age_s"] is None
    assert told[0].columns["past_minutes"] == [None]
    assert told[0].feature_age_s is None


def test_the_unit_draws_the_arm_and_a_variant_may_be_asked_for(ask, plane):
    arms = (Arm("champion", NEW, 5_000), Arm("candidate", OLD, 5_000))
    models = {s: model(s, times, specs=SPECS) for s, times in ((NEW, 1.0), (OLD, 10.0))}
    plane.put("rides", Picture(Routing(NEW, arms, "a rollout"), models, 2))
    for unit in ("anna", "bert", "cleo", "dora"):
        first = ask(RIDE, x_unit_id=unit).told
        assert first["variant"] == plane.picture("rides").routing.assign(unit).variant
        assert ask(RIDE, x_unit_id=unit).told["variant"] == first["variant"]
    asked = ask(RIDE, x_variant="candidate").told
    assert (asked["variant"], asked["prediction"], asked["model_version"]) == ("candidate", 25.0, OLD)


def test_every_fault_is_listed_with_rule_field_found_and_expected(ask, told):
    answer = ask([RIDE, {"zone": 0, "distance": "far", "riders": 3, "colour": "red"}])
    assert answer.status == 422
    assert [(f["record"], f["rule"], f["field"], f["found"]) for f in answer.told["faults"]] == [
        (1, "unknown_field", "colour", '"red"'),
        (1, "missing_field", "started_at", "nothing"),
        (1, "zone_in_range", "zone", "0"),
        (1, "distance_type", "distance", '"far"'),
        (1, "riders_isin", "riders", "3"),
    ]
    assert answer.told["faults"][2]["expected"] == "zone ≥ 1 and ≤ 9"
    assert answer.told["faults_in_all"] == 5
    assert "and 0 more" not in answer.told["error"]
    assert not told, "nothing was scored"


@pytest.mark.parametrize("change", [{"riders": None}, {"riders": 2}, {"distance": 3}, {"zone": "7"}], ids=str)
def test_what_training_data_may_hold_a_request_may_hold(ask, change):
    assert ask(RIDE | change).status == 200


@pytest.mark.parametrize("sent", [3, None, "text", [3], [[RIDE]]], ids=str)
def test_what_is_no_object_is_told_so(ask, sent):
    answer = ask(sent)
    assert answer.status == 422
    assert {f["rule"] for f in answer.told["faults"]} == {"not_an_object"}


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b'{"zone": NaN}', b"[" * 99 + b"]" * 99], ids=repr)
def test_what_is_no_request_is_refused(ask, body):
    answer = ask(body)
    assert answer.status == 400
    assert answer.told["cure"]


def test_very_many_faults_are_bounded_and_counted(ask):
    answer = ask([RIDE | {"zone": 0, "distance": 0}] * (TOLD - 1))
    assert (len(answer.told["faults"]), answer.told["faults_in_all"]) == (TOLD, 2 * (TOLD - 1))
    assert ask(RIDE | {f"f{i}": i for i in range(FIELDS)}).status == 413
    assert ask([RIDE] * (RECORDS + 1)).status == 413


def test_an_unknown_pipeline_and_one_without_a_model(ask, plane):
    assert ask(RIDE, "/predict/other").status == 404
    assert ask(RIDE, "/predict/").status == 404
    plane._pictures["rides"] = None
    assert ask(RIDE).status == 503


def test_a_model_of_other_features_is_not_answered_with_guesses(ask, plane):
    other = model(NEW, 1.0, specs=(*SPECS, FeatureSpec("weather", "category", None, ())))
    plane.put("rides", Picture(alone(NEW), {NEW: other}, 2))
    answer = ask(RIDE)
    assert answer.status == 503
    assert "weather" in answer.told["error"]


def described(app) -> dict:
    return json.loads(app("GET", "/openapi.json").body)


def test_fields_are_described_with_types_units_ranges_and_an_example(app, ask):
    document = described(app)
    record = document["components"]["schemas"]["rides_record"]
    assert record["required"] == ["started_at", "zone", "distance"]
    assert record["additionalProperties"] is False
    distance = record["properties"]["distance"]
    assert distance["anyOf"][0] == {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 100}
    assert distance["description"] == "planned (number (Float64) in miles; > 0; < 100)"
    assert record["properties"]["riders"]["anyOf"][0] == {"type": "integer", "enum": [1, 2, 4]}
    assert "null" in record["properties"]["riders"]["anyOf"][1]["type"]
    assert ask(record["example"]).status == 200
    post = document["paths"]["/predict/rides"]["post"]
    assert {"200", "400", "404", "422", "503"} <= set(post["responses"])
    answer = document["components"]["schemas"]["rides_answer"]["anyOf"][0]
    assert set(answer["properties"]) == set(ask(RIDE).told)
    assert answer["properties"]["prediction"]["description"] == "miles, again"


def test_every_reference_leads_somewhere(app):
    text = json.dumps(described(app))
    names = {part.split('"')[0] for part in text.split('"#/components/schemas/')[1:]}
    assert names == set(described(app)["components"]["schemas"])


def test_the_page_says_it_to_people_and_loads_nothing(app):
    answer = app("GET", "/docs")
    page = answer.body.decode()
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    for told in ("/predict/rides", "planned (number (Float64) in miles", "curl", "/v2/models/{model}/infer"):
        assert told in page
    assert "<script" not in page
    assert "src=" not in page
    assert not [part for part in page.split('href="')[1:] if not part.startswith(("#", "/"))]
