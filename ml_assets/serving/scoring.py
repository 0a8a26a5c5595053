"""A request whose model is chosen, and what became of scoring it: alone, or together with others of the same moment.

Who chooses the model, and what follows from the result, is in `data_plane`.
"""

import itertools
import time
from collections.abc import Sequence
from math import isfinite
from typing import TYPE_CHECKING, Any, cast

import msgspec

from ml_assets.core.errors import NoFiniteScore
from ml_assets.core.models.row_values import Columns
from ml_assets.serving.picture import Picture, ServedModel

if TYPE_CHECKING:
    from ml_assets.core.models.single_row import Predictions

Keys = Sequence[tuple[Any, ...] | None]
SHOWN = 12


class Asked(msgspec.Struct, frozen=True, gc=False):
    """A request, and who is to answer it.

    Args:
        request_id, pipeline, variant, unit, columns, rows, feature_age_s, keys, events_us: as in `data_plane.Served`.
        model: who is to score it.
        picture: what the pipeline was answered with when it came.
    """

    request_id: str
    pipeline: str
    variant: str
    unit: str
    model: ServedModel
    picture: Picture
    columns: Columns
    rows: int
    feature_age_s: float | None
    keys: Keys | None
    events_us: Sequence[int | None] | None


class Tried(msgspec.Struct, frozen=True, gc=False):
    """What became of it.

    Args:
        predictions: None where scoring failed.
        error: why; None where it did not.
        at_us: when it began, microseconds since 1970 in UTC.
        took_us: microseconds; of those scored together, each one's share.
    """

    predictions: "Predictions | None"
    error: Exception | None
    at_us: int
    took_us: int


def tried(model: ServedModel, columns: Columns, rows: int) -> Tried:
    """Score a request by a model."""
    at, began = time.time_ns() // 1000, time.perf_counter_ns()
    predictions: Predictions | None = None
    error: Exception | None = None
    try:
        predictions = _finite(model, model.predict(columns, rows))
    except Exception as e:
        error = e
    return Tried(predictions, error, at, (time.perf_counter_ns() - began) // 1000)


def tried_together(asked: Sequence[Asked]) -> list[Tried]:
    """What became of each of some requests.

    Single rows for the same model are scored by one call, which takes four fifths of the time. Not while several models
    answer: an arm with more traffic would seem faster for that alone.
    """
    if len(asked) == 1:
        return [tried(asked[0].model, asked[0].columns, asked[0].rows)]
    found: list[Tried | None] = [None] * len(asked)
    places: dict[ServedModel, list[int]] = {}
    for place, one in enumerate(asked):
        if one.rows == 1 and one.picture.one_answers:
            places.setdefault(one.model, []).append(place)
    for model, of in places.items():
        for place, result in zip(of, _of_one_model(model, [asked[p].columns for p in of]), strict=False):
            found[place] = result
    return [result or tried(one.model, one.columns, one.rows) for one, result in zip(asked, found, strict=True)]


def _of_one_model(model: ServedModel, rows: Sequence[Columns]) -> list[Tried]:
    """What became of single rows; nothing where one of them fails, since each then has to fail by itself."""
    at, began = time.time_ns() // 1000, time.perf_counter_ns()
    try:
        predictions = [_finite(model, told) for told in model.predict_each(rows)]
    except Exception:
        return []
    share = (time.perf_counter_ns() - began) // (1000 * len(rows))
    return [Tried(told, None, at, share) for told in predictions]


def _finite(model: ServedModel, predictions: "Predictions") -> "Predictions":
    """The predictions; JSON knows no other numbers, and none of them is an answer.

    Raises:
        NoFiniteScore: one is infinite or NaN.
    """
    flat = (
        itertools.chain(*cast("list[list[float]]", predictions)) if model.several else cast("list[float]", predictions)
    )
    if not all(map(isfinite, flat)):
        raise NoFiniteScore(
            "columns to score",
            found=f"numbers for which model {model.version[:SHOWN]} gives no finite prediction",
            expected="numbers of the size that it was trained on",
            cure="correct what is too large or too small; leave out, as null, what is not known",
        )
    return predictions
