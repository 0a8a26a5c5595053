"""Which paths the server answers: those of every protocol, and the description of them all, for programs and people."""

from collections.abc import Mapping

from ml_assets.serving import docs_page, openapi
from ml_assets.serving.http import Exposed
from ml_assets.serving.prediction_log import PredictionLog
from ml_assets.serving.protocols import (
    azure,
    labels,
    mlflow_scoring,
    open_inference,
    open_inference_described,
    plain_described,
    sagemaker_batch,
    vertex,
)
from ml_assets.serving.protocols.plain import Plain

DESCRIBED = (
    open_inference_described.described, mlflow_scoring.described, sagemaker_batch.described, azure.described,
)  # fmt: skip
HOSTED = (*mlflow_scoring.EXPOSED, *sagemaker_batch.EXPOSED, *azure.EXPOSED)


def exposed(
    environment: Mapping[str, str], plain: Plain | None = None, logs: Mapping[str, PredictionLog] | None = None
) -> tuple[Exposed, ...]:
    """Every path.

    Args:
        environment: of the process; Vertex AI says in it which paths it will call.
        plain: answers requests with raw fields; None: nobody does.
        logs: pipeline -> its prediction log; None: no labels are taken.

    Raises:
        ConfigError: the environment names a path that is none.
    """
    # Vertex AI's first: what it calls may be a path that means less to others.
    protocols = (*vertex.exposed(environment), *open_inference.EXPOSED, *HOSTED)
    described: tuple[openapi.Describe, ...] = DESCRIBED
    if plain is not None:
        protocols, described = (*plain.exposed, *protocols), (plain_described.described(plain.fields), *described)
    if logs is not None:
        protocols, described = (*protocols, *labels.exposed(logs)), (*described, labels.described)
    return (*protocols, openapi.exposed(described), docs_page.exposed(described))
