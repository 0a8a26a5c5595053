"""Which pipeline a request is for, where its path does not say so, and what a hosting service's headers add to it.

Unit, variant and request id in our own headers are read by `serving.http`.
"""

from typing import NamedTuple
from urllib.parse import parse_qs

from ml_assets.serving.http import Call
from ml_assets.serving.protocols.malformed import malformed

CUSTOM_ATTRIBUTES = b"x-amzn-sagemaker-custom-attributes"
REQUEST_IDS = (b"x-amzn-sagemaker-inference-id", b"x-ms-client-request-id")


class Asked(NamedTuple):
    """What a request asks for beside its rows.

    Attributes:
        pipeline: whose model.
        unit: what the arm is drawn by; None: as our own header says.
        request_id: the hosting service's; None: as our own header says.
    """

    pipeline: str
    unit: str | None = None
    request_id: str | None = None


def asked(call: Call, pipeline: str | None = None, unit: str | None = None) -> Asked:
    """What a request asks for: by its body as given here, by its query, by headers; the only pipeline by default.

    Raises:
        InputRefused: several pipelines are served and none is named.
    """
    request_id = None
    for name, value in call.head.headers:
        if name == b"x-pipeline":
            pipeline = pipeline or value.decode("latin-1")
        elif name in REQUEST_IDS:
            request_id = value.decode("latin-1")
        elif name == CUSTOM_ATTRIBUTES:
            attributes = _attributes(value.decode("latin-1"))
            pipeline, unit = pipeline or attributes.get("pipeline"), unit or attributes.get("unit_id")
    if call.head.query:
        [*_, last] = [None, *parse_qs(call.head.query.decode("latin-1")).get("pipeline", [])]
        pipeline = last or pipeline
    return Asked(pipeline or _only(call), unit, request_id)


def _attributes(text: str) -> dict[str, str]:
    pairs = (pair.partition("=") for pair in text.split(","))
    return {name.strip(): value.strip() for name, _, value in pairs}


def _only(call: Call) -> str:
    pipelines = call.plane.pipelines
    if len(pipelines) != 1:
        raise malformed(
            "pipeline",
            f"none named, of {len(pipelines)} that are served",
            f"one of {', '.join(pipelines)}, in the query (?pipeline=) or the header X-Pipeline",
        )
    return pipelines[0]
