"""MLflow's, SageMaker's, Vertex AI's and Azure ML's forms of a request and of an answer."""

import json
import re

import pytest
from click.testing import CliRunner

from ml_assets.cli import main
from ml_assets.core.errors import ConfigError
from ml_assets.serving.app import App
from ml_assets.serving.exposing import exposed
from ml_assets.serving.picture import Picture
from ml_assets.serving.protocols import azure, mlflow_scoring, vertex
from ml_assets_tests.serving.conftest import NEW, OLD, alone, model

AIP = {
    "AIP_HTTP_PORT": "8080",
    "AIP_HEALTH_ROUTE": "/alive",
    "AIP_PREDICT_ROUTE": "/v1/endpoints/1/deployedModels/2:predict",
}
ROWS = [{"miles": 0.1, "zone": "a"}, {"zone": "b", "miles": None}]
LISTS = [[0.1, "a"], [None, "b"]]
SPLIT = {"columns": ["zone", "miles"], "index": [7, 8], "data": [["a", 0.1], ["b", None]]}
COLUMNS = {"zone": ["a", "b"], "miles": [0.1, None]}


@pytest.fixture
def two(plane):
    """Both pipelines answer: `tips` a hundred times the miles."""
    plane.put("tips", Picture(alone(OLD), {OLD: model(OLD, 100.0)}, 1))
    return plane


@pytest.fixture
def ask(two, asgi):
    client = asgi(App(two, (*mlflow_scoring.EXPOSED, *azure.EXPOSED, *vertex.exposed(AIP))), both_ways=two)

    def ask(path, content, headers=(), media="application/json"):
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        return client("POST", path, body, [*headers, *([("Content-Type", media)] if media else [])])

    ask.get, ask.client = lambda path: client("GET", path), client
    return ask


RIDES = [("X-Pipeline", "rides")]


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/invocations", {"inputs": LISTS}),
        ("/score", {"input_data": LISTS}),
        (AIP["AIP_PREDICT_ROUTE"], {"instances": LISTS}),
    ],
)
def test_few_rows_are_answered_at_once_and_many_are_not(ask, path, said):
    [(form, rows)] = said.items()
    assert ask(path, said, RIDES).status == 200
    assert ask.client.asked_at_once == 1
    assert ask(path, {form: rows * 50}, RIDES).status == 200
    assert ask.client.asked_at_once == 1


@pytest.mark.parametrize(
    "said",
    [
        {"dataframe_split": SPLIT},
        {"dataframe_records": ROWS},
        {"instances": ROWS},
        {"instances": LISTS},
        {"inputs": COLUMNS},
        {"inputs": LISTS},
        {"inputs": ROWS, "params": {"temperature": 1}},
    ],
    ids=lambda said: next(iter(said)),
)
def test_mlflow_reads_rows_in_four_forms(ask, said):
    answer = ask("/invocations", said, RIDES)
    assert (answer.status, json.loads(answer.body)) == (200, {"predictions": [0.1, 0.0]})
    assert answer.headers["x-model-version"] == NEW


@pytest.mark.parametrize("media", ["text/csv", "text/csv; charset=UTF-8", "text/csv; header=present"])
def test_mlflow_reads_csv(ask, media):
    answer = ask("/invocations", b"\xef\xbb\xbfzone,miles\na,0.1\nb,\n", RIDES, media)
    assert json.loads(answer.body) == {"predictions": [0.1, 0.0]}


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ({}, "0 of them"),
        ({"instances": ROWS, "inputs": COLUMNS}, "2 of them"),
        ({"instances": []}, "rows to score: 0"),
        ({"instances": [1.0]}, r"Expected `object \| array`, got `float`"),
        ({"dataframe_split": {"data": LISTS}}, "missing required field `columns`"),
        ({"dataframe_split": {**SPLIT, "names": []}}, "unknown field `names`"),
        ({"dataframe_records": [{"miles": [1.0], "zone": "a"}]}, r"got `array` - at `\$.dataframe_records\[0\]"),
        ({"dataframe_records": [{"miles": "far", "zone": "a"}]}, "column miles, row 0: 'far'"),
        ({"inputs": {"miles": [1.0]}}, "column zone is missing"),
        (None, "got `null`"),
    ],
)
def test_mlflow_is_told_what_is_wrong_in_its_own_form(ask, said, found):
    answer = ask("/invocations", said, RIDES)
    told = json.loads(answer.body)
    assert (answer.status, told["error_code"]) == (400, "BAD_REQUEST")
    assert re.search(found, told["message"])


def test_a_csv_without_names_is_in_the_models_order(ask):
    rows = b"0.1,a\n\n,b\n"
    answer = ask("/invocations", rows, RIDES, "text/csv; header=absent; charset=utf-8")
    assert json.loads(answer.body) == {"predictions": [0.1, 0.0]}
    for refused, found in ((b"a,0.1\n", "column miles: could not convert"), (b"0.1\n", "row 0: 1 values")):
        answer = ask("/invocations", refused, RIDES, "text/csv; header=absent")
        assert (answer.status, bool(re.search(found, answer.body.decode()))) == (400, True), answer.body
    assert ask("/invocations", b"1,a\n" * 10_001, RIDES, "text/csv; header=absent").status == 413
    assert ask("/invocations", b"1,a\n" * 10_000, RIDES, "text/csv; header=absent").status == 200


def test_a_csv_is_not_read_without_names_unless_it_says_so(ask):
    answer = ask("/invocations", b"0.1,a\n1.0,b\n", RIDES, "text/csv")
    assert answer.status == 400
    assert "text/csv; header=absent" in json.loads(answer.body)["message"]


@pytest.mark.parametrize(
    ("accept", "as_csv"),
    [
        ("text/csv", True),
        ("Text/CSV; charset=utf-8, application/x-npy", True),
        ("application/json", False),
        ("text/csv, application/json", False),
        ("text/csv, */*; q=0.1", False),
        ("*/*", False),
        ("application/x-npy", False),
    ],
)
def test_who_accepts_csv_only_is_answered_a_line_a_row(ask, accept, as_csv):
    answer = ask("/invocations", {"instances": LISTS}, [*RIDES, ("Accept", accept)])
    if as_csv:
        assert (answer.body, answer.headers["content-type"]) == (b"0.1\n0.0", "text/csv; charset=utf-8")
    else:
        assert json.loads(answer.body) == {"predictions": [0.1, 0.0]}
    assert answer.headers["x-model-version"] == NEW


@pytest.mark.parametrize(
    "media",
    [
        "application/x-parquet",
        "text/csv; charset=latin-1",
        "text/csv; header=maybe",
        "text/csv; header=absent; header=present",
        "application/json; header=absent",
        "application/json; v=2",
    ],
)
def test_mlflow_reads_no_other_media(ask, media):
    answer = ask("/invocations", {"instances": ROWS}, RIDES, media)
    assert (answer.status, json.loads(answer.body)["error_code"]) == (415, "BAD_REQUEST")


def test_csv_that_is_no_text_is_refused(ask):
    assert ask("/invocations", b"zone,miles\n\xff,1\n", RIDES, "text/csv").status == 400


def test_csv_of_too_many_rows_is_too_large(ask):
    assert ask("/invocations", b"zone,miles\n" + b"a,1\n" * 10_001, RIDES, "text/csv").status == 413


def test_mlflow_tells_a_wrong_pipeline_and_one_that_is_not_ready(ask, two):
    answer = ask("/invocations?pipeline=nobody", {"instances": ROWS})
    assert (answer.status, json.loads(answer.body)["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")
    two._pictures["tips"] = None
    answer = ask("/invocations?pipeline=tips", {"instances": ROWS})
    assert (answer.status, json.loads(answer.body)["error_code"]) == (503, "TEMPORARILY_UNAVAILABLE")
    assert (ask.get("/ping").status, ask.get("/health").status, ask.get("/alive").status) == (503, 503, 503)


def test_mlflow_and_sagemaker_ask_whether_it_lives_and_for_a_version(ask):
    assert (ask.get("/ping").status, ask.get("/ping").body, ask.get("/health").status) == (200, b"\n", 200)
    assert re.fullmatch(rb"\d+\.\d+\.\d+", ask.get("/version").body)


def test_a_pipeline_is_named_by_query_header_or_sagemakers_attributes(ask):
    rows = {"instances": [{"miles": 2.0, "zone": "a"}]}
    named = [
        ("/invocations?pipeline=tips", []),
        ("/invocations?a=b&pipeline=tips", RIDES),
        ("/invocations", [("X-Pipeline", "tips")]),
        ("/invocations", [("X-Amzn-SageMaker-Custom-Attributes", "unit_id=u7, pipeline=tips")]),
    ]
    for path, headers in named:
        assert json.loads(ask(path, rows, headers).body) == {"predictions": [200.0]}
    answer = ask("/invocations", rows)
    assert answer.status == 400
    assert "none named, of 2" in json.loads(answer.body)["message"]


def test_ids_of_the_hosting_service_are_the_requests_and_the_units(ask, told):
    rows = {"instances": [{"miles": 2.0, "zone": "a"}]}
    attributes = ("X-Amzn-SageMaker-Custom-Attributes", "pipeline=rides,unit_id=u7")
    answer = ask("/invocations", rows, [attributes, ("X-Amzn-SageMaker-Inference-Id", "i9")])
    assert answer.headers["x-request-id"] == "i9"
    assert (
        ask("/score", {"input_data": LISTS}, [*RIDES, ("x-ms-client-request-id", "m3")]).headers["x-request-id"] == "m3"
    )
    ask("/invocations", rows, [*RIDES, ("X-Unit-Id", "u8"), ("X-Request-Id", "r1")])
    assert [(s.unit, s.request_id) for s in told] == [("u7", "i9"), ("m3", "m3"), ("u8", "r1")]


@pytest.mark.parametrize("rows", [SPLIT, COLUMNS, ROWS, LISTS], ids=["split", "columns", "rows", "lists"])
def test_azure_reads_input_data_and_answers_a_list(ask, rows):
    answer = ask("/score", {"input_data": rows, "params": {}}, RIDES)
    assert (answer.status, json.loads(answer.body)) == (200, [0.1, 0.0])


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ({"data": LISTS}, "missing required field `input_data`"),
        ({"input_data": {"columns": ["miles"], "data": [1.0]}}, "Expected `array`, got `float`"),
        ({"input_data": {"miles": [[1.0]], "zone": ["a"]}}, "got `array`"),
    ],
)
def test_azure_is_told_what_is_wrong(ask, said, found):
    answer = ask("/score", said, RIDES)
    assert answer.status == 400
    assert found in json.loads(answer.body)["error"]


def test_azure_probes_the_root(ask):
    assert (ask.get("/").status, ask.get("/").body) == (200, b"Healthy")


def test_vertex_asks_on_the_paths_of_its_environment(ask, told):
    path = AIP["AIP_PREDICT_ROUTE"]
    said = {"instances": ROWS, "parameters": {"pipeline": "rides", "unit_id": "u7"}}
    answer = ask(path, said)
    assert (answer.status, json.loads(answer.body)) == (200, {"predictions": [0.1, 0.0]})
    assert told[-1].unit == "u7"
    assert json.loads(ask(path, {**said, "instances": LISTS}).body) == {"predictions": [0.1, 0.0]}
    assert ask.get("/alive").status == 200
    for wrong in ({"instances": ROWS}, {**said, "parameters": {"pipelines": "rides"}}, {"parameters": {}}):
        assert ask(path, wrong).status == 400


def test_vertexs_environment_is_read_and_checked():
    assert (vertex.exposed({}), vertex.port({})) == ((), None)
    assert vertex.port(AIP) == 8080
    assert [(e.method, e.path) for e in vertex.exposed(AIP)] == [
        ("POST", AIP["AIP_PREDICT_ROUTE"]),
        ("GET", "/alive"),
    ]
    for wrong in ("0", "65536", "http", "-1", "8080 "):
        with pytest.raises(ConfigError, match="1 to 65535"):
            vertex.port({"AIP_HTTP_PORT": wrong})
    for wrong in ("predict", "/a/{b}"):
        with pytest.raises(ConfigError, match="AIP_PREDICT_ROUTE"):
            vertex.exposed({"AIP_PREDICT_ROUTE": wrong})


def test_a_path_that_vertex_calls_is_vertexs(plane, asgi):
    client = asgi(App(plane, exposed({"AIP_HEALTH_ROUTE": "/"})))
    assert client("GET", "/").status == 503, "tips is not ready, and Azure ML's liveness would not mind"
    assert asgi(App(plane, exposed({})))("GET", "/").status == 200


def test_the_server_listens_where_vertex_calls(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr("ml_assets.serving.server.serve", asked.append)
    monkeypatch.setenv("ML_ASSETS_DATA", str(tmp_path))
    told = ["--pipeline", "trip_duration"]
    for name, value in {**AIP, "AIP_HTTP_PORT": "7070"}.items():
        monkeypatch.setenv(name, value)
    assert CliRunner().invoke(main, ["serve", *told]).exit_code == 0
    assert CliRunner().invoke(main, ["serve", *told, "--port", "6060"]).exit_code == 0
    for name in AIP:
        monkeypatch.delenv(name)
    assert CliRunner().invoke(main, ["serve", *told]).exit_code == 0
    assert [one.port for one in asked] == [7070, 6060, 8080]
    paths = [{e.path for e in exposed(dict(one.environment)) if e.protocol == vertex.PROTOCOL} for one in asked]
    assert paths == [{AIP["AIP_PREDICT_ROUTE"], "/alive"}] * 2 + [set()]
