"""Asks over REST with KServe's client; see `triton_http` for what is read and written."""

import asyncio
import json
import sys

import httpx
import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.protocol.infer_type import RequestedOutput


def request(asked, binary, *, without=0):
    told = []
    for name, values in asked["numbers"].items():
        told.append(InferInput(name, [len(values)], "FP64"))
        told[-1].set_data_from_numpy(np.array(values, dtype=np.float64), binary_data=binary)
    for name, values in asked["categories"].items():
        told.append(InferInput(name, [len(values)], "BYTES"))
        told[-1].set_data_from_numpy(np.array(values, dtype=np.object_), binary_data=binary)
    outputs = [RequestedOutput("prediction", {"binary_data": binary})]
    return InferRequest(asked["model"], told[without:], request_id="r1", request_outputs=outputs)


async def main():
    asked = json.load(sys.stdin)
    url, model = asked["url"], asked["model"]
    async with InferenceRESTClient(RESTConfig(protocol="v2", retries=0)) as client:
        told = {
            "live": await client.is_server_live(url),
            "ready": await client.is_server_ready(url),
            "model_ready": await client.is_model_ready(url, model),
            "other_ready": await client.is_model_ready(url, "nobody"),
            "predictions": {},
        }
        for binary in (True, False):
            headers = {}
            found = await client.infer(url, request(asked, binary), model, response_headers=headers)
            [output] = found.outputs
            told["predictions"][f"binary={binary}"] = output.as_numpy().tolist()
            told["id"], told["version"] = found.id, headers["x-model-version"]
        try:
            await client.infer(url, request(asked, False, without=1), model)
        except httpx.HTTPStatusError as error:
            told["refused"] = [str(error.response.status_code), str(error)]
    json.dump(told, sys.stdout)


asyncio.run(main())
