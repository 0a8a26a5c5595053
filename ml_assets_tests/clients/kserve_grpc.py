"""Asks over gRPC with KServe's client; see `triton_http` for what is read and written (`url` is host and port)."""

import asyncio
import json
import sys

import grpc
import numpy as np
from kserve import InferenceGRPCClient, InferInput, InferRequest


def request(asked, binary, *, without=0):
    told = []
    for name, values in asked["numbers"].items():
        told.append(InferInput(name, [len(values)], "FP64"))
        told[-1].set_data_from_numpy(np.array(values, dtype=np.float64), binary_data=binary)
    for name, values in asked["categories"].items():
        told.append(InferInput(name, [len(values)], "BYTES"))
        told[-1].set_data_from_numpy(np.array(values, dtype=np.object_), binary_data=binary)
        if not binary:
            told[-1].data = [value.encode() for value in values]
    return InferRequest(asked["model"], told[without:], request_id="r1")


async def main():
    asked = json.load(sys.stdin)
    model = asked["model"]
    async with InferenceGRPCClient(asked["url"], retries=2) as client:
        told = {
            "live": await client.is_server_live(),
            "ready": await client.is_server_ready(),
            "model_ready": await client.is_model_ready(model),
            "predictions": {},
        }
        for binary in (True, False):
            found = await client.infer(request(asked, binary), headers=[("x-unit-id", "u1")])
            [output] = found.outputs
            told["predictions"][f"raw={binary}"] = output.as_numpy().tolist()
            told["id"] = found.id
        try:
            await client.infer(request(asked, True, without=1))
        except grpc.RpcError as error:
            told["refused"] = [str(error.code()), error.details()]
    json.dump(told, sys.stdout)


asyncio.run(main())
