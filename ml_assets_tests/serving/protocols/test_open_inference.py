"""The Open Inference Protocol over REST, asked as its specification writes it; real clients are in `test_clients`."""

import json
import math
import re
import struct

import pytest

from ml_assets.serving.app import App
from ml_assets.serving.data_plane import DataPlane
from ml_assets.serving.picture import Picture
from ml_assets.serving.protocols import open_inference
from ml_assets_tests.serving.conftest import NEW, OLD, alone, model

MILES = {"name": "miles", "shape": [2], "datatype": "FP64", "data": [0.1, None]}
ZONE = {"name": "zone", "shape": [2, 1], "datatype": "BYTES", "data": ["a", "zz"]}
LENGTH = "Inference-Header-Content-Length"


@pytest.fixture
def ask(plane, asgi):
    """Ask with JSON; the answer has `json`."""
    client = asgi(App(plane, open_inference.EXPOSED), both_ways=plane)

    def ask(method, path, content=None, headers=(), behind=b""):
        body = b"" if content is None else json.dumps(content).encode()
        headers = [*headers, (LENGTH, str(len(body)))] if behind else headers
        answer = client(method, path, body + behind, headers)
        if answer.headers["content-type"] == "application/json":
            answer.json = json.loads(answer.body)
        return answer

    return ask


def infer(ask, inputs, path="/v2/models/rides/infer", headers=(), behind=b"", **more):
    return ask("POST", path, {"inputs": inputs, **more}, headers, behind)


def test_named_tensors_are_answered_with_a_tensor(ask):
    answer = infer(ask, [MILES, ZONE], id="42", parameters={"priority": 1})
    assert answer.status == 200
    assert answer.json == {
        "model_name": "rides",
        "model_version": NEW,
        "id": "42",
        "outputs": [{"name": "prediction", "datatype": "FP64", "shape": [2], "data": [0.1, 0.0]}],
    }
    assert answer.headers["x-request-id"] == "42"
    assert (answer.headers["x-model-version"], answer.headers["x-variant"]) == (NEW, "champion")


def test_a_request_without_an_id_has_the_one_of_the_header_or_a_new_one(ask):
    assert infer(ask, [MILES, ZONE], headers=[("X-Request-Id", "r7")]).json["id"] == "r7"
    assert infer(ask, [MILES, ZONE], headers=[("X-Request-Id", "r7")], id="42").json["id"] == "42"
    assert infer(ask, [MILES, ZONE], headers=[("X-Request-Id", "r\x84")], id="42").status == 400
    ids = {infer(ask, [MILES, ZONE]).json["id"] for _ in range(3)}
    assert len(ids) == 3


def test_a_version_is_asked_for_by_its_beginning(ask):
    answer = infer(ask, [MILES, ZONE], f"/v2/models/rides/versions/{OLD[:8]}/infer")
    assert answer.json["model_version"] == OLD
    assert answer.json["outputs"][0]["data"] == [1.0, 0.0]
    assert infer(ask, [MILES, ZONE], "/v2/models/rides/versions/f00/infer").status == 404


@pytest.mark.parametrize(
    ("changed", "said"),
    [({}, None), ({"shape": [1, 1]}, None), ({"data": [2]}, None), ({"data": [[2.0]]}, None),
     ({"datatype": "INT64", "data": [2]}, None), ({"datatype": "FP32"}, None), ({"parameters": {}}, None),
     ({"data": [True]}, "True in data"), ({"data": ["2"]}, "'2' in data"), ({"shape": [2]}, "1 values"),
     ({"data": [2.0, 2.0]}, "2 values"), ({"datatype": "BYTES"}, "2.0 in data"), ({"name": "zone"}, "it comes twice")],
)  # fmt: skip
def test_one_row_is_read_as_many_are(ask, changed, said):
    miles = {"name": "miles", "shape": [1], "datatype": "FP64", "data": [2.0], **changed}
    answer = infer(ask, [miles, {**ZONE, "shape": [1], "data": ["a"]}])
    if said is None:
        assert answer.json["outputs"][0] == {"name": "prediction", "datatype": "FP64", "shape": [1], "data": [2.0]}
    else:
        assert (answer.status, said in answer.json["error"]) == (400, True)


def test_a_number_that_json_does_not_have_is_missing_as_null_is(ask):
    body = json.dumps({"inputs": [{**MILES, "data": [math.nan, 2.0]}, ZONE]})
    assert "NaN" in body
    assert ask("POST", "/v2/models/rides/infer", json.loads(body)).json["outputs"][0]["data"] == [0.0, 2.0]
    assert infer(ask, [{**MILES, "data": [math.inf, 2.0]}, ZONE]).status == 400


def test_binary_data_are_behind_the_json(ask):
    miles, zone = struct.pack("<2d", 0.1, 4.0), b"\1\0\0\0a\0\0\0\0"
    inputs = [
        {"name": "miles", "shape": [2], "datatype": "FP64", "parameters": {"binary_data_size": len(miles)}},
        {"name": "zone", "shape": [2], "datatype": "BYTES", "parameters": {"binary_data_size": len(zone)}},
    ]
    answer = infer(ask, inputs, behind=miles + zone)
    assert answer.json["outputs"][0]["data"] == [0.1, 4.0]

    answer = infer(ask, inputs, behind=miles + zone, parameters={"binary_data_output": True})
    length = int(answer.headers[LENGTH.lower()])
    assert answer.headers["content-type"] == "application/octet-stream"
    output = {"name": "prediction", "datatype": "FP64", "shape": [2], "parameters": {"binary_data_size": 16}}
    assert json.loads(answer.body[:length])["outputs"] == [output]
    assert struct.unpack("<2d", answer.body[length:]) == (0.1, 4.0)

    one_by_one = {"parameters": {"binary_data_output": True}, "outputs": [{"name": "prediction"}]}
    one_by_one["outputs"][0]["parameters"] = {"binary_data": False}
    assert infer(ask, inputs, behind=miles + zone, **one_by_one).json["outputs"][0]["data"] == [0.1, 4.0]


@pytest.mark.parametrize(
    ("inputs", "more", "said"),
    [
        ([{**MILES, "data": ["far", 1]}, ZONE], {}, "'far' in data of datatype FP64"),
        ([MILES], {}, "column zone is missing"),
        ([MILES, {**ZONE, "name": "area"}], {}, "column 'area' is not a feature"),
        ([{"name": "miles", "shape": [1], "datatype": "FP64"}], {}, "no data"),
        ([{**MILES, "parameters": {"binary_data_size": 8}}], {}, "data and binary_data_size"),
        ([{"name": "m", "shape": [1], "datatype": "FP64", "parameters": {"binary_data_size": 8}}], {}, "at most 0"),
        ([MILES, ZONE], {"outputs": [{"name": "else"}]}, "output else: no such output"),
        ([MILES, ZONE], {"id": "a\nb"}, "id: 3 letters"),
        ([MILES, ZONE], {"id": "x" * 201}, "id: 201 letters"),
        ([{**MILES, "shape": [0], "data": []}, {**ZONE, "shape": [0], "data": []}], {}, "rows to score: 0"),
        ([{**MILES, "shape": ["2"]}], {}, r"Expected `int`, got `str` - at `\$.inputs\[0\].shape\[0\]`"),
        (None, {}, "Expected `array`, got `null`"),
    ],
)
def test_a_request_that_is_not_of_its_form_is_refused_in_the_protocols_words(ask, inputs, more, said):
    answer = infer(ask, inputs, **more)
    assert answer.status == 400
    assert list(answer.json) == ["error"]
    assert re.search(said, answer.json["error"])


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b"\xff", b'{"inputs": NaN', b"[" * 100_000, b'{"inputs":' * 9999])
def test_what_is_no_json_is_refused(plane, asgi, body):
    answer = asgi(App(plane, open_inference.EXPOSED))("POST", "/v2/models/rides/infer", body)
    assert answer.status == 400
    assert json.loads(answer.body)["error"].startswith("body: ")


@pytest.mark.parametrize("length", ["-1", "x", "²", "9" * 30, "1000000"])
def test_a_length_that_is_none_is_refused(ask, length):
    assert infer(ask, [MILES, ZONE], headers=[(LENGTH, length)]).status == 400


def test_bytes_that_belong_to_no_tensor_are_refused(ask):
    answer = infer(ask, [MILES, ZONE], behind=b"12345678")
    assert "8 bytes behind the last tensor" in answer.json["error"]


def test_it_tells_of_itself_and_of_its_models(ask):
    for path in ("/v2", "/v2/"):
        told = ask("GET", path).json
        assert (told["name"], told["extensions"]) == ("ml-assets", ["binary_tensor_data"])
    assert ask("GET", "/v2/models/rides").json == {
        "name": "rides",
        "versions": [NEW, OLD],
        "platform": "ml_assets_bundle",
        "inputs": [
            {"name": "miles", "datatype": "FP64", "shape": [-1]},
            {"name": "zone", "datatype": "BYTES", "shape": [-1]},
        ],
        "outputs": [{"name": "prediction", "datatype": "FP64", "shape": [-1]}],
    }
    assert ask("GET", f"/v2/models/rides/versions/{OLD}").status == 200
    for path in ("/v2/models/nobody", "/v2/models/rides/versions/f00"):
        answer = ask("GET", path)
        assert (answer.status, list(answer.json)) == (404, ["error"])


def test_health_is_of_the_server_and_of_each_model(ask, plane):
    assert ask("GET", "/v2/health/live").json == {"live": True}
    answer = ask("GET", "/v2/health/ready")
    assert (answer.status, answer.json) == (503, {"ready": False})
    assert (ask("GET", "/v2/models/tips/ready").status, ask("GET", "/v2/models/rides/ready").status) == (503, 200)
    assert (ask("GET", "/v2/models/nobody/ready").status, infer(ask, [], "/v2/models/tips/infer").status) == (404, 400)
    assert infer(ask, [MILES, ZONE], "/v2/models/tips/infer").status == 503
    plane.put("tips", Picture(alone(OLD), {OLD: model(OLD, 1.0)}, 1))
    assert (ask("GET", "/v2/health/ready").status, ask("GET", "/v2/models/tips/ready").json["ready"]) == (200, True)
    plane.closing = True
    assert (ask("GET", "/v2/health/ready").status, ask("GET", "/v2/models/tips/ready").status) == (503, 503)
    assert (ask("GET", "/v2/health/live").status, infer(ask, [MILES, ZONE]).status) == (200, 200)


def test_a_multiclass_model_is_answered_by_a_tensor_of_rows_and_classes(asgi):
    plane = DataPlane(["kind"])
    served = model(NEW, 1.0, classes=3)
    served.scorer.scores = lambda columns, rows: [[0.5, 0.25, 0.25]] * rows
    plane.put("kind", Picture(alone(NEW), {NEW: served}, 1))
    client = asgi(App(plane, open_inference.EXPOSED))
    body = json.dumps({"inputs": [MILES, ZONE]}).encode()
    [output] = json.loads(client("POST", "/v2/models/kind/infer", body).body)["outputs"]
    assert (output["shape"], output["data"]) == ([2, 3], [0.5, 0.25, 0.25] * 2)
    assert json.loads(client("GET", "/v2/models/kind").body)["outputs"][0]["shape"] == [-1, 3]
