"""What the documentation says of rollouts is what the code takes."""

import re
from pathlib import Path

import yaml
from click.testing import CliRunner

from ml_assets.cli import main
from ml_assets.config.rollout import Rollout
from ml_assets.config.serving import Serving
from ml_assets.core.rollout.rules import STEPS

PAGE = (Path(__file__).parents[1] / "docs/model-deployment.md").read_text()
SECTION = PAGE[PAGE.index("## Rollouts") : PAGE.index("## The prediction log")]


def test_the_yaml_is_taken_and_shows_the_defaults():
    [block] = [b for b in re.findall(r"```yaml\n(.*?)```", SECTION, re.DOTALL) if "rollout:" in b]
    told = yaml.safe_load(block)["attributes"]
    assert Rollout.model_validate(told["rollout"]).rules() == Rollout().rules()
    assert Serving.model_validate(told["serving"]).key
    named = set(told["rollout"]) | {"floor", "check_every_seconds"}
    assert named == set(Rollout.model_fields), "every knob is shown or told of"
    assert all(f"`{name}`" in SECTION or name in block for name in Rollout.model_fields)


def test_every_strategy_is_told_of():
    assert set(re.findall(r"^\| `(\w+)` \|", SECTION, re.MULTILINE)) == set(STEPS)


def test_the_commands_are_there():
    asked = re.findall(r"^ml-assets rollout (\w+)", SECTION, re.MULTILINE)
    assert asked == ["status", "pause", "resume", "abort"]
    for command in asked:
        assert CliRunner().invoke(main, ["rollout", command, "--help"]).exit_code == 0
