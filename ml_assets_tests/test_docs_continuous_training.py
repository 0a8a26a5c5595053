"""The YAML of docs/continuous-training.md: it is accepted, and says what the defaults are."""

import re
from pathlib import Path

import yaml

from ml_assets.config.monitoring import Monitoring
from ml_assets.config.pipeline import PipelineConfig
from ml_assets.config.retraining import Retraining

PAGE = (Path(__file__).resolve().parents[1] / "docs/continuous-training.md").read_text()
ATTRIBUTES = {
    "table": "rides",
    "label": {"column": "trip_minutes", "known_at": "dropoff_at"},
    "features": "features:FEATURES",
}


def blocks() -> list[dict]:
    """The YAML of the page that a pipeline takes."""
    found = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)]
    return [block for block in found if set(block) <= {"monitoring", "retraining"}]


def test_the_yaml_is_accepted_and_is_what_holds_without_it():
    [level_2, monitoring] = blocks()
    config = PipelineConfig.model_validate({**ATTRIBUTES, **monitoring})
    assert config.monitoring == PipelineConfig.model_validate(ATTRIBUTES).monitoring == Monitoring()
    assert set(monitoring["monitoring"]) == {"drift", "performance"}

    told = PipelineConfig.model_validate({**ATTRIBUTES, **level_2})
    assert told.monitoring == Monitoring()
    assert told.retraining == Retraining(schedule=level_2["retraining"]["schedule"])
    assert PipelineConfig.model_validate(ATTRIBUTES).retraining is None
