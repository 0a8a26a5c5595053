"""The Open Inference Protocol over gRPC, asked over a real channel in one event loop; real clients: `test_clients`."""

import asyncio
import struct
import threading

import grpc
import pytest

from ml_assets.core.errors import ConfigError
from ml_assets.serving.limits import Limits
from ml_assets.serving.protocols import grpc_server
from ml_assets.serving.protocols import open_inference_pb2 as pb
from ml_assets.serving.protocols.open_inference_grpc import SERVICE
from ml_assets_tests.serving.conftest import NEW, OLD

MILES = {"name": "miles", "datatype": "FP64", "shape": [2], "contents": {"fp64_contents": [0.1, 4.0]}}
ZONE = {"name": "zone", "datatype": "BYTES", "shape": [2, 1], "contents": {"bytes_contents": [b"a", b"zz"]}}
LIMITS = Limits(body_bytes=10_000, rows=100, rows_at_once=2)
MISSING = float("nan")


@pytest.fixture
def answered():
    """Protocol and status of each call."""
    return []


@pytest.fixture
def ask(plane, answered):
    """`(call, request, metadata)` -> the response and its metadata; a call that fails raises."""

    def told(protocol, status, seconds):
        assert 0 <= seconds < 60
        answered.append((protocol, status))

    def ask(call, request, metadata=()):
        async def talk():
            server = await grpc_server.start(plane, "127.0.0.1", 0, LIMITS, answered=told)
            try:
                async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
                    called = method_of(channel, call)(request, metadata=metadata)
                    return await called, dict(await called.initial_metadata())
            finally:
                await server.stop(0)

        return asyncio.run(talk())

    return ask


def request(inputs, **more):
    return pb.ModelInferRequest(model_name=more.pop("model_name", "rides"), inputs=inputs, **more)


ROWS = LIMITS.rows_at_once + 1
MANY = request(
    [
        {**MILES, "shape": [ROWS], "contents": {"fp64_contents": [4.0] * ROWS}},
        {**ZONE, "shape": [ROWS], "contents": {"bytes_contents": [b"a"] * ROWS}},
    ]
)
"""Rows that are scored in a thread."""


def refused(ask, *asked):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        ask(*asked)
    return caught.value.code(), caught.value.details()


def test_contents_are_answered_with_contents_and_ids(ask, told):
    metadata = (("x-request-id", "r7"), ("x-unit-id", "u7"))
    response, headers = ask("ModelInfer", request([MILES, ZONE]), metadata)
    assert (response.model_name, response.model_version, response.id) == ("rides", NEW, "r7")
    [output] = response.outputs
    assert (output.name, output.datatype, output.shape) == ("prediction", "FP64", [2])
    assert output.contents.fp64_contents == [0.1, 4.0]
    assert (headers["x-request-id"], headers["x-model-version"], headers["x-variant"]) == ("r7", NEW, "champion")
    assert told[-1].unit == "u7"


def test_raw_contents_are_answered_raw(ask):
    inputs = [{k: v for k, v in t.items() if k != "contents"} for t in (MILES, ZONE)]
    raw = [struct.pack("<2d", 0.1, 4.0), b"\1\0\0\0a\0\0\0\0"]
    response, _ = ask("ModelInfer", request(inputs, raw_input_contents=raw, id="42", model_version=OLD[:8]))
    assert (response.id, response.model_version, response.outputs[0].contents.fp64_contents) == ("42", OLD, [])
    assert struct.unpack("<2d", response.raw_output_contents[0]) == (1.0, 40.0)


@pytest.mark.parametrize(
    ("datatype", "field", "values"),
    [("FP32", "fp32_contents", [0.5, 1]), ("INT64", "int64_contents", [2, 3]), ("INT8", "int_contents", [2, 3]),
     ("UINT16", "uint_contents", [2, 3]), ("UINT64", "uint64_contents", [2, 3]),
     ("BOOL", "bool_contents", [True, False])],
)  # fmt: skip
def test_numbers_of_any_datatype_are_read_from_its_field(ask, datatype, field, values):
    response, _ = ask("ModelInfer", request([{**MILES, "datatype": datatype, "contents": {field: values}}, ZONE]))
    assert response.outputs[0].contents.fp64_contents == [float(v) for v in values]


@pytest.mark.parametrize(
    ("asked", "code", "said"),
    [
        (request([MILES]), "INVALID_ARGUMENT", "column zone is missing"),
        (request([{**MILES, "datatype": "FP32"}, ZONE]), "INVALID_ARGUMENT", "0 values"),
        (request([{**MILES, "datatype": "FP16"}, ZONE]), "INVALID_ARGUMENT", "FP16 in contents"),
        (request([{**MILES, "datatype": "FP8"}, ZONE]), "INVALID_ARGUMENT", "datatype 'FP8'"),
        (request([MILES, ZONE], raw_input_contents=[b""]), "INVALID_ARGUMENT", "1 for 2 inputs"),
        (request([MILES, ZONE], raw_input_contents=[b"", b""]), "INVALID_ARGUMENT", "contents and raw"),
        (request([MILES, {**ZONE, "contents": {"bytes_contents": [b"\xff", b""]}}]), "INVALID_ARGUMENT", "no UTF-8"),
        (request([MILES, ZONE], outputs=[{"name": "else"}]), "INVALID_ARGUMENT", "output else"),
        (request([MILES, ZONE], id="a\n"), "INVALID_ARGUMENT", "id: 2 letters"),
        (request([MILES, ZONE], model_name="nobody"), "NOT_FOUND", "pipeline 'nobody'"),
        (request([MILES, ZONE], model_version="f00"), "NOT_FOUND", "0 loaded versions"),
        (request([MILES, ZONE], model_name="tips"), "UNAVAILABLE", "no loaded champion"),
        (request([{**MILES, "shape": [101], "contents": {"fp64_contents": [1.0] * 101}}]), "RESOURCE_EXHAUSTED", "101"),
        (request([{**MILES, "name": "x" * 11_000}]), "RESOURCE_EXHAUSTED", "larger than max"),
    ],
)  # fmt: skip
def test_a_refusal_is_a_status_and_words(ask, asked, code, said):
    found, words = refused(ask, "ModelInfer", asked)
    assert found is grpc.StatusCode[code]
    assert said in words


def test_every_call_is_counted(ask, answered, plane):
    ask("ModelInfer", request([MILES, ZONE]))
    ask("ServerLive", pb.ServerLiveRequest())
    refused(ask, "ModelInfer", request([MILES]))
    refused(ask, "ModelInfer", request([MILES], model_name="tips"))
    plane.model("rides").scorer.fails = RuntimeError("broken")
    refused(ask, "ModelInfer", request([MILES, ZONE]))
    assert answered == [("open_inference_grpc", status) for status in (200, 200, 400, 503, 500)]


def test_what_breaks_is_told_without_its_words(ask, plane, caplog):
    plane.model("rides").scorer.fails = RuntimeError("a secret")
    code, words = refused(ask, "ModelInfer", request([MILES, ZONE]))
    assert code is grpc.StatusCode.INTERNAL
    assert "secret" not in words
    assert "a secret" in caplog.text


def test_it_tells_of_itself_and_of_its_models(ask):
    assert ask("ServerLive", pb.ServerLiveRequest())[0].live
    assert not ask("ServerReady", pb.ServerReadyRequest())[0].ready
    assert ask("ModelReady", pb.ModelReadyRequest(name="rides", version=OLD))[0].ready
    assert not ask("ModelReady", pb.ModelReadyRequest(name="tips"))[0].ready
    assert refused(ask, "ModelReady", pb.ModelReadyRequest(name="nobody"))[0] is grpc.StatusCode.NOT_FOUND
    server, _ = ask("ServerMetadata", pb.ServerMetadataRequest())
    assert (server.name, server.extensions) == ("ml-assets", ["binary_tensor_data"])
    model, _ = ask("ModelMetadata", pb.ModelMetadataRequest(name="rides"))
    assert (model.versions, [(t.name, t.datatype, t.shape) for t in model.inputs]) == (
        [NEW, OLD],
        [("miles", "FP64", [-1]), ("zone", "BYTES", [-1])],
    )
    assert [(t.name, t.datatype, t.shape) for t in model.outputs] == [("prediction", "FP64", [-1])]


def method_of(channel, call="ModelInfer"):
    answers = getattr(pb, f"{call}Response")
    return channel.unary_unary(f"/{SERVICE}/{call}", lambda m: m.SerializeToString(), answers.FromString)


def test_what_is_small_only_while_compressed_is_refused(plane):
    bomb = request([{**ZONE, "shape": [1], "contents": {"bytes_contents": [bytes(1_000_000)]}}])

    async def run():
        server = await grpc_server.start(plane, "127.0.0.1", 0, LIMITS)
        address, gzip = f"127.0.0.1:{server.port}", grpc.Compression.Gzip
        async with grpc.aio.insecure_channel(address, compression=gzip) as channel:
            with pytest.raises(grpc.aio.AioRpcError, match="Decompressed message larger than max") as caught:
                await method_of(channel)(bomb)
        await server.stop(0)
        return caught.value.code()

    assert asyncio.run(run()) is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_a_port_that_is_taken_is_an_error(plane):
    async def run():
        server = await grpc_server.start(plane, "127.0.0.1", 0, LIMITS)
        try:
            with pytest.raises(ConfigError, match="--grpc-port"):
                await grpc_server.start(plane, "127.0.0.1", server.port, LIMITS)
        finally:
            await server.stop(0)

    asyncio.run(run())


def test_a_call_that_its_client_gives_up_is_no_success(plane, answered):
    scorer = plane.model("rides").scorer
    scored, begun, given_up = scorer.scores, threading.Event(), threading.Event()

    def slowly(columns, rows):
        begun.set()
        given_up.wait(10)
        return scored(columns, rows)

    scorer.scores = slowly

    async def run():
        told = lambda *call: answered.append(call[:2])  # noqa: E731
        server = await grpc_server.start(plane, "127.0.0.1", 0, LIMITS, answered=told)
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            under_way = method_of(channel)(MANY)
            await asyncio.to_thread(begun.wait, 10)
            under_way.cancel()
            while not answered:
                await asyncio.sleep(0.01)
            given_up.set()
        await server.stop(0)

    asyncio.run(asyncio.wait_for(run(), 20))
    assert answered == [("open_inference_grpc", 499)]


def test_a_stop_lets_calls_under_way_end_and_takes_no_more(plane):
    begun, stopping = threading.Event(), threading.Event()
    scorer = plane.model("rides").scorer
    scored = scorer.scores

    def slowly(columns, rows):
        begun.set()
        stopping.wait(10)
        return scored(columns, rows)

    scorer.scores = slowly

    async def run():
        server = await grpc_server.start(plane, "127.0.0.1", 0, LIMITS)
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            under_way = asyncio.ensure_future(method_of(channel)(MANY))
            await asyncio.to_thread(begun.wait, 10)
            end = asyncio.ensure_future(server.stop(10))
            await asyncio.sleep(0.05)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await method_of(channel, "ServerLive")(pb.ServerLiveRequest())
            stopping.set()
            answer = await under_way
            await end
            return answer, caught.value.code()

    answer, refused = asyncio.run(run())
    assert list(answer.outputs[0].contents.fp64_contents) == [4.0] * ROWS
    assert refused is grpc.StatusCode.UNAVAILABLE
