"""The section on raw fields in docs/model-deployment.md: its example runs, and its request keeps the contract."""

import json
import re
from pathlib import Path

from ml_assets.served import raw_fields_of

PAGE = (Path(__file__).resolve().parents[1] / "docs/model-deployment.md").read_text()


def test_the_example_runs():
    [code] = [c for c in re.findall(r"```python\n(.*?)```", PAGE, re.S) if "raw_fields_of" in c]
    exec(compile(code, "docs/model-deployment.md", "exec"), {})


def test_the_request_is_one():
    [body] = re.findall(r"predict/trip_duration -H 'content-type.*?-d '(\{.*?\})'", PAGE, re.S)
    found = raw_fields_of("trip_duration").online.read([json.loads(body)], None)
    assert set(found.columns) == {f.name for f in raw_fields_of("trip_duration").features}
