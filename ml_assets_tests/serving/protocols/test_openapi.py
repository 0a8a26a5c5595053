"""The description names every path that is answered, and no other; its rows are those of the live models."""

import json

import pytest

from ml_assets.serving.app import App
from ml_assets.serving.exposing import exposed
from ml_assets.serving.picture import Picture
from ml_assets_tests.serving.conftest import NEW, alone, model

EXPOSED = exposed({})
NOT_DESCRIBED = {("GET", "/v2/"), ("GET", "/openapi.json"), ("GET", "/docs")}


@pytest.fixture
def described(plane, asgi):
    return lambda: json.loads(asgi(App(plane, EXPOSED))("GET", "/openapi.json").body)


def test_every_path_is_described(described):
    told = {(method.upper(), path) for path, item in described()["paths"].items() for method in item}
    assert told == {(e.method, e.path) for e in EXPOSED} - NOT_DESCRIBED


def test_every_reference_leads_somewhere(described):
    text = json.dumps(described())
    names = {part.split('"')[0] for part in text.split('"#/components/schemas/')[1:]}
    assert names == set(described()["components"]["schemas"])


def records(described):
    path = described()["paths"]["/invocations"]["post"]
    return path["requestBody"]["content"]["application/json"]["schema"]["properties"]["dataframe_records"]["items"]


def test_a_row_has_the_live_models_features(described, plane):
    row = {
        "miles": {"type": ["number", "boolean", "null"], "description": "in miles"},
        "zone": {"type": ["string", "null"]},
    }
    assert records(described)["properties"] == row
    assert records(described)["required"] == ["miles", "zone"]
    plane.put("tips", Picture(alone(NEW), {NEW: model(NEW, 1.0)}, 1))
    assert len(records(described)["anyOf"]) == 2
    plane._pictures = dict.fromkeys(plane.pipelines)
    assert records(described) == {}


def test_several_pipelines_are_to_be_named_one_is_not(described, plane):
    def query():
        [parameter] = [p for p in described()["paths"]["/score"]["post"]["parameters"] if p["in"] == "query"]
        return parameter["required"], parameter["schema"]["enum"]

    assert query() == (True, ["rides", "tips"])
    plane.pipelines = ("rides",)
    assert query() == (False, ["rides"])
