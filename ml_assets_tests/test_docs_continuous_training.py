"""The YAML of docs/continuous-training.md: it is accepted, and says what the defaults are."""

import re
from pathlib import Path

import yaml

from ml_assets.config.monitoring import Monitoring
from ml_assets.config.pipeline import PipelineConfig

PAGE = (Path(__file__).resolve().parents[1] / "docs/continuous-training.md").read_text()
ATTRIBUTES = {
    "table": "rides",
    "label": {"column": "trip_minutes", "known_at": "dropoff_at"},
    "features": "features:FEATURES",
}


def test_the_yaml_is_accepted_and_is_what_holds_without_it():
    [block] = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    config = PipelineConfig.model_validate({**ATTRIBUTES, **yaml.safe_load(block)})
    assert config.monitoring == PipelineConfig.model_validate(ATTRIBUTES).monitoring == Monitoring()
    assert set(yaml.safe_load(block)["monitoring"]) == {"drift", "performance"}
