"""Clients that nobody here wrote ask a running server; they are told what the bundle predicts, to the bit."""

import json
import math
import re
import subprocess
import urllib.request

import pytest

from ml_assets_tests.conftest import REPOSITORY
from ml_assets_tests.serving.protocols.conftest import PIPELINE, ROWS, SCRIPTS, require_predictions, run_client

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:.*Any type hint is inferred as AnyType:UserWarning"),  # mlflow 3, of itself
]


@pytest.fixture
def asked(bundle, server, frame):
    """What the scripts of `clients` read; for a missing category, which no tensor can say, one that no model knows."""
    kinds = {spec.name: spec.kind for spec in bundle.specs}
    columns = frame.to_dict(as_series=False)
    numbers = {n: [math.nan if v is None else v for v in c] for n, c in columns.items() if kinds[n] == "number"}
    categories = {n: [v or "" for v in c] for n, c in columns.items() if kinds[n] == "category"}
    return {
        "url": server.url, "model": PIPELINE, "version": bundle.sha256[:12], "numbers": numbers,
        "categories": categories,
    }  # fmt: skip


@pytest.fixture
def run(asked):
    return lambda script, **changed: run_client(".venv-clients", script, {**asked, **changed})


def require_refused(told: dict, status: str) -> None:
    assert told["refused"][0] == status
    assert re.search(r"column \w+ is missing", told["refused"][1])


def test_some_numbers_are_missing_and_the_model_tells_rows_apart(asked, predicted):
    assert any(math.isnan(v) for values in asked["numbers"].values() for v in values)
    assert len(asked["categories"]) > 1
    assert len(set(predicted)) > ROWS / 4


def test_triton_over_rest(run, predicted, bundle):
    told = run("triton_http")
    assert (told["live"], told["ready"], told["model_ready"], told["other_ready"]) == (True, True, True, False)
    assert told["server"]["name"] == "ml-assets"
    assert [t["name"] for t in told["metadata"]["inputs"]] == [s.name for s in bundle.specs]
    assert told["answer"]["model_version"] == bundle.sha256
    require_predictions(told, predicted, ways=5)
    require_refused(told, "400")


def test_triton_over_grpc(run, predicted, server, bundle):
    told = run("triton_grpc", url=server.grpc)
    assert (told["live"], told["ready"], told["model_ready"]) == (True, True, True)
    assert told["metadata"]["versions"] == [bundle.sha256]
    assert (told["answer"]["id"], told["answer"]["model_version"]) == ("r1", bundle.sha256)
    require_predictions(told, predicted, ways=2)
    require_refused(told, "StatusCode.INVALID_ARGUMENT")
    with urllib.request.urlopen(f"{server.url}/metrics") as metrics:
        counted = metrics.read().decode()
    assert 'ml_assets_requests_total{protocol="open_inference_grpc",status="400"} 1.0' in counted


def test_kserve_over_rest(run, predicted, bundle):
    told = run("kserve_rest")
    assert (told["live"], told["ready"], told["model_ready"], told["other_ready"]) == (True, True, True, False)
    assert (told["id"], told["version"]) == ("r1", bundle.sha256)
    require_predictions(told, predicted, ways=2)
    require_refused(told, "400")


def test_kserve_over_grpc(run, predicted, server):
    told = run("kserve_grpc", url=server.grpc)
    assert (told["live"], told["ready"], told["model_ready"], told["id"]) == (True, True, True, "r1")
    require_predictions(told, predicted, ways=2)
    require_refused(told, "StatusCode.INVALID_ARGUMENT")


def test_mlflows_client(server, predicted, frame, bundle):
    from mlflow.pyfunc.scoring_server.client import ScoringServerClient

    client = ScoringServerClient("127.0.0.1", server.port)
    client.wait_server_ready(timeout=10)
    assert client.get_version().count(".") == 2
    rows = frame.to_pandas()
    assert client.invoke(rows)["predictions"] == predicted
    assert client.invoke(rows, params={"temperature": 1.0})["predictions"] == predicted
    assert client.invoke([list(row) for row in frame.iter_rows()])["predictions"] == predicted
    assert client.invoke(frame.to_dicts())["predictions"] == predicted
    assert client.invoke(rows).get_predictions(dtype="float64")[0].tolist() == predicted
    first = bundle.specs[0].name
    with pytest.raises(Exception, match=rf"error code 400.*column {first} is missing"):
        client.invoke(rows.drop(columns=first))


def test_every_example_of_the_description_is_answered(server):
    with urllib.request.urlopen(f"{server.url}/openapi.json") as described:
        paths = json.load(described)["paths"]
    asked = []
    for path, item in paths.items():
        told = item.get("post", {})
        example = told.get("requestBody", {}).get("content", {}).get("application/json", {}).get("example")
        if example is not None:
            named = {p["name"]: p["example"] for p in told["parameters"] if p["in"] == "path"}
            asked.append(urllib.request.Request(server.url + path.format(**named), json.dumps(example).encode()))
    assert len(asked) >= 2
    for one in asked:
        with urllib.request.urlopen(one) as answer:
            assert json.load(answer)["outputs"][0]["shape"] == [1]


CLIENTS = REPOSITORY / ".venv-clients"


def test_schemathesis_finds_no_difference_from_the_description(server, tmp_path):
    if not CLIENTS.exists():
        pytest.skip("no .venv-clients here; `make slow` sets it up")
    told = subprocess.run(
        [CLIENTS / "bin/schemathesis", "--config-file", SCRIPTS / "schemathesis.toml", "run",
         f"{server.url}/openapi.json", "--max-examples", "8", "--seed", "1", "--no-color", "--no-shrink"],
        capture_output=True, text=True, check=False, timeout=240, cwd=tmp_path,
    )  # fmt: skip
    assert told.returncode == 0, told.stdout[-5000:]
    # Nothing is warned of either: rows that fit the description are scored.
    assert "POST /invocations" not in told.stdout, told.stdout[-5000:]
    with urllib.request.urlopen(f"{server.url}/openapi.json") as described:
        operations = sum(len(item) for item in json.load(described)["paths"].values())
    assert f"{operations} selected / {operations} total" in told.stdout
