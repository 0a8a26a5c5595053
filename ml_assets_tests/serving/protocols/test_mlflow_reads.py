"""Rows are read as MLflow's own server reads them, form by form."""

import io
import json

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from ml_assets.serving.protocols.azure import Request, table_of
from ml_assets.serving.protocols.rows import instances, of_columns, of_csv, records
from ml_assets_tests.core.test_bundle import FRAME, made

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:.*Any type hint is inferred as AnyType:UserWarning"),  # mlflow 3, of itself
]


@pytest.fixture(scope="module")
def bundle():
    return made()


def mlflow_table(body: str, media: str, bundle) -> pl.DataFrame:
    """The frame that MLflow's own server makes of a body, by the signature that such a model would have."""
    import pandas as pd
    from mlflow.pyfunc import scoring_server
    from mlflow.types import ColSpec, Schema

    schema = Schema([ColSpec("string" if s.kind == "category" else "double", s.name) for s in bundle.specs])
    if media == "text/csv":
        frame = scoring_server.parse_csv_input(io.StringIO(body), schema)
    else:
        data, _ = scoring_server._split_data_and_params(body)
        frame = scoring_server.infer_and_parse_data(data, schema)
    table = pl.from_pandas(pd.DataFrame(frame)).select(FRAME.columns).cast(FRAME.schema).fill_nan(None)
    # Out of `instances` and `inputs` MLflow makes the text "None" of a null.
    return table.with_columns(zone=pl.when(pl.col("zone") != "None").then("zone"))


ROWS = FRAME.head(25).with_columns(zone=pl.when(pl.int_range(25) == 3).then(None).otherwise("zone")).to_dicts()
COLUMNS = {name: [row[name] for row in ROWS] for name in FRAME.columns}


@pytest.mark.parametrize("form", ["dataframe_split", "dataframe_records", "instances", "inputs", "csv"])
def test_rows_are_read_as_mlflow_itself_reads_them(form, bundle):
    frame = pl.DataFrame(ROWS, schema=FRAME.schema)
    split = {"columns": FRAME.columns, "data": [list(row.values()) for row in ROWS]}
    said = {
        "dataframe_split": (split, lambda: table_of(Request(input_data=split), list)),
        "dataframe_records": (ROWS, lambda: records(ROWS)),
        "instances": (ROWS, lambda: instances(ROWS, list)),
        "inputs": (COLUMNS, lambda: of_columns(COLUMNS)),
        "csv": (frame.write_csv(), lambda: of_csv(frame.write_csv(), bundle.specs, 1000)),
    }
    content, ours = said[form]
    if form == "csv":
        theirs = mlflow_table(content, "text/csv", bundle)
    else:
        theirs = mlflow_table(json.dumps({form: content}), "application/json", bundle)
    columns, rows = ours()
    found = pl.DataFrame({name: list(columns[name]) for name in FRAME.columns}, schema=FRAME.schema)
    assert rows == 25
    assert found.equals(frame)
    # pandas reads numbers out of CSV a last bit off.
    assert_frame_equal(found, theirs, check_exact=form != "csv", rel_tol=1e-15, abs_tol=0)
