"""The gRPC server: calls to the functions of `open_inference_grpc`, refusals to statuses, start and graceful stop.

It runs in the event loop of the HTTP server and shares its data plane and its limits.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import grpc

from ml_assets.core.errors import ConfigError, RequestRefused
from ml_assets.serving.data_plane import DataPlane
from ml_assets.serving.head import Head
from ml_assets.serving.http import infer
from ml_assets.serving.limits import Limits
from ml_assets.serving.protocols import open_inference_grpc as calls
from ml_assets.serving.protocols import open_inference_pb2 as pb

PROTOCOL = "open_inference_grpc"

STATUSES = {
    404: grpc.StatusCode.NOT_FOUND,
    408: grpc.StatusCode.DEADLINE_EXCEEDED,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    500: grpc.StatusCode.INTERNAL,
    503: grpc.StatusCode.UNAVAILABLE,
}
"""HTTP's status of what went wrong -> gRPC's; of any other it is INVALID_ARGUMENT."""

PLAIN: dict[str, tuple[Callable[[Any, DataPlane], Any], Any]] = {
    "ServerLive": (calls.server_live, pb.ServerLiveRequest),
    "ServerReady": (calls.server_ready, pb.ServerReadyRequest),
    "ModelReady": (calls.model_ready, pb.ModelReadyRequest),
    "ServerMetadata": (calls.server_metadata, pb.ServerMetadataRequest),
    "ModelMetadata": (calls.model_metadata, pb.ModelMetadataRequest),
}
"""Call -> what answers it, and the message that asks; ModelInfer is told more than these."""

Context = Any
"""A call's `grpc.aio.ServicerContext`."""
Handler = Callable[[Any, Context], Awaitable[Any]]
Answered = Callable[[str, int, float], None]
"""Told of the protocol, of what would be HTTP's status (499: the client went away), and of the seconds taken."""

logger = logging.getLogger("ml_assets.serving")


@dataclass(frozen=True)
class GrpcServer:
    """A server that answers.

    Args:
        port: that it listens at.
        server: the library's.
    """

    port: int
    server: Any

    async def stop(self, seconds: float) -> None:
        """Take no more calls, and let those under way end, for so many seconds at most."""
        await self.server.stop(seconds)


async def start(
    plane: DataPlane, host: str, port: int, limits: Limits, *, shared: bool = False, answered: Answered | None = None
) -> GrpcServer:
    """Listen and answer.

    Args:
        plane: what answers.
        host: address to listen at.
        port: 0 takes any that is free.
        limits: what one request may take.
        shared: other processes listen at the same port.
        answered: told of each call.

    Raises:
        ConfigError: the port is taken.
    """
    options = [("grpc.max_receive_message_length", limits.body_bytes), ("grpc.so_reuseport", int(shared))]
    server = grpc.aio.server(options=options)
    handlers = {
        name: grpc.unary_unary_rpc_method_handler(
            _guarded(handle, answered), request_deserializer=message.FromString, response_serializer=_serialized
        )
        for name, (handle, message) in {
            **{name: (_plain(call, plane), message) for name, (call, message) in PLAIN.items()},
            "ModelInfer": (_infer(plane, limits), pb.ModelInferRequest),
        }.items()
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(calls.SERVICE, handlers),))
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        taken = server.add_insecure_port(address)
    except RuntimeError as error:
        raise ConfigError(
            "--grpc-port", found=f"{address}: {error}", expected="a port that is free", cure="choose another"
        ) from None
    await server.start()
    return GrpcServer(taken, server)


def _plain(call: Callable[[Any, DataPlane], Any], plane: DataPlane) -> Handler:
    async def handle(request: Any, _: Context) -> Any:
        return call(request, plane)

    return handle


def _infer(plane: DataPlane, limits: Limits) -> Handler:
    async def handle(request: pb.ModelInferRequest, context: Context) -> pb.ModelInferResponse:
        columns, rows = calls.columns(request, plane)
        score = partial(
            infer, plane, limits, Head(_headers(context)), request.model_name, columns, rows,
            version=request.model_version or None, request_id=request.id or None,
        )  # fmt: skip
        answer = score() if rows <= limits.rows_at_once else await asyncio.to_thread(score)
        told = (("x-request-id", answer.request_id), ("x-model-version", answer.version), ("x-variant", answer.variant))
        await context.send_initial_metadata(told)
        return calls.response(answer, raw=bool(request.raw_input_contents))

    return handle


def _headers(context: Context) -> list[tuple[bytes, bytes]]:
    return [
        (key.encode(), value.encode() if isinstance(value, str) else value)
        for key, value in context.invocation_metadata() or ()
    ]


def _guarded(handle: Handler, answered: Answered | None) -> Handler:
    async def guarded(request: Any, context: Context) -> Any:
        began, status, words = time.perf_counter(), 200, ""
        try:
            return await handle(request, context)
        except asyncio.CancelledError:
            status = 499
            raise
        except RequestRefused as error:
            status, words = error.status, str(error)
        except Exception:
            logger.exception("gRPC call failed")
            status, words = 500, "the server failed to answer; its log says why"
        finally:
            if answered is not None:
                answered(PROTOCOL, status, time.perf_counter() - began)
        return await context.abort(STATUSES.get(status, grpc.StatusCode.INVALID_ARGUMENT), words)

    return guarded


def _serialized(message: Any) -> bytes:
    told: bytes = message.SerializeToString()
    return told
