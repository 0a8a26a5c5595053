"""Asks as Azure ML's SDK asks a container of a local endpoint: `online_endpoints.invoke(local=True)`.

One thing is replaced: Docker, who tells at which port the container is. What is asked of it is the SDK's own.

Reads from standard input what to ask, as JSON: `port`, `columns` (name -> values, in the model's order) and `scratch`
(a folder). Writes what it was told, as JSON.
"""

import json
import logging
import sys
from pathlib import Path
from types import SimpleNamespace

import docker
from azure.ai.ml import MLClient
from azure.core.credentials import AccessToken

LABELS = {"azureml-port": "8080", "endpoint-data": json.dumps({"name": "e", "auth_mode": "key"})}


class Nobody:
    """A credential that is asked for nothing."""

    def get_token(self, *scopes, **more):
        return AccessToken("none", 2**31)


def main():
    asked = json.load(sys.stdin)
    ports = {"8080/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(asked["port"])}]}
    container = SimpleNamespace(status="running", labels=LABELS, ports=ports)
    docker.from_env = lambda: SimpleNamespace(containers=SimpleNamespace(list=lambda **_: [container]))
    logging.disable()
    endpoints = MLClient(Nobody(), "s", "g", "w", enable_telemetry=False).online_endpoints
    names, rows = list(asked["columns"]), list(map(list, zip(*asked["columns"].values(), strict=True)))
    forms = {
        "a table": {"columns": names, "data": rows},
        "a table with its index": {"columns": names, "data": rows, "index": list(range(len(rows)))},
        "columns": asked["columns"],
        "lists": rows,
        "named": [dict(zip(names, row, strict=True)) for row in rows],
    }

    def invoke(said, deployment=None):
        file = Path(asked["scratch"], "request.json")
        file.write_text(json.dumps(said))
        return json.loads(endpoints.invoke("e", request_file=file, deployment_name=deployment, local=True))

    told = {
        "endpoint": [(e := endpoints.get("e", local=True)).scoring_uri, e.provisioning_state],
        "predictions": {form: invoke({"input_data": data}) for form, data in forms.items()},
        "refused": invoke({"input_data": [rows[0][1:]]}),
    }
    told["predictions"]["of a deployment"] = invoke({"input_data": rows, "params": {"temperature": 1.0}}, "blue")
    json.dump(told, sys.stdout)


main()
