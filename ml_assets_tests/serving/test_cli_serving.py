"""`ml-assets serve`: every option reaches the server, and what can't be served is refused with the cure."""

import socket

import pytest
from click.testing import CliRunner

from ml_assets.cli import main
from ml_assets.core.errors import ConfigError
from ml_assets.resources.ledger_database import LedgerDatabase
from ml_assets.serving import building, server
from ml_assets.serving.building import Options
from ml_assets.serving.limits import Limits


@pytest.fixture
def data(tmp_path, monkeypatch):
    for name in ("ML_ASSETS_MODELS", "ML_ASSETS_LEDGER", "ML_ASSETS_PREDICTIONS", "AIP_HTTP_PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ML_ASSETS_DATA", str(tmp_path))
    return tmp_path


@pytest.fixture
def serve(data, monkeypatch):
    """The options that a command line gives the server."""

    def run(*arguments: str) -> Options:
        asked = []
        monkeypatch.setattr(server, "serve", asked.append)
        done = CliRunner().invoke(main, ["serve", *arguments], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return asked[0]

    return run


def test_what_nobody_says(serve, data):
    asked = serve("--pipeline", "rides")
    assert asked.pipelines == ("rides",)
    assert (asked.host, asked.port, asked.grpc_port, asked.workers) == ("127.0.0.1", 8080, None, 1)
    assert (asked.models, asked.predictions) == (str(data / "models"), str(data / "predictions"))
    assert asked.ledger == f"sqlite:///{data / 'ledger.db'}"
    assert asked.local == data / "serving"
    assert asked.limits == Limits()
    assert (asked.as_json, asked.traces) == (False, False)


@pytest.mark.parametrize(
    ("arguments", "option", "value"),
    [(("--host", "0.0.0.0"), "host", "0.0.0.0"), (("--port", "81"), "port", 81),
     (("--grpc-port", "82"), "grpc_port", 82), (("--workers", "3"), "workers", 3),
     (("--drain-seconds", "7"), "drain_seconds", 7.0), (("--no-log",), "predictions", None),
     (("--json",), "as_json", True), (("--traces",), "traces", True), (("--max-rows", "5"), "limits", Limits(rows=5)),
     (("--max-bytes", "6"), "limits", Limits(body_bytes=6)), (("--pipeline", "tips"), "pipelines", ("rides", "tips"))],
    ids=str,
)  # fmt: skip
def test_every_option_reaches_the_server(serve, arguments, option, value):
    assert getattr(serve("--pipeline", "rides", *arguments), option) == value


def test_vertex_says_its_port(serve, monkeypatch):
    monkeypatch.setenv("AIP_HTTP_PORT", "9999")
    monkeypatch.setenv("AIP_PREDICT_ROUTE", "/v1/predict")
    asked = serve("--pipeline", "rides")
    assert asked.port == 9999
    assert dict(asked.environment) == {"AIP_HTTP_PORT": "9999", "AIP_PREDICT_ROUTE": "/v1/predict"}
    assert serve("--pipeline", "rides", "--port", "80").port == 80


def test_without_names_all_of_the_ledger_are_served(serve, data):
    ledger = LedgerDatabase(f"sqlite:///{data / 'ledger.db'}")
    for pipeline in ("tips", "rides"):
        ledger.append(pipeline, "asked", {"by": "x", "why": "y"}, after=0)
    assert serve().pipelines == ("rides", "tips")


def test_without_names_and_without_a_ledger_the_cure_is_told(data):
    done = CliRunner().invoke(main, ["serve"])
    assert done.exit_code == 1
    assert "cure:" in done.output


def options(data, **more) -> Options:
    told = {"pipelines": ("rides",), "models": str(data / "models"), "ledger": f"sqlite:///{data / 'l.db'}"}
    return Options(**{**told, "local": data / "serving", **more})


def test_a_port_that_is_taken_is_told(data):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(ConfigError, match=f"127.0.0.1:{port}: Address already in use"):
            server._listening(options(data, port=port))
    with pytest.raises(ConfigError, match="an address of this machine"):
        server._listening(options(data, host="192.0.2.1"))
    with server._listening(options(data, port=0)) as found:
        assert found.getsockname()[0] == "127.0.0.1"


@pytest.mark.parametrize("logged", [True, False])
def test_answers_are_logged_where_that_is_asked_for(data, logged):
    built = building.build(options(data, predictions=str(data / "predictions") if logged else None))
    assert any("recording" in getattr(h, "__qualname__", "") for h in built.plane.hooks) == logged
    built.watcher.stop()
