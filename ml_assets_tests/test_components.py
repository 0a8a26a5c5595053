"""What a `defs.yaml` becomes, and what is said about a wrong one, before anything runs."""

from datetime import datetime, timedelta

import dagster as dg
import pytest

from ml_assets import problem
from ml_assets.components import Pipeline
from ml_assets.config.pipeline import PipelineConfig
from ml_assets.config.table import TableConfig
from ml_assets.core.share_split import ShareSplit
from ml_assets.core.time_split import time_split
from ml_assets.core.windows import Window

TABLE = {
    "type": "ml_assets.components.Table",
    "attributes": {
        "name": "rows",
        "source": {"kind": "files", "path": "rows-{year}-{month}.csv"},
        "partitions": {"cadence": "monthly", "start": "2024-01-01", "end": "2025-01-01"},
        "event_time": "happened_at",
        "schema": "schema:Row",
    },
}
PIPELINE = {
    "type": "ml_assets.components.Pipeline",
    "attributes": {
        "table": "rows",
        "label": {"column": "price_usd", "known_at": "paid_at"},
        "features": "features:FEATURES",
        "model": {"window": 4},
    },
}

LATE = {"column": "price_usd", "known_at": "paid_at"}


def changed(document: dict, **attributes: object) -> dict:
    merged = {**document["attributes"], **attributes}
    return {**document, "attributes": {k: v for k, v in merged.items() if v is not None}}


def test_two_documents_become_the_graph_its_checks_jobs_and_groups(project):
    definitions = project.load(TABLE, PIPELINE)
    keys = {k.to_user_string() for k in definitions.resolve_all_asset_keys()}
    assert keys == {
        *(f"rows/{noun}" for noun in ("raw", "validated", "quarantine", "dictionary")),
        *(f"prices/{noun}" for noun in ("features", "training_set", "candidate", "evaluation", "champion")),
        *(f"prices/{noun}" for noun in ("leaderboard", "decision", "predictions", "performance", "drift")),
    }
    assert {j.name for j in definitions.resolve_all_job_defs()} >= {"rows_ingest", "prices_follow", "prices_train"}
    graph = definitions.resolve_asset_graph()
    for key in graph.materializable_asset_keys:
        node = graph.get(key)
        assert node.description, key
        assert node.group_name != "default", key
        assert node.kinds, key
        assert not node.owners, key
    assert {c.to_user_string() for c in graph.asset_check_keys} == {
        *(f"rows/validated:{check}" for check in ("contract", "rows", "keys", "volume")),
        "prices/features:point_in_time",
        "prices/training_set:sound",
        "prices/candidate:loads_back",
        "prices/evaluation:checklist",
        "prices/evaluation:beats_naive",
        "prices/champion:bundle_intact",
        "prices/performance:not_worse_than_promised",
        "prices/drift:not_drifted",
    }


def test_a_section_serving_adds_what_was_served(project):
    definitions = project.load(TABLE, changed(PIPELINE, serving={}))
    key = dg.AssetKey(["prices", "served"])
    graph = definitions.resolve_asset_graph()
    assert graph.get(key).group_name == "serving"
    assert {c.name for c in graph.asset_check_keys if c.asset_key == key} == {
        "served_as_batch", "served_features_as_batch",
    }  # fmt: skip
    assert definitions.resolve_sensor_def("prices_served_requests")


@pytest.mark.parametrize(
    ("rollout", "key", "days"),
    [
        ({}, ["happened_at"], 7),
        ({"paired": False}, [], 7 + 3),
        ({"paired": False}, ["happened_at"], 7 + 3 + 31),
        ({"paired": False, "guardrails": {"loss_ruled_out": None}}, ["happened_at"], 7),
        ({"strategy": "ab_test"}, ["happened_at"], 7 + 3 + 31),
        ({"min_labels": 1}, ["happened_at"], 7 + 3 + 31),
        ({"strategy": "ab_test", "max_age": "40d"}, ["happened_at"], 40),
    ],
)
def test_a_rollout_that_needs_labels_is_given_the_time_they_may_take(project, rollout, key, days):
    label = LATE | {"delay": "3d"}
    document = changed(PIPELINE, rollout=rollout, label=label, serving={"key": key})
    definitions = project.load(TABLE, document)
    assert definitions.resolve_sensor_def("prices_rollout")
    config = PipelineConfig.model_validate(document["attributes"])
    table = problem.Table("rows", TableConfig.model_validate(TABLE["attributes"]), project.folder)
    told = problem.Pipeline("prices", config, project.folder, table)
    assert told.rollout_rules.max_age == timedelta(days=days)


def test_the_data_side_follows_and_the_training_side_waits(project):
    graph = project.load(TABLE, PIPELINE).resolve_asset_graph()
    follows = {k.to_user_string() for k in graph.materializable_asset_keys if graph.get(k).automation_condition}
    assert follows == {
        "rows/validated", "rows/quarantine", "rows/dictionary",
        "prices/features", "prices/predictions", "prices/performance", "prices/drift",
    }  # fmt: skip


def test_a_training_set_looks_back_over_its_window_only(project):
    graph = project.load(TABLE, PIPELINE).resolve_asset_graph()
    node = graph.get(dg.AssetKey(["prices", "training_set"]))
    mapping = node.partition_mappings[dg.AssetKey(["prices", "features"])]
    partitions = node.partitions_def
    read = mapping.get_upstream_mapped_partitions_result_for_partitions(
        partitions.subset_with_partition_keys(["2024-06"]), partitions, partitions
    )
    assert list(read.partitions_subset.get_partition_keys()) == ["2024-03", "2024-04", "2024-05", "2024-06"]


@pytest.mark.parametrize(
    ("table", "pipeline", "said"),
    [
        ({"evnt_time": "happened_at"}, {}, ["evnt_time"]),
        ({"partitions": {"cadence": "fortnightly", "start": "2024-01-01"}}, {}, ["cadence", "fortnightly", "monthly"]),
        (
            {"partitions": {"cadence": "daily", "start": "2024-01-01", "end": "2023-01-01"}},
            {},
            ["2023-01-01", "later than start"],
        ),
        ({"schema": "schema.Row"}, {}, ["schema", "schema.Row"]),
        ({"schema": "shema:Row"}, {}, ["no file", "shema.py", "create shema.py or correct"]),
        ({"schema": "schema:Rows"}, {}, ["defines", "'Row'", "Rows"]),
        ({"event_time": "happend_at"}, {}, ["event_time: happend_at is no column", "happened_at", "correct the name"]),
        ({"source": {"kind": "ftp"}}, {}, ["ftp", "simulated"]),
        ({}, {"table": "row"}, ["row", "['rows']", "correct the name"]),
        ({}, {"label": {"column": "prize", "known_at": "paid"}}, ["label.column: prize", "label.known_at: paid"]),
        ({}, {"label": {"column": "price_usd", "known_at": "paid_at", "task": "ranking"}}, ["ranking", "regression"]),
        ({}, {"serving": {"unit": "who", "key": ["paid_at", "what"]}}, ["serving.unit: who", "serving.key[1]: what"]),
        ({}, {"label": LATE | {"delay": "3 days"}}, ["label.delay", "'3 days'", "a length of time"]),
        ({}, {"label": LATE | {"delay": "9d6h"}}, ["label.delay: 9d6h", "evaluation.holdout: 0.33", "longer"]),
        ({}, {"label": LATE | {"delay": "9d"}, "model": {"window": 4, "validation": 0.2}}, ["model.validation"]),
        ({}, {"label": LATE | {"delay": "112d"}, "evaluation": {"split": "random"}}, ["model.window: 4 partitions"]),
        ({}, {"model": {"window": 0}}, ["window", "greater than or equal to 1"]),
        ({}, {"model": {"window": 1, "validation": 0.6}, "evaluation": {"holdout": 0.5}}, ["nothing to train on"]),
        ({}, {"evaluation": {"split": "groups"}}, ["split", "groups", "random"]),
        ({}, {"evaluation": {"split": "group"}}, ["split: group without evaluation.group", "whose rows stay together"]),
        ({}, {"evaluation": {"group": "payer"}}, ["group: payer", "split: time does not use", "remove it"]),
        ({}, {"evaluation": {"split": "random", "group": "payer"}}, ["group: payer", "split: random does not use"]),
        (
            {},
            {"evaluation": {"split": "random", "embargo": 0.1}},
            ["embargo: 0.1", "split: random", "side by side in time", "remove it or say split: time"],
        ),
        ({}, {"evaluation": {"split": "group", "embargo": 0.1}}, ["embargo: 0.1", "split: group without"]),
        (
            {},
            {"model": {"window": 1, "validation": 0.6}, "evaluation": {"split": "random", "holdout": 0.5}},
            ["nothing to train on"],
        ),
        ({}, {"model": {"params": {"leaves": 1}}}, ["leaves: 1", "2 to"]),
        ({}, {"model": {"params": {"num_leaves": 31}}}, ["num_leaves"]),
        ({}, {"features": "features:NAMES"}, ["NAMES", "FEATURES"]),
        ({"quality": {"max_quarantined": 1.1}}, {}, ["quality.max_quarantined", "less than or equal to 1"]),
        ({"quality": {"new_columns": "refus"}}, {}, ["quality.new_columns", "'ignore' or 'refuse'"]),
        ({}, {"tuning": {"timeout": "soon"}}, ["timeout", "soon", "90s, 60m, 24h"]),
        ({}, {"tuning": {"space": {"leafs": [3, 7]}}}, ["leafs: not a parameter", "leaves", "tuning.space"]),
        ({}, {"tuning": {"space": {"window": [99]}}}, ["window: 99", "longer than model.window"]),
        ({}, {"tuning": {}, "model": {"kind": "linear"}}, ["no model of kind lightgbm to tune", "leave it out"]),
        ({}, {"ensemble": {"method": "stacking"}}, ["ensemble: there is nothing to combine", "list two or more"]),
        ({}, {"models": [{"name": "a"}, {"name": "a"}]}, ["models: a is the name of several"]),
        ({}, {"models": [{"name": "a", "kind": "forest"}]}, ["kind", "forest", "lightgbm"]),
        ({}, {"models": [{"name": "a"}], "model": {"objective": "l2"}}, ["model.objective", "say it of each"]),
        ({}, {"model": {"kind": "sklearn"}}, ["estimator: None", "needs it"]),
        ({}, {"model": {"kind": "sklearn", "estimator": "os.system"}}, ["os.system", "scikit-learn"]),
        ({}, {"model": {"objective": "binary"}}, ["objective: binary, of a regression"]),
        ({}, {"model": {"params": {"monotone": {"a": 1}}}}, ["monotone", "l1", "l2 or huber"]),
        ({}, {"model": {"half_life": 0}}, ["half_life", "greater than 0"]),
        ({}, {"evaluation": {"metric": "log_loss"}}, ["metric: log_loss of a regression", "mae, rmse, pinball"]),
        ({}, {"label": {"column": "price_usd", "known_at": "paid_at", "task": "multiclass"}}, ["at least three"]),
        ({}, {"trackers": ["mlflow", "notebook"]}, ["trackers", "notebook"]),
        ({}, {"retraining": {"on_drift": {"k": 4, "n": 3}}}, ["k: 4 of the last n: 3"]),
        ({}, {"retraining": {"schedule": "monthly"}}, ["'monthly' is no cron expression"]),
        ({}, {"retraining": {"on_abrupt": {"window": 13}}}, ["on_abrupt", "13"]),
        ({}, {"monitoring": {"grace": "soon"}}, ["monitoring.grace", "soon"]),
        ({}, {"retraining": {"attribution": -1}}, ["retraining.attribution", "greater than or equal to 0"]),
        ({}, {"retraining": {"attribution": "a few"}}, ["retraining.attribution", "valid integer"]),
        ({}, {"monitoring": {"drift": {"psi": 0.2}}}, ["psi"]),
        ({}, {"rollout": {"strategy": "canary", "steps": [25, 5]}}, ["steps", "does not rise"]),
        ({}, {"rollout": {"guardrails": {"latency": 2}}}, ["guardrails", "latency"]),
        (
            {},
            {"rollout": {"paired": False, "max_age": "7d"}, "serving": {"key": ["happened_at"]}},
            ["rollout.max_age: 7 d", "loss_ruled_out: 0.05", "partition, which is monthly", "more than 31 d"],
        ),
        (
            {},
            {"rollout": {"min_labels": 50, "max_age": "7d"}, "label": LATE | {"delay": "8d"}},
            ["rollout.max_age: 7 d", "min_labels: 50", "label.delay: 8d", "leave max_age out"],
        ),
        ({}, {"rollout": {"strategy": "bandit", "max_age": "1d"}, "label": LATE | {"delay": "1d"}}, ["max_age: 1 d"]),
        ({}, {"tuning": {"trails": 30}}, ["trails"]),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_what_was_found_and_expected(project, table, pipeline, said):
    complaint = project.complaint(changed(TABLE, **table), changed(PIPELINE, **pipeline))
    assert [part for part in said if part not in complaint] == [], complaint


def test_a_syntax_error_in_a_users_file_is_named_with_its_line(project):
    (project.folder / "schema.py").write_text("class Row(:\n")
    complaint = project.complaint(TABLE, PIPELINE)
    assert "line 1 of schema.py" in complaint
    assert "correct" in complaint


def test_environment_variables_are_filled_in(project, monkeypatch):
    monkeypatch.setenv("ROWS_FOLDER", "somewhere")
    table = changed(
        TABLE, source={"kind": "files", "path": "{{ env.ROWS_FOLDER }}/rows.csv", "event_time": "happened_at"}
    )
    definitions = project.load(table, PIPELINE)
    metadata = definitions.resolve_asset_graph().get(dg.AssetKey(["rows", "raw"])).metadata
    assert metadata["source"]["path"] == "somewhere/rows.csv"


def window(month: int) -> Window:
    return Window(f"2024-{month:02}", datetime(2024, month, 1), datetime(2024, month + 1, 1))


def test_a_split_as_the_file_says():
    attributes = PIPELINE["attributes"]
    by_time = PipelineConfig(**{**attributes, "evaluation": {"embargo": 0.25}})
    assert by_time.evaluation.kept == ()
    windows = [window(m) for m in (1, 2, 3, 4)]
    assert by_time.split_over(windows) == time_split(windows, validation=0.33, holdout=0.33, embargo=0.25)
    model = {"window": 4, "validation": 0.5, "seed": 7}
    told = {"split": "group", "group": "payer", "holdout": 1, "slices": ["country", "payer"]}
    by_group = PipelineConfig(**{**attributes, "model": model, "evaluation": told})
    assert by_group.evaluation.kept == ("country", "payer")
    # Shares of the whole window, also where it is not full yet.
    for held in (windows, windows[2:]):
        assert by_group.split_over(held) == ShareSplit(
            "group", validation=0.125, holdout=0.25, seed=7, start=held[0].start, as_of=datetime(2024, 5, 1),
            group="payer",
        )  # fmt: skip
    at_random = PipelineConfig(**{**attributes, "evaluation": {"split": "random", "slices": ["country"]}})
    assert at_random.evaluation.kept == ("country",)
    split = at_random.split_over(windows)
    assert (split.kind, split.seed, split.group) == ("random", 0, None)


@pytest.mark.parametrize(("said", "meant"), [("off", "off"), ("dvc", "dvc"), ("on", "dvc"), ("'off'", "off")])
def test_versioning_is_off_as_yaml_writes_it(project, said, meant):
    project.load(TABLE, PIPELINE)
    written = project.folder / "defs.yaml"
    table, pipeline = written.read_text().split("---\n")
    attributes = f"attributes:\n  versioning: {said}\n"
    written.write_text(f"{table}---\n{pipeline.replace('attributes:', attributes.rstrip(), 1)}")
    dg.load_from_defs_folder(path_within_project=project.root)
    tree = dg.ComponentTree.for_project(project.root)
    [pipeline] = tree.get_all_components(Pipeline)
    assert pipeline.config.versioning == meant


def test_versioning_of_another_kind_is_refused(project):
    complaint = project.complaint(TABLE, changed(PIPELINE, versioning="git"))
    assert "versioning" in complaint
    assert "'dvc' or 'off'" in complaint
