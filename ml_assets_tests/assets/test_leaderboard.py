"""The asset `<p>/leaderboard`: who is best on the holdout."""

import math
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pytest

from ml_assets.assets.leaderboard import leaderboard, ranked
from ml_assets.assets.typed_tables import LEADERBOARD
from ml_assets.config.pipeline import PipelineConfig
from ml_assets.config.table import TableConfig
from ml_assets.core.metrics import metrics_of
from ml_assets.problem import Pipeline, Table
from ml_assets.resources.io_managers import JsonStore
from ml_assets.resources.tables import CsvStore

REPOSITORY = Path(__file__).resolve().parents[2]
TABLE = Table(
    "trips",
    TableConfig.model_validate(
        {
            "source": {"kind": "simulated", "rows": 10},
            "partitions": {"cadence": "monthly", "start": "2020-01-01", "end": "2020-04-01"},
            "event_time": "pickup_at",
            "schema": "schema:Trip",
        }
    ),
    REPOSITORY / "ml_assets/defs/trips",
)
PIPELINE = Pipeline(
    "duration",
    PipelineConfig.model_validate(
        {
            "table": "trips",
            "label": {"column": "trip_minutes", "known_at": "dropoff_at"},
            "features": "features:FEATURES",
            "evaluation": {"metric": "rmse"},
        }
    ),
    REPOSITORY / "ml_assets/defs/trip_duration",
    TABLE,
)
LABEL = np.array([10.0, 20.0, 30.0])


def record(**errors: float) -> dict[str, Any]:
    """An evaluation record of contenders that are wrong by so many minutes, and by as many more in the last row."""
    metrics = {who: metrics_of("regression", LABEL, LABEL + np.array([e, -e, 2 * e])) for who, e in errors.items()}
    return {"rows": 3, "metrics": metrics, "differences": {}, "slices": {}, "bundle": "b" * 64}


def test_the_best_by_the_deciding_metric_is_first() -> None:
    told = record(candidate=1.0, champion=0.5, naive=4.0)
    assert [(r["rank"], r["contender"]) for r in ranked(told, "mae")] == [
        (1, "champion"), (2, "candidate"), (3, "naive"),
    ]  # fmt: skip
    told["metrics"]["candidate"]["rmse"] = 0.1
    rows = ranked(told, "rmse")
    assert [r["contender"] for r in rows] == ["candidate", "champion", "naive"]
    assert rows[0] == {"rank": 1, "contender": "candidate", **told["metrics"]["candidate"], "rows": 3}


def test_a_candidate_must_be_better_to_be_above() -> None:
    same = {"candidate": 1.0, "champion": 1.0, "naive": 1.0}
    assert [r["contender"] for r in ranked(record(**same), "mae")] == ["champion", "naive", "candidate"]


def run(told: dict[str, Any], root: Path) -> dg.ExecuteInProcessResult:
    @dg.asset(key=PIPELINE.key("evaluation"), partitions_def=TABLE.partitions, io_manager_key="records")
    def evaluation() -> Any:
        return told

    resources = {"tables": CsvStore(root=str(root)), "records": JsonStore(root=str(root))}
    assets = [evaluation, leaderboard(PIPELINE)]
    return dg.materialize(assets, resources=resources, partition_key="2020-02", raise_on_error=False)


def test_it_reads_the_evaluation_and_says_its_units(tmp_path) -> None:
    told = record(candidate=1.0, naive=4.0)
    del told["metrics"]["naive"]["mape"], told["metrics"]["naive"]["r2"]
    told["metrics"]["naive"]["of_later"] = 1.0
    result = run(told, tmp_path)
    assert result.success
    lines = (tmp_path / "duration/leaderboard/2020-02.csv").read_text().splitlines()
    assert lines[0] == "rank,contender,mae,median_ae,rmse,bias,r2,mape,pinball,rows"
    assert lines[1].startswith("1,candidate,1.33333333333333")
    assert lines[2].startswith("2,naive,5.33333333333333")
    assert lines[2].endswith(",,,,3"), "what was not measured is missing"
    metadata = result.asset_materializations_for_node("duration__leaderboard")[0].metadata
    shown = metadata["table"]
    assert isinstance(shown, dg.TableMetadataValue)
    assert [r.data["mae"] for r in shown.records] == [1.3333, 5.3333]
    columns = {c.name: c for c in shown.schema.columns}
    assert columns["mae"].description == "mean absolute error, in minutes"
    contenders = "champion, naive, naive_by_key, last_value, linear, candidate"
    assert columns["contender"].constraints.other == [f"one of {contenders}"]
    assert (metadata["ranked_by"].value, metadata["best"].value) == ("rmse", "candidate")
    assert metadata["dagster/row_count"].value == 2


def test_a_record_that_can_not_be_right_fails_the_step(tmp_path) -> None:
    told = record(candidate=1.0, naive=4.0)
    told["metrics"]["candidate"]["mae"] = -1.0
    result = run(told, tmp_path)
    [failure] = result.get_step_failure_events()
    error = failure.step_failure_data.error
    assert error is not None
    assert 'Violated "InRangeColumnConstraint" for column "mae"' in error.message
    assert not (tmp_path / "duration/leaderboard").exists()


@pytest.mark.parametrize(
    ("change", "column"),
    [({"mae": math.nan}, "mae"), ({"contender": "guess"}, "contender"), ({"rank": 1}, "rank"), ({"r2": 1.1}, "r2")],
)
def test_what_no_leaderboard_says_is_refused(change: dict[str, Any], column: str) -> None:
    rows = ranked(record(candidate=1.0, champion=2.0, naive=4.0), "mae")
    assert dg.check_dagster_type(LEADERBOARD.dagster_type, LEADERBOARD.frame(rows)).success
    checked = dg.check_dagster_type(LEADERBOARD.dagster_type, LEADERBOARD.frame([*rows[:2], rows[2] | change]))
    assert not checked.success
    assert f'column "{column}"' in (checked.description or "")
