"""What a batch transform is told to send is never refused for its size."""

import json

import pytest

from ml_assets.serving.app import App
from ml_assets.serving.exposing import exposed
from ml_assets.serving.limits import Limits
from ml_assets.serving.picture import Picture
from ml_assets.serving.protocols.sagemaker_batch import MB, PATH, parameters
from ml_assets_tests.serving.conftest import OLD, alone, model


@pytest.fixture
def two(plane):
    plane.put("tips", Picture(alone(OLD), {OLD: model(OLD, 100.0)}, 1))
    return plane


def test_the_answer_has_the_names_that_sagemaker_reads(two, asgi):
    answer = asgi(App(two, exposed({})))("GET", PATH)
    assert answer.status == 200
    assert json.loads(answer.body) == {
        "MaxConcurrentTransforms": 11, "BatchStrategy": "SINGLE_RECORD", "MaxPayloadInMB": 9,
    }  # fmt: skip


def test_it_follows_the_servers_limits(two, asgi):
    wide = Limits(rows=3_000_000, body_bytes=20 * MB, all_bodies_bytes=12 * MB)
    told = json.loads(asgi(App(two, exposed({}), limits=wide))("GET", PATH).body)
    assert told == {"MaxConcurrentTransforms": 2, "BatchStrategy": "MULTI_RECORD", "MaxPayloadInMB": 5}


@pytest.mark.parametrize("features", [1, 13, 104, 105, 400, 10_000])
@pytest.mark.parametrize("limits", [Limits(), Limits(rows=100_000), Limits(body_bytes=40 * MB)])
def test_as_much_as_is_told_is_taken(limits, features):
    told = parameters(limits, features)
    assert told.most_at_once * told.payload_mb <= 100, "SageMaker asks for that"
    assert told.payload_mb * MB <= limits.body_bytes
    assert told.most_at_once * told.payload_mb * MB <= limits.all_bodies_bytes
    if told.strategy == "MULTI_RECORD":
        assert told.payload_mb * MB / features <= limits.rows, "also of the shortest lines"
    else:
        assert MB / features > limits.rows, "one megabyte of them is too many"


def test_before_a_model_is_loaded_it_is_not_there(two, asgi):
    two._pictures["tips"] = None
    answer = asgi(App(two, exposed({})))("GET", PATH)
    assert (answer.status, json.loads(answer.body)["error_code"]) == (503, "TEMPORARILY_UNAVAILABLE")
