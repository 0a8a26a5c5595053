"""Puts a server together: data plane, hooks, watcher, log, application. What runs it is in `server`."""

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ml_assets.core.errors import ConfigError
from ml_assets.resources.ledger_database import LedgerDatabase
from ml_assets.resources.model_folder import ModelFolder
from ml_assets.serving.app import App
from ml_assets.serving.breaker import Breaker
from ml_assets.serving.data_plane import DataPlane, Hook
from ml_assets.serving.exposing import exposed
from ml_assets.serving.limits import Limits
from ml_assets.serving.loading import Loader
from ml_assets.serving.metrics import Metrics
from ml_assets.serving.recording import recording, tell_of
from ml_assets.serving.shadowing import Shadowing
from ml_assets.serving.shadows.child import Child
from ml_assets.serving.shadows.messages import Beside, Plan
from ml_assets.serving.watching import Watcher

if TYPE_CHECKING:
    from ml_assets.core.raw_fields import RawFields
    from ml_assets.serving.protocols.plain import Plain

FIRST_LOOK_SECONDS = 60.0
GRPC_GRACE_SECONDS = 5.0
LEDGER_WAIT_SECONDS = 2.0
"""How long a look waits for a locked ledger, or a database that does not answer: the next look is soon."""

logger = logging.getLogger("ml_assets.serving")


@dataclass(frozen=True)
class Options:
    """What a server is asked to be.

    Args:
        pipelines: names of those it answers for.
        models: root of the bundles.
        ledger: its SQLAlchemy URL.
        local: a folder of this machine, for what the server itself remembers.
        predictions: root of the prediction log; None: nothing is logged.
        host: address it listens at.
        port: of HTTP; 0 takes any that is free.
        grpc_port: of gRPC; None: none.
        workers: processes that share the port.
        drain_seconds: how long it goes on answering after a SIGTERM, while it says that it is not ready.
        as_json: whether its own log is JSON.
        traces: whether requests are traced.
        limits: what one request may take.
        environment: what a platform says of itself in environment variables, see `protocols.vertex`.
        store: root of the stored partitions, which history features look back on.
        raw_fields: tells of a pipeline what its requests with raw fields depend on; None: there are no such requests.
    """

    pipelines: tuple[str, ...]
    models: str
    ledger: str
    local: Path
    predictions: str | None = None
    host: str = "127.0.0.1"
    port: int = 8080
    grpc_port: int | None = None
    workers: int = 1
    drain_seconds: float = 3.0
    as_json: bool = False
    traces: bool = False
    limits: Limits = field(default_factory=Limits)
    environment: tuple[tuple[str, str], ...] = ()
    store: str | None = None
    raw_fields: "Callable[[str], RawFields] | None" = None


@dataclass(frozen=True)
class Built:
    """A server that is put together, and not running yet.

    Args:
        app: the ASGI application; its lifespan starts and ends everything else.
        plane: what answers.
        watcher: follows the ledger.
        metrics: what is counted.
    """

    app: Any
    plane: DataPlane
    watcher: Watcher
    metrics: Metrics


def build(options: Options, hooks: Sequence[Hook] = ()) -> Built:
    """Put a server together.

    Args:
        options: what it is asked to be.
        hooks: what else is told of each scoring, after metrics and log.

    Raises:
        ConfigError: something that is asked for is not installed.
    """
    metrics, logs = Metrics(), _logs(options)
    told: list[Hook] = [metrics.served, *hooks]
    if logs:
        told.append(recording(logs))
    plane = DataPlane(options.pipelines, told)
    loader = Loader(ModelFolder(options.models), options.local / "tried")
    ledger = LedgerDatabase(options.ledger, LEDGER_WAIT_SECONDS)
    watcher = Watcher(plane, ledger, loader, metrics)
    breaker = Breaker(plane, ledger, f"breaker of {socket.gethostname()}, process {os.getpid()}")
    shadowing = Shadowing(plane, logs, partial(_beside, options))
    plane.beside = (breaker.served, shadowing.served)
    tell_of(logs, metrics, shadowing.entries)
    metrics.on_refresh(breaker.tell)
    metrics.on_refresh(shadowing.tell)
    plain = plain_of(options)
    if plain is not None:
        metrics.on_refresh(plain.tell)

    @asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[None]:
        if plain is not None:
            await asyncio.to_thread(plain.start)
        await asyncio.to_thread(watcher.first_look, FIRST_LOOK_SECONDS)
        watcher.start()
        breaker.start()
        shadowing.start()
        grpc = await _grpc(plane, options, metrics)
        logger.info("serving", extra={"pipelines": list(options.pipelines), "port": options.port})
        yield
        if grpc is not None:
            await grpc.stop(GRPC_GRACE_SECONDS)
        if plain is not None:
            await asyncio.to_thread(plain.close)
        await asyncio.to_thread(watcher.stop)
        await asyncio.to_thread(breaker.stop)
        await asyncio.to_thread(shadowing.stop)
        for log in logs.values():
            await asyncio.to_thread(log.close)

    paths = exposed(dict(options.environment), plain, logs or None)
    app: Any = App(plane, paths, metrics=metrics, limits=options.limits, lifespan=lifespan)
    if options.traces:
        from ml_assets.serving.tracing import Traced

        app = Traced(app)
    return Built(app, plane, watcher, metrics)


def plain_of(options: Options) -> "Plain | None":
    """What answers requests with raw fields, for the pipelines whose fields are known here; None where none are.

    A pipeline that is served from elsewhere, without its folder, is answered by the protocols that take features.
    """
    if options.raw_fields is None or options.store is None:
        return None
    from ml_assets.resources.partition_folder import PartitionFolder
    from ml_assets.serving.history_snapshot import HistoryKeeper
    from ml_assets.serving.protocols.plain import Plain

    known = {}
    for pipeline in options.pipelines:
        try:
            known[pipeline] = options.raw_fields(pipeline)
        except ConfigError as e:
            logger.warning("no requests with raw fields", extra={"pipeline": pipeline, "why": str(e)})
    keepers = {name: HistoryKeeper(one, PartitionFolder(options.store, one.table)) for name, one in known.items()}
    return Plain(known, keepers) if known else None


def _logs(options: Options) -> dict[str, Any]:
    if options.predictions is None:
        return {}
    from ml_assets.serving.prediction_log import PredictionLog

    return {pipeline: PredictionLog(options.predictions, pipeline) for pipeline in options.pipelines}


def _beside(options: Options, beside: Beside) -> Child:
    # Nothing is scored beside where nothing is logged.
    predictions, shadows, timed = cast("str", options.predictions), sorted(beside.shadows), sorted(beside.timed)
    models, local = options.models, str(options.local)
    return Child(Plan(models, local, predictions, tuple(shadows), options.as_json, tuple(timed)))


async def _grpc(plane: DataPlane, options: Options, metrics: Metrics) -> Any:
    if options.grpc_port is None:
        return None
    from ml_assets.serving.protocols import grpc_server

    return await grpc_server.start(
        plane, options.host, options.grpc_port, options.limits, shared=options.workers > 1, answered=metrics.answered
    )


def served_pipelines(ledger: LedgerDatabase, asked_for: Sequence[str]) -> tuple[str, ...]:
    """The pipelines that are asked for, or else all that the ledger knows.

    Raises:
        ConfigError: nothing is asked for, and the ledger knows none.
        LedgerError: nothing is asked for, and the ledger can't be read.
    """
    found = tuple(dict.fromkeys(asked_for)) or tuple(sorted(ledger.last_sequences()))
    if not found:
        raise ConfigError(
            "ml-assets serve", found="a ledger without any pipeline", expected="a released model, or --pipeline",
            cure="release a model first, or name the pipelines that will have one",
        )  # fmt: skip
    return found
