"""Who serves the model: how each is set up and started as its documentation says, what it is asked, how it answers.

Each has one worker and its access log off, and is asked in the cheapest of the forms that it documents for one row.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.measure import BENCH_MLSERVER_PYTHON, BENCH_SERVING_PYTHON
from benchmarks.serving_data import DATA, SHADOWED
from benchmarks.serving_files import FEATURES, MODEL, MODEL_DIR, TEXT

REPOSITORY = Path(__file__).resolve().parents[1]
BESIDE = Path(sys.executable).parent
OURS, OURS_INVOCATIONS = "ml_assets, /v2/…/infer", "ml_assets, /invocations"
MLFLOW, MLSERVER, BENTOML, KSERVE = "MLflow's scoring server", "MLServer", "BentoML", "KServe's Python server"
EMPTY, BARE = "empty handler, Starlette's route", "empty handler, bare ASGI"
FLOOR = "floor: bare ASGI, LightGBM's call for one row"
INFER = f"/v2/models/{MODEL}/infer"


@dataclass(frozen=True)
class Contender:
    """A server.

    Args:
        command: from a port to the command that starts it.
        path: what is asked.
        body: from a row's numbers to the request's JSON.
        answer: keys and indices that lead to the prediction in the answer's JSON; None: there is no prediction.
        env: of its process.
        prepare: sets its files up in its folder; called once.
        cwd: from its folder to where it is started.
    """

    command: Callable[[Path, int], Sequence[str]]
    path: str
    body: Callable[[Sequence[float]], Any]
    answer: tuple[str | int, ...] | None
    env: Callable[[Path], Mapping[str, str]] = field(default=lambda _: {})
    prepare: Callable[[Path], None] = field(default=lambda _: None)

    def request(self, row: Sequence[float]) -> str:
        """One whole HTTP request."""
        body = json.dumps(self.body(row), separators=(",", ":"))
        head = f"POST {self.path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
        return f"{head}content-length: {len(body)}\r\n\r\n{body}"


def tensor(row: Sequence[float]) -> Any:
    """A row in the Open Inference Protocol, as one tensor."""
    return {"inputs": [{"name": "x", "shape": [1, len(row)], "datatype": "FP64", "data": list(row)}]}


def named(row: Sequence[float]) -> Any:
    """A row in the Open Inference Protocol, a tensor for each feature."""
    told = ({"name": n, "shape": [1], "datatype": "FP64", "data": [v]} for n, v in zip(FEATURES, row, strict=True))
    return {"inputs": list(told)}


def split(row: Sequence[float]) -> Any:
    """A row in MLflow's form."""
    return {"dataframe_split": {"columns": list(FEATURES), "data": [list(row)]}}


def _ours(_: Path, port: int) -> Sequence[str]:
    return [str(BESIDE / "ml-assets"), "serve", "--pipeline", MODEL, "--port", str(port)]


def _our_data(folder: Path) -> Mapping[str, str]:
    return {"ML_ASSETS_DATA": str(folder / DATA)}


def _mlflow_model(folder: Path) -> None:
    import lightgbm as lgb
    import mlflow.lightgbm

    mlflow.lightgbm.save_model(lgb.Booster(model_file=folder / TEXT), str(folder / "mlflow"))


def _mlserver_settings(folder: Path) -> None:
    where = folder / "mlserver"
    where.mkdir()
    (where / TEXT).symlink_to(folder / TEXT)
    told = {"name": MODEL, "implementation": "mlserver_lightgbm.LightGBMModel", "parameters": {"uri": f"./{TEXT}"}}
    (where / "model-settings.json").write_text(json.dumps(told))


def _mlserver(folder: Path, port: int) -> Sequence[str]:
    # Its settings are read from there when it starts; `debug` is what switches its access log.
    settings = {
        "debug": False, "host": "127.0.0.1", "http_port": port, "grpc_port": port + 1, "metrics_port": port + 2,
        "parallel_workers": 0,
    }  # fmt: skip
    (folder / "mlserver/settings.json").write_text(json.dumps(settings))
    return [str((REPOSITORY / BENCH_MLSERVER_PYTHON).with_name("mlserver")), "start", str(folder / "mlserver")]


def _bento_store(folder: Path) -> None:
    command = [str(REPOSITORY / BENCH_SERVING_PYTHON), "-m", "benchmarks.contenders.bento_lightgbm"]
    subprocess.run(command, env={**os.environ, **_bento_env(folder)}, check=True, cwd=REPOSITORY, stdout=sys.stderr)


def _bento_env(folder: Path) -> Mapping[str, str]:
    return {"BENTOML_HOME": str(folder / "bento"), "BENTOML_DO_NOT_TRACK": "True", MODEL_DIR: str(folder)}


SHADOWING = Contender(
    _ours, INFER, tensor, ("outputs", 0, "data", 0), env=lambda folder: {"ML_ASSETS_DATA": str(folder / SHADOWED)}
)
"""Ours with a second model that is scored beside."""
CONTENDERS = {
    OURS: Contender(_ours, INFER, tensor, ("outputs", 0, "data", 0), env=_our_data),
    OURS_INVOCATIONS: Contender(_ours, "/invocations", split, ("predictions", 0), env=_our_data),
    MLFLOW: Contender(
        lambda folder, port: [
            str(BESIDE / "mlflow"), "models", "serve", "--model-uri", str(folder / "mlflow"), "--host", "127.0.0.1",
            "--port", str(port), "--workers", "1", "--env-manager", "local",
        ],
        "/invocations",
        split,
        ("predictions", 0),
        # It starts `uvicorn` from the path, which takes its options from the environment, too.
        env=lambda _: {"UVICORN_ACCESS_LOG": "false", "PATH": f"{BESIDE}{os.pathsep}{os.environ['PATH']}"},
        prepare=_mlflow_model,
    ),
    MLSERVER: Contender(_mlserver, INFER, tensor, ("outputs", 0, "data", 0), prepare=_mlserver_settings),
    BENTOML: Contender(
        lambda _, port: [
            str(REPOSITORY / BENCH_SERVING_PYTHON), "-m", "bentoml", "serve",
            "benchmarks.contenders.bento_lightgbm:Served", "--host", "127.0.0.1", "--port", str(port),
        ],
        "/predict",
        lambda row: {"rows": [list(row)]},
        (0,),
        env=_bento_env,
        prepare=_bento_store,
    ),
    KSERVE: Contender(
        lambda _, port: [
            str(REPOSITORY / BENCH_SERVING_PYTHON), "-m", "benchmarks.contenders.kserve_lightgbm", "--http_port",
            str(port), "--enable_grpc", "false", "--enable_latency_logging", "false", "--configure_logging", "false",
        ],
        INFER,
        tensor,
        ("outputs", 0, "data", 0),
        env=lambda folder: {MODEL_DIR: str(folder)},
    ),
    EMPTY: Contender(
        lambda _, port: [sys.executable, "-m", "benchmarks.contenders.empty_asgi", "starlette", "--port", str(port)],
        "/infer",
        tensor,
        None,
    ),
    FLOOR: Contender(
        lambda _, port: [sys.executable, "-m", "benchmarks.contenders.floor_asgi", "--port", str(port)],
        "/infer",
        tensor,
        ("outputs", 0, "data", 0),
        env=lambda folder: {MODEL_DIR: str(folder)},
    ),
    BARE: Contender(
        lambda _, port: [sys.executable, "-m", "benchmarks.contenders.empty_asgi", "bare", "--port", str(port)],
        "/infer",
        tensor,
        None,
    ),
}  # fmt: skip
