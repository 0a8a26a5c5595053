"""SDKs of SageMaker, Vertex AI and Azure ML ask a running server as they ask a container that they started.

Each does so in its local mode; what stands in for Docker is in its script. They are told what the bundle predicts, to
the bit. None of them asks for what Azure ML's probes do.
"""

import json
import re
import urllib.request

import polars as pl
import pytest

from ml_assets.resources.prediction_log import PredictionLogs
from ml_assets_tests.serving.protocols.conftest import PIPELINE, ROWS, require_predictions, run_client
from ml_assets_tests.serving.running import until

pytestmark = pytest.mark.slow

SHORT = r"(?s)row 0: 12 values.*expected: 13"


@pytest.fixture(scope="module")
def rows(frame):
    """Rows of which the first has no vendor: a category that is missing."""
    return frame.with_columns(vendor=pl.when(pl.int_range(pl.len()) > 0).then("vendor"))


@pytest.fixture(scope="module")
def predicted(bundle, rows):
    return bundle.predict(rows).tolist()


@pytest.fixture
def run(rows, server, tmp_path):
    asked = {"port": server.port, "columns": rows.to_dict(as_series=False), "scratch": str(tmp_path)}
    return lambda script, **more: run_client(".venv-clients-hosted", script, {**asked, **more})


def logged_unit(server, request_id: str) -> str:
    """The unit of a request, as soon as the server's log has it."""
    logs = PredictionLogs(root=str(server.data / "predictions"))
    found = until(lambda: logs.rows(PIPELINE, "requests").filter(request_id=request_id).to_dicts(), 10, every=0.2)
    return found[0]["unit"]


def require_counted(server, protocol: str) -> None:
    """Answers and refusals were counted as this protocol's: its own handler gave them."""
    with urllib.request.urlopen(f"{server.url}/metrics") as metrics:
        counted = metrics.read().decode()
    for status in (200, 400):
        assert f'ml_assets_requests_total{{protocol="{protocol}",status="{status}"}}' in counted


def test_some_values_of_both_kinds_are_missing_and_the_model_tells_rows_apart(rows, bundle, predicted):
    assert {s.kind for s in bundle.specs if rows[s.name].has_nulls()} == {"category", "number"}
    assert len(set(predicted)) > ROWS / 4


def test_sagemakers_sdk(run, server, predicted, bundle):
    told = run("sagemaker_local")
    assert told["status"] == "InService"
    require_predictions(told, predicted, ways=5)
    assert set(told["lines"]) == {"rows", "a frame", "transformed"}
    for way, lines in told["lines"].items():
        assert [[float(text) for text in line] for line in lines] == [[one] for one in predicted], way

    status, body, headers = told["identified"]
    assert (status, json.loads(body)) == (200, {"predictions": predicted[:1]})
    assert (headers["x-request-id"], headers["x-model-version"]) == ("r42", bundle.sha256)
    assert logged_unit(server, "r42") == "rider-7"

    assert told["elsewhere"][0] == 404
    assert told["refused"][0] == 400
    assert re.search(SHORT, json.loads(told["refused"][1])["message"])
    assert told["nameless"][0] == 400
    assert "text/csv; header=absent" in json.loads(told["nameless"][1])["message"]
    require_counted(server, "mlflow_scoring")


def test_vertex_ais_sdk(run, server, predicted):
    told = run("vertex_ai", predict=server.aip["AIP_PREDICT_ROUTE"], health=server.aip["AIP_HEALTH_ROUTE"])
    started = {name: str(value) for name, value in told["environment"].items()}
    assert started.items() >= server.aip.items(), "the server runs as the SDK would have had it started"
    assert told["healthy"] == [200, True]
    require_predictions(told, predicted, ways=6)
    assert logged_unit(server, told["identified"]) == "rider-8"
    assert told["refused"][0] == 400
    assert re.search(SHORT, told["refused"][1])
    assert re.search("400 - Failed.*unknown field `temperature`", told["refused_private"])
    require_counted(server, "vertex")


def test_azure_mls_sdk(run, server, predicted):
    told = run("azure_ml")
    assert told["endpoint"] == [f"http://localhost:{server.port}/score", "Succeeded"]
    require_predictions(told, predicted, ways=6)
    assert re.search(SHORT, json.dumps(told["refused"]))
    require_counted(server, "azure")
