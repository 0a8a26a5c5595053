"""The generated messages are those of the .proto file, and the wire is the protocol's."""

import re
import shutil
from pathlib import Path

import pytest

from ml_assets.serving.protocols import open_inference_pb2 as pb

REPOSITORY = Path(__file__).resolve().parents[3]
PROTO = "ml_assets/serving/protocols/open_inference.proto"
VERSION = re.compile(r"# Protobuf Python Version: .*|^    \d+,$", re.MULTILINE)


@pytest.mark.parametrize("suffix", [".py", ".pyi"])
def test_generating_them_again_changes_nothing(tmp_path, suffix):
    from grpc_tools import protoc

    (tmp_path / PROTO).parent.mkdir(parents=True)
    shutil.copy(REPOSITORY / PROTO, tmp_path / PROTO)
    out = f"--{'python' if suffix == '.py' else 'pyi'}_out={tmp_path}"
    assert protoc.main(["protoc", f"-I{tmp_path}", out, str(tmp_path / PROTO)]) == 0
    name = PROTO.replace(".proto", f"_pb2{suffix}")
    again, here = ((root / name).read_text() for root in (tmp_path, REPOSITORY))
    assert VERSION.sub("", again) == VERSION.sub("", here)


def test_fields_have_the_protocols_numbers():
    # From the specification's bytes: model_name 1, inputs 5 (name 1, datatype 2, shape 3 packed), raw contents 7.
    request = pb.ModelInferRequest(
        model_name="m", inputs=[{"name": "x", "datatype": "FP64", "shape": [1]}], raw_input_contents=[b"\0"]
    )
    assert request.SerializeToString() == b"\x0a\x01m\x2a\x0c\x0a\x01x\x12\x04FP64\x1a\x01\x01\x3a\x01\x00"
    contents = pb.InferTensorContents.DESCRIPTOR.fields_by_name
    assert {name: field.number for name, field in contents.items()} == {
        "bool_contents": 1, "int_contents": 2, "int64_contents": 3, "uint_contents": 4, "uint64_contents": 5,
        "fp32_contents": 6, "fp64_contents": 7, "bytes_contents": 8,
    }  # fmt: skip
