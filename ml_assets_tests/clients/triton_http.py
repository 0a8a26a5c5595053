"""Asks over REST with Triton's client: inputs in JSON and as binary data, outputs both ways.

Reads from standard input what to ask, as JSON: `url`, `model`, `version`, `numbers` and `categories` (name -> values).
Writes what it was told, as JSON.
"""

import json
import sys

import numpy as np
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException


def inputs(asked, binary):
    told = []
    for name, values in asked["numbers"].items():
        tensor = triton.InferInput(name, [len(values)], "FP64")
        tensor.set_data_from_numpy(np.array(values, dtype=np.float64), binary_data=binary)
        told.append(tensor)
    for name, values in asked["categories"].items():
        tensor = triton.InferInput(name, [len(values), 1], "BYTES")
        tensor.set_data_from_numpy(np.array(values, dtype=np.object_)[:, None], binary_data=binary)
        told.append(tensor)
    return told


def main():
    asked = json.load(sys.stdin)
    client = triton.InferenceServerClient(asked["url"].removeprefix("http://"))
    told = {
        "live": client.is_server_live(),
        "ready": client.is_server_ready(),
        "model_ready": client.is_model_ready(asked["model"]),
        "other_ready": client.is_model_ready("nobody"),
        "server": client.get_server_metadata(),
        "metadata": client.get_model_metadata(asked["model"]),
        "predictions": {},
    }
    for sent in (True, False):
        for wanted in (True, False):
            output = triton.InferRequestedOutput("prediction", binary_data=wanted)
            found = client.infer(asked["model"], inputs(asked, sent), outputs=[output], request_id="r1")
            told["predictions"][f"binary={sent}, {wanted}"] = found.as_numpy("prediction").tolist()
    found = client.infer(asked["model"], inputs(asked, True), asked["version"], headers={"X-Unit-Id": "u1"})
    told["predictions"]["of the version"] = found.as_numpy("prediction").tolist()
    told["answer"] = found.get_response()
    try:
        client.infer(asked["model"], inputs(asked, True)[1:])
    except InferenceServerException as error:
        told["refused"] = [error.status(), error.message()]
    json.dump(told, sys.stdout)


main()
