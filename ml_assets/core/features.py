"""Features: what a model is given about an event, declared one by one, and the table that holds them.

Here are the features that a row gives by itself, as expressions; one that looks across rows is refused, since it
would see what was not yet known. What an event knows of other rows is declared as a `HistoryFeature`, see `history`.
How values become a model's numbers is in `encoding`; the features of a pipeline are in its `features.py`.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

import polars as pl

from ml_assets.core.errors import ConfigError
from ml_assets.core.history import Earlier, HistoryFeature, history_columns, mistakes_of
from ml_assets.core.row_by_row import why_not_row_by_row
from ml_assets.core.windows import Window

ROW_NUMBER = "row_number"
EVENT_AT = "event_at"
LABEL = "label"
LABEL_KNOWN_AT = "label_known_at"
FIXED_COLUMNS = (ROW_NUMBER, EVENT_AT, LABEL, LABEL_KNOWN_AT)
SLICE_PREFIX = "slice_"
"""What precedes the name of a kept column, so that it can't be taken for a feature."""

NO_DELAY = timedelta(0)

_HISTORY = "history "

Kind = Literal["number", "category"]
DTYPES: dict[Kind, pl.DataType] = {"number": pl.Float64(), "category": pl.String()}
"""Kind of feature -> dtype of its column."""


@dataclass(frozen=True)
class Feature:
    """One input of the model, known at the event's time.

    Args:
        name: its column's name, a Python identifier.
        expr: row-by-row expression on the columns of the validated table.
        kind: `number` (stored as Float64) or `category` (stored as String).
        unit: of a number; None where it has none.
        description: what it says about the event, and how it comes to be known in time.
    """

    name: str
    expr: pl.Expr = field(compare=False, repr=False)
    kind: Kind = field(kw_only=True)
    unit: str | None = field(kw_only=True, default=None)
    description: str = field(kw_only=True, default="")


def columns_among(features: Iterable[object]) -> list[Feature | HistoryFeature]:
    """Those that are columns of the features table; the others are fitted when a model is trained."""
    return [f for f in features if isinstance(f, Feature | HistoryFeature)]


def build_features(
    validated: pl.LazyFrame,
    features: Sequence[Feature | HistoryFeature],
    *,
    label: str,
    event_time: str,
    known_at: str,
    label_delay: timedelta = NO_DELAY,
    keep: Sequence[str] = (),
    known_late: Mapping[str, str] | None = None,
    earlier: Earlier | None = None,
    classes: Sequence[str] = (),
) -> pl.LazyFrame:
    """The features of each validated row, with its label and when the label was known.

    A feature may be null (missing); NaN counts as missing. Values that might be infinite are looked at once and
    history features are computed when this is called; everything else is lazy.

    Args:
        validated: rows of the table, with `row_number`.
        features: what to compute.
        label: column that is predicted: a number, Boolean (false 0, true 1), or one of `classes`.
        event_time: Datetime column: when the event happened.
        known_at: Datetime column: when the label became known.
        label_delay: how long after that it reaches us. `label_known_at` holds it already, so that splits, folds and
            measurements respect it without knowing of it.
        keep: columns or features to store beside, for slices; they are no input of the model.
        known_late: columns that are not known at the event's time -> the time column that says when; `label` and
            `known_at` are added.
        earlier: rows before the partition, for history features; None: there are none, the table begins with its
            first event.
        classes: values of the label column in the order of the classes, as text; none: the column is a number.

    Returns:
        `row_number` UInt32, `event_at` and `label_known_at` Datetime, `label` Float64, then the features in
        the order given (Float64 or String), then `slice_<name>` for each name in `keep`.

    Raises:
        ConfigError: what is declared can't be computed, or not in time; lists all mistakes.
    """
    schema = validated.collect_schema()
    late = {label: known_at, known_at: known_at, **(known_late or {})}
    by_row = [f for f in features if isinstance(f, Feature)]
    history = [f for f in features if isinstance(f, HistoryFeature)]
    mistakes = _mistakes_of_columns(schema, features, (event_time, known_at), keep)
    mistakes += _mistakes_of_label(schema, label, classes)
    for feature in features:
        found = _mistakes_of_name(feature.name)
        if isinstance(feature, Feature):
            found += _mistakes_of(feature, schema, set(late))
        else:
            found += mistakes_of(feature, schema, event_time, late)
            found += _mistakes_of_delay(feature, label, label_delay)
        mistakes += [f"{feature.name}: {m}" for m in found]
    mistakes = mistakes or _infinite(validated, by_row, schema, label) + _unknown_classes(validated, label, classes)
    if mistakes:
        raise _refused(mistakes)
    values = {f.name: _value(f, schema).alias(f.name) for f in by_row}
    if history:
        earlier = earlier or Earlier([], _first(validated, event_time))
        figures = history_columns(validated, history, event_time=event_time, known_late=late, earlier=earlier)
        values |= {f.name: pl.col(_HISTORY + f.name).alias(f.name) for f in history}
        validated = pl.concat([validated, figures.lazy().select(pl.all().name.prefix(_HISTORY))], how="horizontal")
    return validated.select(
        pl.col(ROW_NUMBER).cast(pl.UInt32),
        pl.col(event_time).dt.cast_time_unit("us").alias(EVENT_AT),
        _label(label, classes).alias(LABEL),
        (pl.col(known_at).dt.cast_time_unit("us") + label_delay).alias(LABEL_KNOWN_AT),
        *(values[f.name] for f in features),
        *(values.get(name, pl.col(name)).alias(SLICE_PREFIX + name) for name in dict.fromkeys(keep)),
    )


def row_by_row(schema: pl.Schema, features: Sequence[Feature], known_late: Collection[str]) -> dict[str, pl.Expr]:
    """The expressions that give the features of a row, to be computed on any rows of these columns.

    Args:
        schema: of the rows.
        features: what to compute.
        known_late: columns that are not known at the event's time.

    Raises:
        ConfigError: a feature can't be computed, or not in time; lists all mistakes.
    """
    mistakes = [f"{f.name}: {m}" for f in features for m in _mistakes_of(f, schema, set(known_late))]
    if mistakes:
        raise _refused(mistakes)
    return {f.name: _value(f, schema).alias(f.name) for f in features}


def _refused(mistakes: list[str]) -> ConfigError:
    return ConfigError(
        "features",
        found=mistakes,
        expected="row-by-row expressions and history features on columns that are known in time, each with a name "
        "of its own, finite or null",
        cure="correct these features (in features.py beside defs.yaml)",
    )


def _first(validated: pl.LazyFrame, event_time: str) -> datetime:
    first: datetime | None = validated.select(pl.col(event_time).dt.replace_time_zone(None).min()).collect().item()
    return first or datetime(9999, 1, 1)


def look_ahead(features: pl.LazyFrame, window: Window) -> dict[str, int]:
    """Rows of a features table that can't be point in time, by what is wrong with them; all 0 where it is.

    Args:
        features: a features table.
        window: the partition's window of event time.
    """
    outside = (pl.col(EVENT_AT) < window.start) | (pl.col(EVENT_AT) >= window.end)
    counts = features.select(
        events_outside_the_partition=outside.sum(),
        labels_known_before_the_event=(pl.col(LABEL_KNOWN_AT) < pl.col(EVENT_AT)).sum(),
    ).collect(engine="streaming")
    return dict(counts.row(0, named=True))


def _mistakes_of_columns(
    schema: pl.Schema,
    features: Sequence[Feature | HistoryFeature],
    times: tuple[str, str],
    keep: Sequence[str],
) -> list[str]:
    mistakes = [] if features else ["there are none"]
    if not schema.get(ROW_NUMBER, pl.Null()).is_integer():
        mistakes.append(f"column {ROW_NUMBER} is {schema.get(ROW_NUMBER, 'missing')}, not an integer")
    mistakes += [
        f"time column {name} is {schema.get(name, 'missing')}, not a Datetime"
        for name in times
        if not isinstance(schema.get(name), pl.Datetime)
    ]
    names = Counter(f.name for f in features)
    mistakes += [f"{name}: {n} features have this name" for name, n in names.items() if n > 1]
    known = {*schema.names(), *names}
    return mistakes + [f"kept column {name} is neither a column nor a feature" for name in keep if name not in known]


def _mistakes_of_delay(feature: HistoryFeature, label: str, delay: timedelta) -> list[str]:
    """A history feature counts rows from a time column on; that a label reaches us later, it can't know."""
    if feature.value != label or not delay:
        return []
    return [
        f"reads {label}, the label, which reaches us {delay} after it became known; add a time column that holds "
        "when it does to the schema, and name it in label.known_at in place of label.delay"
    ]


def _label(column: str, classes: Sequence[str]) -> pl.Expr:
    if not classes:
        return pl.col(column).cast(pl.Float64).fill_nan(None)
    return pl.col(column).cast(pl.String).replace_strict(list(classes), [float(i) for i in range(len(classes))])


def _mistakes_of_label(schema: pl.Schema, label: str, classes: Sequence[str]) -> list[str]:
    dtype = schema.get(label, pl.Null())
    if classes:
        named = dtype.is_integer() or isinstance(dtype, pl.String | pl.Boolean | pl.Categorical | pl.Enum)
        return (
            [] if named else [f"label column {label} is {schema.get(label, 'missing')}, not text, integer or Boolean"]
        )
    fits = dtype.is_numeric() or dtype == pl.Boolean
    return [] if fits else [f"label column {label} is {schema.get(label, 'missing')}, not a number or Boolean"]


def _unknown_classes(validated: pl.LazyFrame, label: str, classes: Sequence[str]) -> list[str]:
    """What the label column holds that is no class, and in how many rows."""
    if not classes:
        return []
    value = pl.col(label).cast(pl.String)
    found = validated.filter(value.is_not_null() & ~value.is_in(list(classes))).select(value.alias(LABEL))
    counts = found.group_by(LABEL).len().sort("len", LABEL, descending=[True, False]).head(5).collect()
    return [f"label column {label} is {name!r} in {n} rows, which is no class" for name, n in counts.iter_rows()]


def _mistakes_of_name(name: str) -> list[str]:
    mistakes = []
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        mistakes.append("its name is no identifier of letters, digits and _")
    if name in FIXED_COLUMNS or name.startswith(SLICE_PREFIX):
        mistakes.append(f"its name is reserved, as are {', '.join(FIXED_COLUMNS)} and {SLICE_PREFIX}*")
    return mistakes


def _mistakes_of(feature: Feature, schema: pl.Schema, late: set[str]) -> list[str]:
    if feature.kind not in DTYPES:
        return [f"kind {feature.kind!r} is neither of {', '.join(DTYPES)}"]
    if reason := why_not_row_by_row(feature.expr):
        return [reason]
    read = dict.fromkeys(feature.expr.meta.root_names())
    mistakes = [f"reads {c}, which is not known at the event's time" for c in read if c in late]
    missing = [f"reads {c}, which is no column of the validated table" for c in read if c not in schema]
    if missing or not read:
        return [*mistakes, *(missing or ["reads no column"])]
    return mistakes + _mistakes_of_dtype(feature, schema)


def _mistakes_of_dtype(feature: Feature, schema: pl.Schema) -> list[str]:
    try:
        dtype = _dtype(feature, schema)
    except pl.exceptions.PolarsError as e:
        return [f"can't be computed: {str(e).splitlines()[0]}"]
    discrete = dtype.is_integer() or dtype == pl.Boolean
    fits = {
        "number": dtype.is_numeric() or discrete,
        "category": discrete or isinstance(dtype, pl.String | pl.Categorical | pl.Enum),
    }
    return [] if fits[feature.kind] else [f"gives {dtype}, which is no {feature.kind}"]


def _dtype(feature: Feature, schema: pl.Schema) -> pl.DataType:
    # Computed on no rows: the schema alone says Int8 for the hour of an integer, without a word.
    return pl.DataFrame(schema=schema).select(feature.expr.alias(feature.name)).schema[feature.name]


def _value(feature: Feature, schema: pl.Schema) -> pl.Expr:
    value = feature.expr.cast(DTYPES[feature.kind])
    # NaN is one more way to say missing; two would make equal rows differ.
    return value.fill_nan(None) if _dtype(feature, schema).is_float() else value


def _infinite(validated: pl.LazyFrame, features: Sequence[Feature], schema: pl.Schema, label: str) -> list[str]:
    """What is infinite, and in how many rows; only floats are looked at."""
    floats = {f.name: f.expr for f in features if _dtype(f, schema).is_float()}
    if schema[label].is_float():
        floats[LABEL] = pl.col(label)
    if not floats:
        return []
    counts = validated.select(e.is_infinite().sum().alias(name) for name, e in floats.items()).collect(
        engine="streaming"
    )
    return [f"{name}: infinite in {n} rows" for name, n in counts.row(0, named=True).items() if n]
