"""What demo-live makes bad, and what it runs; the whole story is told in `.ci/run`."""

import pytest

from ml_assets.config.rollout import Rollout
from ml_assets.demo_live import StoryBroken, confused
from ml_assets.live_location import ROLLOUT, with_rollouts
from ml_assets.served import raw_fields_of
from ml_assets_tests.serving.trips import Stored, bundle_of


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    from ml_assets.resources.sources.simulated import write_tlc_files

    folder = tmp_path_factory.mktemp("trips")
    return Stored(folder / "store", write_tlc_files(folder, ["2019-01"], 2000, 0))


def test_a_model_whose_columns_and_categories_are_mixed_up_loads_and_answers_nonsense(stored):
    fields = raw_fields_of("trip_duration")
    features = stored.features(fields, "2019-01")
    bundle = bundle_of(fields, features)
    bad = confused(bundle)
    bad.require_golden()
    assert bad.sha256 != bundle.sha256
    assert bad.files == bundle.files
    good, nonsense = bundle.predict(bundle.feature_frame(features)), bad.predict(bad.feature_frame(features))
    assert (good != nonsense).mean() > 0.5
    assert abs(nonsense - good).mean() > good.std() / 2, "a rollout is to find it in some hundred requests"


def test_a_model_without_categories_can_not_be_mixed_up(stored):
    from dataclasses import replace

    fields = raw_fields_of("trip_duration")
    numbers = replace(fields, features=[f for f in fields.features if f.kind == "number"])
    bundle = bundle_of(numbers, stored.features(numbers, "2019-01"))
    with pytest.raises(StoryBroken, match="no feature with categories"):
        confused(bundle)


def test_a_pipeline_without_the_section_is_rolled_out_in_fast_motion():
    pipeline, definitions = with_rollouts("trip_duration")
    assert pipeline.config.rollout is ROLLOUT
    assert definitions.resolve_sensor_def("trip_duration_rollout")
    assert ROLLOUT.rules().steps == Rollout().rules().steps, "through all steps of a canary"


def test_the_ui_shows_the_rollouts_that_were_seen(monkeypatch):
    import yaml

    from ml_assets.demo import ui_command
    from ml_assets.live_location import WORKSPACE, defs

    [told] = yaml.safe_load(WORKSPACE.read_text())["load_from"]
    assert told["python_module"]["module_name"] == "ml_assets.live_location"
    keys = {key.to_user_string() for key in defs().resolve_all_asset_keys()}
    assert {"trip_duration/rollout", "high_tip/rollout"} <= keys
    assert ui_command(WORKSPACE).endswith(f"--workspace {WORKSPACE}")
