"""`ml-assets explain --request`: one answer, explained from the prediction log, its model's bundle and the ledger.

What an explanation says is in `core.explained_request`; of a model as such, in `explain`.
"""

import json
from typing import TYPE_CHECKING

import click
import dagster as dg

from ml_assets.core.errors import PredictionLogError
from ml_assets.core.explained_request import explained_request, in_words
from ml_assets.resources.ledger import Ledger
from ml_assets.resources.models import Models
from ml_assets.resources.prediction_log import PredictionLogs
from ml_assets.resources.settings import settings
from ml_assets.resources.storage import Store

if TYPE_CHECKING:
    import polars as pl


def explain_request(request_id: str, pipeline: str | None, *, as_json: bool) -> None:
    """Print what was answered to a request, by whom, from what, and why.

    Raises:
        PredictionLogError: the log does not have it; says where was looked.
    """
    from ml_assets.core.served import bundles_of

    roots = settings()
    logs, models = PredictionLogs(root=roots.predictions), Models(root=roots.models)
    where, found = find(logs, request_id, pipeline)
    bundles = {sha256: models.load(sha256) for sha256 in bundles_of(found)}
    record = explained_request(where, found, bundles, Ledger(url=roots.ledger).events(where))
    add_labels(record, Store(root=roots.store))
    if as_json:
        click.echo(json.dumps(record, indent=1, ensure_ascii=False))
        return
    for line in in_words(record):
        click.echo(line)


def find(logs: PredictionLogs, request_id: str, pipeline: str | None) -> "tuple[str, pl.DataFrame]":
    """Whose request it is, and its rows of the log.

    Args:
        logs: where is looked.
        request_id: its id, in full.
        pipeline: whose it is; None: any.

    Raises:
        PredictionLogError: nobody's.
    """
    import polars as pl

    from ml_assets.core.prediction_log import LABEL

    asked = logs.pipelines() if pipeline is None else [pipeline]
    for name in asked:
        rows = logs.find(name, request_id)
        if not rows.filter(pl.col("role") != LABEL).is_empty():
            return name, rows
    looked = []
    for name in asked:
        files, newest = logs.newest(name)
        looked.append(f"it is in none of {files} files of {name}" + (f", the newest begun {newest}" if newest else ""))
    raise PredictionLogError(
        f"request {request_id!r}",
        found=looked or f"no log of any pipeline under {logs.root}",
        expected="an id that a server answered with, as X-Request-Id",
        cure="copy the whole id; one that was answered just now is on disk a second later; name another place with "
        "--data or ML_ASSETS_PREDICTIONS",
    )


def add_labels(record: "dict[str, object]", store: Store) -> None:
    """Fill in labels that were found by the natural key, which the asset `served` has."""
    import polars as pl

    key = dg.AssetKey([str(record["pipeline"]), "served"])
    for partition in store.partitions(key):
        table = store.scan(key, partition).filter(pl.col("request_id") == record["request_id"])
        labels = table.select("row", "label", "label_known_at").drop_nulls().collect()
        for row, label, known_at in labels.iter_rows():
            for told in record["rows"]:  # type: ignore[attr-defined]
                if told["row"] == row and told["label"] is None:
                    told["label"], told["label_known_at"] = label, known_at.isoformat()
