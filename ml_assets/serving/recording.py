"""Answers become entries of the prediction log: the data plane's hook.

What an entry is, is in `core.prediction_log`; who writes it, in `prediction_log`.
"""

from collections.abc import Callable, Mapping
from typing import Any

from ml_assets.core.models.row_values import Columns, row_in_order
from ml_assets.core.prediction_log import ANSWERED, FAILED, Entry
from ml_assets.serving.data_plane import Hook, Served
from ml_assets.serving.metrics import Metrics
from ml_assets.serving.prediction_log import PredictionLog


def recording(logs: Mapping[str, PredictionLog]) -> Hook:
    """What appends an entry per row to the log of its pipeline, with the features as the model was given them."""

    def record(served: Served) -> None:
        append, names = logs[served.pipeline].append, served.model.names
        columns, predictions = served.columns, served.predictions
        role, error = (ANSWERED, None) if predictions is not None else (FAILED, served.error)
        whole = row_in_order(columns, names)
        for row in range(served.rows):
            try:
                values = tuple([columns[name][row] for name in names]) if whole is None else tuple(whole)
            except (KeyError, IndexError):
                values = tuple(_given(columns, name, row) for name in names)
            append(
                Entry(
                    served.request_id, row, served.at_us, served.unit, served.variant, role, served.version, values,
                    None if predictions is None else predictions[row], served.latency_us, error, served.feature_age_s,
                    served.keys[row] if served.keys else None, served.events_us[row] if served.events_us else None,
                )
            )  # fmt: skip

    return record


def _given(columns: Columns, name: str, row: int) -> Any:
    """A value of a request that was refused, which may lack it."""
    return columns[name][row] if row < len(columns.get(name, ())) else None


def tell_of(
    logs: Mapping[str, PredictionLog], metrics: Metrics, beside: Callable[[str], Mapping[str, int]] = lambda _: {}
) -> None:
    """Show what waits for the log, and what became of its entries, at every refresh.

    Args:
        logs: pipeline -> its log.
        metrics: where it is shown.
        beside: a pipeline -> the same of entries that another process writes, by outcome, and `waiting`.
    """

    def bring(metrics: Metrics) -> None:
        for pipeline, log in logs.items():
            more = beside(pipeline)
            metrics.queue.labels("prediction_log", pipeline).set(log.waiting + more.get("waiting", 0))
            for outcome, entries in vars(log.counters).items():
                metrics.log_entries.labels(outcome, pipeline).set(entries + more.get(outcome, 0))

    metrics.on_refresh(bring)
