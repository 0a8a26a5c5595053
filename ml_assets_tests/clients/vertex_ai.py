"""Asks as Vertex AI's SDK asks a container: a `LocalEndpoint`, and a `PrivateEndpoint` of a peered network.

Two things are replaced: Docker, and Google's answer to where the private endpoint is. What is asked of the container,
and with which environment it would be started, is the SDK's own.

Reads from standard input what to ask, as JSON: `port`, `predict`, `health` (paths) and `columns` (name -> values, in
the model's order). Writes what it was told, as JSON.
"""

import json
import sys
from types import SimpleNamespace

import docker
from google.auth.credentials import AnonymousCredentials
from google.cloud import aiplatform
from google.cloud.aiplatform.prediction import LocalEndpoint
from google.cloud.aiplatform_v1 import types

ENDPOINT = "projects/1/locations/europe-west1/endpoints/1"


class Docker:
    """In place of Docker's client: the container runs already."""

    def __init__(self):
        self.containers, self.started = self, {}

    def run(self, image, **how):
        self.started = how
        return SimpleNamespace(status="running", reload=lambda: None, stop=lambda: None)


def local(asked, daemon):
    docker.from_env = lambda: daemon
    return LocalEndpoint(
        "ml-assets",
        serving_container_predict_route=asked["predict"],
        serving_container_health_route=asked["health"],
        serving_container_ports=[asked["port"]],
        host_port=str(asked["port"]),
        container_ready_timeout=5,
    )


def private(asked):
    at = f"http://localhost:{asked['port']}"
    uris = types.PrivateEndpoints(predict_http_uri=at + asked["predict"], health_http_uri=at + asked["health"])
    model = types.DeployedModel(id="2", private_endpoints=uris)
    found = types.Endpoint(name=ENDPOINT, network="projects/1/global/networks/n", deployed_models=[model])
    aiplatform.gapic.EndpointServiceClient.get_endpoint = lambda *_, **__: found
    return aiplatform.PrivateEndpoint(ENDPOINT)


def main():
    asked, daemon = json.load(sys.stdin), Docker()
    aiplatform.init(project="1", location="europe-west1", credentials=AnonymousCredentials())
    names, rows = list(asked["columns"]), list(map(list, zip(*asked["columns"].values(), strict=True)))
    named = [dict(zip(names, row, strict=True)) for row in rows]
    told = {"predictions": {}}
    with local(asked, daemon) as endpoint:
        told["environment"] = daemon.started["environment"]
        told["healthy"] = [endpoint.run_health_check().status_code]
        for form, instances in {"lists": rows, "named": named}.items():
            answer = endpoint.predict(request=json.dumps({"instances": instances}))
            told["predictions"][f"{form}, local"] = answer.json()["predictions"]
        said = {"instances": rows[:1], "parameters": {"unit_id": "rider-8"}}
        answer = endpoint.predict(request=json.dumps(said), headers={"Content-Type": "application/json"})
        told["identified"] = answer.headers["X-Request-Id"]
        refused = endpoint.predict(request=json.dumps({"instances": [rows[0][1:]]}))
        told["refused"] = [refused.status_code, refused.text]
    endpoint = private(asked)
    told["healthy"].append(endpoint.health_check())
    for form, instances in {"lists": rows, "named": named}.items():
        told["predictions"][f"{form}, private"] = endpoint.predict(instances=instances).predictions
    found = endpoint.predict(instances=rows, parameters={"unit_id": "rider-8"})
    told["predictions"]["with parameters"] = found.predictions
    body = json.dumps({"instances": rows}).encode()
    found = endpoint.raw_predict(body, {"Content-Type": "application/json"})
    told["predictions"]["raw"] = json.loads(found.data)["predictions"]
    try:
        endpoint.predict(instances=rows, parameters={"temperature": 1.0})
    except RuntimeError as error:
        told["refused_private"] = str(error)
    json.dump(told, sys.stdout)


main()
