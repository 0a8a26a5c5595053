"""Asks over gRPC with Triton's client; see `triton_http` for what is read and written (`url` is host and port)."""

import json
import sys

import numpy as np
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException


def inputs(asked):
    told = []
    for name, values in asked["numbers"].items():
        told.append(triton.InferInput(name, [len(values)], "FP64"))
        told[-1].set_data_from_numpy(np.array(values, dtype=np.float64))
    for name, values in asked["categories"].items():
        told.append(triton.InferInput(name, [len(values)], "BYTES"))
        told[-1].set_data_from_numpy(np.array(values, dtype=np.object_))
    return told


def main():
    asked = json.load(sys.stdin)
    client = triton.InferenceServerClient(asked["url"])
    model = client.get_model_metadata(asked["model"], as_json=True)
    told = {
        "live": client.is_server_live(),
        "ready": client.is_server_ready(),
        "model_ready": client.is_model_ready(asked["model"]),
        "server": client.get_server_metadata(as_json=True),
        "metadata": model,
        "predictions": {},
    }
    found = client.infer(asked["model"], inputs(asked), request_id="r1", headers={"x-unit-id": "u1"})
    told["predictions"]["raw"] = found.as_numpy("prediction").tolist()
    told["answer"] = found.get_response(as_json=True)
    found = client.infer(asked["model"], inputs(asked), asked["version"])
    told["predictions"]["of the version"] = found.as_numpy("prediction").tolist()
    try:
        client.infer(asked["model"], inputs(asked)[1:])
    except InferenceServerException as error:
        told["refused"] = [error.status(), error.message()]
    json.dump(told, sys.stdout)


main()
