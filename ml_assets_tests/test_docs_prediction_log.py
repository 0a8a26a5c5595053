"""The section on the prediction log in docs/model-deployment.md: its YAML is what holds, its example runs."""

import re
from pathlib import Path

import yaml

from ml_assets.config.serving import Serving
from ml_assets.core.prediction_log import Entry, frame_of
from ml_assets.resources.log_files import SegmentWriter

PAGE = (Path(__file__).resolve().parents[1] / "docs/model-deployment.md").read_text()
SECTION = re.search(r"\n## The prediction log\n(.*?)(?=\n## |\Z)", PAGE, re.DOTALL)[1]


def block(language: str) -> str:
    [found] = re.findall(rf"```{language}\n(.*?)```", SECTION, re.DOTALL)
    return found


def test_the_yaml_says_the_defaults():
    told = Serving.model_validate(yaml.safe_load(block("yaml"))["serving"])
    assert told == Serving(key=told.key)
    assert set(yaml.safe_load(block("yaml"))["serving"]) == set(Serving.model_fields)


def test_the_example_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    entry = Entry("r", 0, 20_000 * 86_400_000_000, "u", "champion", "answered", "ab", (1.5, "z"), 2.5, 9, None, None)
    writer = SegmentWriter("data/predictions", "trip_duration", "a.1")
    writer.write("requests", frame_of([entry, entry._replace(values=(2.5, None), latency_us=99)]))
    names: dict = {}
    exec(block("python"), names)
    assert names["rows"].height == 2
    assert names["features"] == (2.5, None)
