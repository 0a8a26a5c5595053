"""What the Open Inference Protocol tells of the server and its models, on both of its wires."""

from collections.abc import Sequence
from importlib.metadata import version
from typing import NamedTuple

from ml_assets.serving.data_plane import DataPlane
from ml_assets.serving.picture import ServedModel
from ml_assets.serving.protocols.tensors import PREDICTION

SERVER = "ml-assets"
PLATFORM = "ml_assets_bundle"
EXTENSIONS = ("binary_tensor_data",)


class TensorFacts(NamedTuple):
    """Name, datatype and shape of a tensor; -1 is any number of rows."""

    name: str
    datatype: str
    shape: Sequence[int]


def server_version() -> str:
    """The version of this package."""
    return version(SERVER)


def versions_of(plane: DataPlane, pipeline: str) -> list[str]:
    """The versions of a pipeline's model that may be asked for; the live one first.

    Raises:
        NotServed, NotReady: there is no such pipeline, or nothing is loaded.
    """
    picture = plane.picture(pipeline)
    live = picture.champion.version
    return [live, *(version for version in picture.models if version != live)]


def inputs_of(model: ServedModel) -> list[TensorFacts]:
    """A tensor for each feature: FP64 for a number, BYTES for a category."""
    return [TensorFacts(s.name, "BYTES" if s.kind == "category" else "FP64", (-1,)) for s in model.specs]


def outputs_of(model: ServedModel) -> list[TensorFacts]:
    """The prediction: one number a row, of a multiclass model one for each class."""
    classes = model.bundle.classes
    return [TensorFacts(PREDICTION, "FP64", (-1,) if classes == 1 else (-1, classes))]
