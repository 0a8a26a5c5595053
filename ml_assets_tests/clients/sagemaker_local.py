"""Asks as SageMaker's SDK asks a container in its local mode: an endpoint, predictors of it and a batch transform.

One thing of the SDK is replaced: whom it has start a container by Docker, and tell where Docker is. What it asks the
container, from `/ping` on, is its own.

Reads from standard input what to ask, as JSON: `port`, `columns` (name -> values, in the model's order) and `scratch`
(a folder). Writes what it was told, as JSON.
"""

import json
import logging
import os
import sys
import warnings
from pathlib import Path

os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
warnings.simplefilter("ignore")
logging.disable()  # the SDK logs to standard output

import boto3  # noqa: E402
import pandas as pd  # noqa: E402
from sagemaker.deserializers import CSVDeserializer, JSONDeserializer  # noqa: E402
from sagemaker.local import LocalSession, entities, local_session  # noqa: E402
from sagemaker.predictor import Predictor  # noqa: E402
from sagemaker.serializers import CSVSerializer, JSONSerializer  # noqa: E402

NO_TELEMETRY = {"SchemaVersion": "1.0", "SageMaker": {"PythonSDK": {"Modules": {"TelemetryOptOut": True}}}}
NO_NAMES = "text/csv; header=absent"


class Container:
    """In place of what calls Docker: the container runs already."""

    def __init__(self, instance_type, instance_count, image, session):
        pass

    def serve(self, model, environment):
        pass

    def stop_serving(self):
        pass


def session_at(port):
    entities._SageMakerContainer = Container
    entities.get_docker_host = local_session.get_docker_host = lambda: "localhost"
    session = LocalSession(boto3.Session(region_name="eu-west-1"), sagemaker_config=NO_TELEMETRY)
    session.config = {"local": {"serving_port": port}}
    image = {"Image": "ml-assets", "ModelDataUrl": "file://nowhere", "Environment": {}}
    variant = {"ModelName": "m", "InstanceType": "local", "InitialInstanceCount": 1, "VariantName": "all"}
    session.sagemaker_client.create_model("m", image)
    session.sagemaker_client.create_endpoint_config("c", [variant])
    session.sagemaker_client.create_endpoint("e", "c")
    return session


def transformed(session, table, scratch):
    """What a batch transform writes of a file with a row a line."""
    (scratch / "in").mkdir()
    table.to_csv(scratch / "in/rows.csv", header=False, index=False)
    where = {"DataSource": {"S3DataSource": {"S3Uri": f"file://{scratch / 'in'}"}}}
    session.sagemaker_client.create_transform_job(
        "t", "m",
        {**where, "ContentType": NO_NAMES, "SplitType": "Line"},
        {"S3OutputPath": f"file://{scratch / 'out'}", "Accept": "text/csv", "AssembleWith": "Line"},
        {"InstanceType": "local", "InstanceCount": 1},
        BatchStrategy="SingleRecord",  # local mode does not read the container's own word for it, SINGLE_RECORD
    )  # fmt: skip
    return (scratch / "out/rows.csv.out").read_text().splitlines()


def main():
    asked = json.load(sys.stdin)
    session = session_at(asked["port"])
    names, rows = list(asked["columns"]), list(map(list, zip(*asked["columns"].values(), strict=True)))
    table = pd.DataFrame(asked["columns"])
    by_json = Predictor("e", session, JSONSerializer(), JSONDeserializer())
    in_csv = Predictor("e", session, CSVSerializer(NO_NAMES), CSVDeserializer())
    forms = {
        "a split": {"dataframe_split": {"columns": names, "data": rows}},
        "records": {"dataframe_records": [dict(zip(names, row, strict=True)) for row in rows]},
        "lists": {"instances": rows},
        "columns": {"inputs": asked["columns"]},
    }
    told = {
        "status": session.sagemaker_client.describe_endpoint("e")["EndpointStatus"],
        "predictions": {form: by_json.predict(said)["predictions"] for form, said in forms.items()},
        "lines": {"rows": in_csv.predict(rows), "a frame": in_csv.predict(table)},
    }
    told["lines"]["transformed"] = [line.split(",") for line in transformed(session, table, Path(asked["scratch"]))]
    with_names = Predictor("e", session, CSVSerializer(), JSONDeserializer())
    told["predictions"]["CSV with names"] = with_names.predict(table.to_csv(index=False))["predictions"]
    client = session.sagemaker_runtime_client

    def invoke(said, content_type, **more):
        body = client.invoke_endpoint(said, "e", content_type, **more)["Body"]
        return [body.status, body.read().decode(), dict(body.headers)]

    one = json.dumps({"instances": rows[:1]})
    told["identified"] = invoke(one, "application/json", InferenceId="r42", CustomAttributes="unit_id=rider-7")
    told["elsewhere"] = invoke(one, "application/json", CustomAttributes="pipeline=nobody")
    told["refused"] = invoke(json.dumps({"instances": [rows[0][1:]]}), "application/json")
    told["nameless"] = invoke(CSVSerializer().serialize(table), "text/csv")
    json.dump(told, sys.stdout)


main()
