"""A running server with a small model, and clients that ask it from environments of their own."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from types import SimpleNamespace

import pytest

from ml_assets.resources.ledger import Ledger
from ml_assets.resources.models import Models
from ml_assets.resources.sources.simulated import write_tlc_files
from ml_assets.served import raw_fields_of
from ml_assets_tests.conftest import REPOSITORY
from ml_assets_tests.serving.running import free_port, until
from ml_assets_tests.serving.trips import Stored, bundle_of

SCRIPTS = REPOSITORY / "ml_assets_tests/clients"
PIPELINE, MONTHS, ROWS = "trip_duration", ("2019-01", "2019-02"), 200
RELEASE = {"as_of": "2018-03", "as_of_end": "2018-04-01T00:00:00", "scores_from": "2018-04-01T00:00:00"}
ROUTES = {"AIP_PREDICT_ROUTE": "/v1/endpoints/1/deployedModels/2:predict", "AIP_HEALTH_ROUTE": "/v1/endpoints/1"}
START_SECONDS = 60


def answers(url: str) -> bool:
    with urllib.request.urlopen(url, timeout=2) as answer:
        return answer.status == 200


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """The data folder of a server, with trips of two months in its store."""
    data = tmp_path_factory.mktemp("data")
    return Stored(data / "store", write_tlc_files(data, MONTHS, 3000, 0))


@pytest.fixture(scope="module")
def bundle(stored):
    fields = raw_fields_of(PIPELINE)
    return bundle_of(fields, stored.features(fields, MONTHS[0]))


@pytest.fixture(scope="module")
def frame(stored, bundle):
    """Features of rows that the bundle has not seen."""
    return bundle.feature_frame(stored.features(raw_fields_of(PIPELINE), MONTHS[1])).head(ROWS)


@pytest.fixture(scope="module")
def predicted(bundle, frame):
    return bundle.predict(frame).tolist()


@pytest.fixture(scope="module")
def server(stored, bundle):
    """`ml-assets serve` of one pipeline, whose live model is the bundle, started as Vertex AI would start it."""
    data = stored.root.parent
    Models(root=str(data / "models")).save(bundle)
    Ledger(url=f"sqlite:///{data / 'ledger.db'}").append(
        PIPELINE, "released", {"bundle": bundle.sha256, **RELEASE, "by": "a test", "reason": "to be asked"}, after=0
    )
    port, grpc_port = free_port(), free_port()
    asked = ["serve", "--data", str(data), "--grpc-port", str(grpc_port), "--drain-seconds", "0"]
    aip = {**ROUTES, "AIP_HTTP_PORT": str(port)}
    with (data / "log").open("w") as log:
        command = [sys.executable, "-m", "ml_assets.cli", *asked]
        process = subprocess.Popen(command, stderr=log, env={**os.environ, **aip})
    url = f"http://127.0.0.1:{port}"
    try:
        until(lambda: process.poll() is not None or answers(f"{url}/v2/health/ready"), START_SECONDS)
        assert process.poll() is None, (data / "log").read_text()
        yield SimpleNamespace(url=url, grpc=f"127.0.0.1:{grpc_port}", port=port, aip=aip, data=data)
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0, (data / "log").read_text()


def run_client(environment: str, script: str, asked: dict) -> dict:
    """What a script of `clients` was told, in an environment beside ours."""
    if not (REPOSITORY / environment).exists():
        pytest.skip(f"no {environment} here; `make slow` sets it up")
    told = subprocess.run(
        [REPOSITORY / environment / "bin/python", SCRIPTS / f"{script}.py"], input=json.dumps(asked),
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert told.returncode == 0, told.stderr
    return json.loads(told.stdout)


def require_predictions(told: dict, predicted: list[float], ways: int) -> None:
    assert len(told["predictions"]) == ways
    for way, found in told["predictions"].items():
        assert found == predicted, way
