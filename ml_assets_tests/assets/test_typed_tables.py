"""Typed tables: declared without pandas, held to what they declare, and stored only if they keep it."""

import math
import subprocess
import sys
from typing import Any

import dagster as dg
import pandas as pd
import pytest

from ml_assets.assets.typed_tables import DATA_DICTIONARY, LEADERBOARD, TypedColumn, TypedTable
from ml_assets.resources.tables import SCHEMA, CsvStore

CITIES = TypedTable(
    "Cities",
    (
        TypedColumn("city", "text", unique=True, description="its name"),
        TypedColumn("side", "text", nullable=True, categories=("east", "west")),
        TypedColumn("rank", "integer", unique=True, min=1),
        TypedColumn("harbours", "integer", nullable=True, min=0, max=9),
        TypedColumn("distance", "number", min=0, description="from here, in {unit}"),
        TypedColumn("height", "number", nullable=True),
    ),
    "Some cities.",
)
ROWS: list[dict[str, Any]] = [
    {"city": "A", "side": "east", "rank": 1, "harbours": 2, "distance": 0.1, "height": -1.5},
    {"city": "B", "side": None, "rank": 2, "harbours": None, "distance": 7, "height": None},
]


def cities(**change: Any) -> pd.DataFrame:
    """The table, with changes in its last row."""
    return CITIES.frame([ROWS[0], ROWS[1] | change])


def run(frame: pd.DataFrame, root: Any) -> dg.ExecuteInProcessResult:
    """A run of an asset that hands over this frame."""

    @dg.asset(dagster_type=CITIES.dagster_type, metadata={SCHEMA: CITIES.schema()}, io_manager_key="tables")
    def listed() -> dg.Output[Any]:
        return CITIES.output(frame, {"note": "x"}, unit="km")

    return dg.materialize([listed], resources={"tables": CsvStore(root=str(root))}, raise_on_error=False)


def refusal(frame: Any) -> str:
    """What the type says of it."""
    checked = dg.check_dagster_type(CITIES.dagster_type, frame)
    assert not checked.success
    return checked.description or ""


def test_a_frame_that_keeps_its_declaration_is_stored_and_shown(tmp_path) -> None:
    result = run(cities(), tmp_path)
    assert result.success
    assert (tmp_path / "listed.csv").read_text() == (
        "city,side,rank,harbours,distance,height\nA,east,1,2,0.1,-1.5\nB,,2,,7.0,\n"
    )
    [event] = result.get_asset_materialization_events()
    metadata = event.materialization.metadata
    assert metadata["dagster/row_count"].value == 2
    shown = metadata["table"]
    assert isinstance(shown, dg.TableMetadataValue)
    assert shown.records[1].data == {
        "city": "B", "side": None, "rank": 2, "harbours": None, "distance": 7.0, "height": None,
    }  # fmt: skip
    columns = {c.name: c for c in shown.schema.columns}
    assert columns["distance"].description == "from here, in km"
    assert columns["side"].constraints.other == ["one of east, west"]
    assert columns["harbours"].constraints.other == ["≥ 0", "≤ 9"]
    assert columns["rank"].constraints.unique
    assert not columns["rank"].constraints.nullable
    assert metadata["note"].value == "x"


@pytest.mark.parametrize(
    ("change", "column", "constraint"),
    [
        ({"city": None}, "city", "NonNullableColumnConstraint"),
        ({"city": "A"}, "city", "UniqueColumnConstraint"),
        ({"side": "north"}, "side", "CategoricalColumnConstraint"),
        ({"rank": 0}, "rank", "InRangeColumnConstraint"),
        ({"rank": 1}, "rank", "UniqueColumnConstraint"),
        ({"rank": None}, "rank", "NonNullableColumnConstraint"),
        ({"rank": 1.5}, "rank", "ColumnDTypeFnConstraint"),
        ({"rank": True}, "rank", "ColumnDTypeFnConstraint"),
        ({"harbours": 10}, "harbours", "InRangeColumnConstraint"),
        ({"harbours": "many"}, "harbours", "ColumnDTypeFnConstraint"),
        ({"distance": -0.1}, "distance", "InRangeColumnConstraint"),
        ({"distance": None}, "distance", "NonNullableColumnConstraint"),
        ({"distance": math.nan}, "distance", "NonNullableColumnConstraint"),
        ({"distance": math.inf}, "distance", "InRangeColumnConstraint"),
        ({"distance": "far"}, "distance", "ColumnDTypeFnConstraint"),
        ({"height": -math.inf}, "height", "InRangeColumnConstraint"),
    ],
    ids=str,
)
def test_each_constraint_is_named_with_its_column(change: dict[str, Any], column: str, constraint: str) -> None:
    said = refusal(cities(**change))
    assert constraint in said
    assert f'column "{column}"' in said


def test_numbers_where_text_is_declared_are_refused() -> None:
    said = refusal(cities().assign(city=[1, 2]))
    assert "ColumnDTypeFnConstraint" in said
    assert 'column "city"' in said


def test_missing_and_extra_columns_and_other_things_are_refused() -> None:
    assert "Required column rank not in dataframe" in refusal(cities().drop(columns="rank"))
    assert "StrictColumnsConstraint" in refusal(cities().assign(extra=1))
    assert "Must be a pandas.DataFrame" in refusal([1])


def test_a_frame_that_breaks_a_constraint_fails_its_step_and_is_not_stored(tmp_path) -> None:
    result = run(cities(rank=0), tmp_path)
    assert not result.success
    [failure] = result.get_step_failure_events()
    error = failure.step_failure_data.error
    assert error is not None
    assert 'Violated "InRangeColumnConstraint" for column "rank"' in error.message
    assert not (tmp_path / "listed.csv").exists()


def test_a_table_may_have_no_rows() -> None:
    assert dg.check_dagster_type(CITIES.dagster_type, CITIES.frame([])).success


def test_declaring_tables_and_their_types_needs_no_pandas() -> None:
    code = (
        "import sys; from ml_assets.assets.typed_tables import DATA_DICTIONARY, LEADERBOARD; "
        "LEADERBOARD.dagster_type, DATA_DICTIONARY.schema(); "
        "print(sorted({'pandas', 'dagster_pandas', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("table", [DATA_DICTIONARY, LEADERBOARD], ids=lambda table: table.name)
def test_the_type_tells_its_columns(table: TypedTable) -> None:
    told = table.dagster_type
    assert told is table.dagster_type
    assert told.unique_name == table.name
    assert told.description == table.description
    [schema] = told.metadata.values()
    assert isinstance(schema, dg.TableSchemaMetadataValue)
    assert [c.name for c in schema.schema.columns] == [c.name for c in table.columns]
    assert "{unit}" not in str(schema)
