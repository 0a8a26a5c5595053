"""A partition's served requests as a table: who was answered what, from which features, and what turned out to be true.

What the log itself holds is in `prediction_log`; whether the batch path gives the same answers is in `served_as_batch`.
"""

from collections.abc import Mapping, Sequence

import polars as pl

from ml_assets.core.encoding import FeatureSpec
from ml_assets.core.errors import PredictionLogError
from ml_assets.core.features import LABEL, LABEL_KNOWN_AT, ROW_NUMBER
from ml_assets.core.json_values import by_type, column_of, conversions
from ml_assets.core.prediction_log import ANSWERED, FAILED, SCHEMA, SHADOW, joined_by_request, unpacked

FEATURE_PREFIX = "feature_"
"""What precedes the name of a feature, so that it can't be taken for a column of the log."""
LABEL_FROM = "label_from"
"""How a row's label was found: `request` by the request's id, `key` by the natural key; null without a label."""
BY_REQUEST, BY_KEY = "request", "key"

PLAIN = ("request_id", "row", "at", "event_at", "unit", "variant", "role", "bundle", "prediction", "latency_us")
LAST = ("error", "feature_age_s")


def feature_frame(rows: pl.DataFrame, specs: Sequence[FeatureSpec]) -> pl.DataFrame:
    """The features as used, as `Bundle.predict` takes them.

    Args:
        rows: rows of the log, all by one bundle, each with `values`.
        specs: the bundle's features.

    Raises:
        PredictionLogError: a row has other features than the bundle, or a value that is none of its kind; lists them.
    """
    listed = [unpacked(content) or () for content in rows["values"]]
    wrong = [
        f"request {request_id}, row {row}: {what}"
        for request_id, row, values in zip(rows["request_id"], rows["row"], listed, strict=True)
        for what in _misfits(values, specs)
    ]
    if wrong:
        raise PredictionLogError(
            "features of the prediction log",
            found=wrong[:10],
            expected=f"values of {', '.join(s.name for s in specs)}: numbers, or text of categories",
            cure="find out who wrote to the log, or changed it: a server logs what it gave the model",
        )
    columns = list(zip(*listed, strict=True)) or [()] * len(specs)
    return pl.DataFrame(
        {
            s.name: pl.Series([None if v is None else float(v) for v in values] if s.kind == "number" else values,
                              dtype=s.dtype)
            for s, values in zip(specs, columns, strict=True)
        }
    )  # fmt: skip


def _misfits(values: Sequence[object], specs: Sequence[FeatureSpec]) -> list[str]:
    if len(values) != len(specs):
        return [f"{len(values)} values of {len(specs)} features"]
    kinds = {"number": (int, float), "category": (str,)}
    return [
        f"{s.name} is {value!r:.60}, no {s.kind}"
        for s, value in zip(specs, values, strict=True)
        if value is not None and not isinstance(value, kinds[s.kind])
    ]


def served_table(
    rows: pl.DataFrame, specs: Mapping[str, Sequence[FeatureSpec]], labels: pl.DataFrame, *, classes: int = 1
) -> pl.DataFrame:
    """The requests of a partition, in the order of their answers, with a column for each feature of any bundle.

    Args:
        rows: rows of the log, in all roles but `label`.
        specs: SHA-256 of each bundle in `rows` -> its features.
        labels: rows of role `label`.
        classes: how many numbers a prediction has.

    Returns:
        The log's columns; `prediction` a number, or an array of one per class; `feature_<name>` Float64 or String, null
        where the request failed or the bundle has no such feature (`feature_<name>_number` and `_category` where
        bundles differ in what it is); `label`, `label_known_at`, `label_from`; `row_number` of the table's row with the
        same natural key, null until `joined_by_key` finds it.
    """
    joined = joined_by_request(rows.sort("at", maintain_order=True), labels)
    prediction = pl.col("prediction")
    base = joined.select(
        *(
            (prediction.list.first() if classes == 1 else prediction.list.to_array(classes)).alias(name)
            if name == "prediction"
            else name
            for name in PLAIN
        ),
        *LAST,
        "values",
        "key",
        LABEL,
        LABEL_KNOWN_AT,
        pl.when(pl.col(LABEL).is_not_null()).then(pl.lit(BY_REQUEST)).alias(LABEL_FROM),
        pl.lit(None, pl.UInt32).alias(ROW_NUMBER),
        pl.int_range(pl.len()).alias(_PLACE),
    )
    names = _names(specs)
    parts = []
    for bundle, of in specs.items():
        ours = base.filter((pl.col("bundle") == bundle) & pl.col("role").is_in([ANSWERED, SHADOW]))
        features = feature_frame(ours, of).rename({s.name: names[s.name, s.kind] for s in of})
        parts.append(pl.concat([ours.select(_PLACE), features], how="horizontal"))
    if parts:
        features = pl.concat(parts, how="diagonal")
        base = base.join(features, on=_PLACE, how="left", maintain_order="left")
    return base.drop(_PLACE, "values")


_PLACE = "place in the log"


def _names(specs: Mapping[str, Sequence[FeatureSpec]]) -> dict[tuple[str, str], str]:
    """Feature and kind -> its column."""
    kinds: dict[str, set[str]] = {}
    for of in specs.values():
        for s in of:
            kinds.setdefault(s.name, set()).add(s.kind)
    return {
        (name, kind): f"{FEATURE_PREFIX}{name}" + (f"_{kind}" if len(found) > 1 else "")
        for name, found in kinds.items()
        for kind in found
    }


def joined_by_key(served: pl.DataFrame, table: pl.DataFrame | None, key: Sequence[str]) -> tuple[pl.DataFrame, int]:
    """Each request with the row of the table that has its natural key, and with that row's label where it has none.

    A key that several rows of the table have says nothing.

    Args:
        served: as `served_table` gives it.
        table: `row_number`, `label`, `label_known_at` and the columns of `key`; None where it is not there.
        key: names of the columns, in the order in which the server logs their values.

    Returns:
        The requests, without their `key`; and how many found several rows.
    """
    if table is None or not key:
        return served.drop("key"), 0
    counted = table.with_columns(pl.len().over(list(key)).alias(_SAME))
    unique = counted.filter(pl.col(_SAME) == 1).select(
        *key, *(pl.col(name).alias(_OF_KEY + name) for name in (ROW_NUMBER, LABEL, LABEL_KNOWN_AT))
    )
    several = counted.filter(pl.col(_SAME) > 1).select(key).unique()
    typed = typed_keys(served["key"], key, table.schema).rename({name: _OF_REQUEST + name for name in key})
    keyed = pl.concat([served, typed], how="horizontal")
    given = [_OF_REQUEST + name for name in key]
    found = keyed.join(unique, left_on=given, right_on=list(key), how="left", maintain_order="left")
    ambiguous = keyed.join(several, left_on=given, right_on=list(key), how="semi").height
    is_new = pl.col(LABEL).is_null() & pl.col(_OF_KEY + LABEL).is_not_null()
    told = found.with_columns(
        pl.col(_OF_KEY + ROW_NUMBER).alias(ROW_NUMBER),
        *(pl.when(is_new).then(_OF_KEY + name).otherwise(name).alias(name) for name in (LABEL, LABEL_KNOWN_AT)),
        pl.when(is_new).then(pl.lit(BY_KEY)).otherwise(LABEL_FROM).alias(LABEL_FROM),
    )
    return told.select(name for name in served.columns if name != "key"), ambiguous


_SAME, _OF_KEY, _OF_REQUEST = "rows with this key", "of the key: ", "of the request: "


def typed_keys(packed: pl.Series, key: Sequence[str], schema: Mapping[str, pl.DataType]) -> pl.DataFrame:
    """The values of natural keys in the dtypes of the table; null where a request brought none, or none that fits."""
    listed = [unpacked(content) or () for content in packed]
    fitting = [values if len(values) == len(key) else (None,) * len(key) for values in listed]
    columns = {}
    for at, name in enumerate(key):
        parts = by_type([values[at] for values in fitting])
        ways = {kind: way.value for kind, way in conversions(name, schema[name]).items() if kind in parts}
        given = pl.DataFrame({column_of(name, kind): parts[kind] for kind in ways}, schema_overrides={})
        missing = pl.Series(name, [None] * len(fitting), dtype=schema[name])
        columns[name] = given.select(pl.coalesce(*ways.values()).alias(name)).to_series() if ways else missing
    return pl.DataFrame(columns)


def counts(served: pl.DataFrame) -> dict[str, int]:
    """Requests by role, those with a label, and those whose row of the table was found."""
    role = pl.col("role")
    return dict(
        served.select(
            *((role == name).sum().alias(name) for name in (ANSWERED, SHADOW, FAILED)),
            ((role == ANSWERED) & pl.col(LABEL).is_not_null()).sum().alias("labelled"),
            ((role == ANSWERED) & pl.col(ROW_NUMBER).is_not_null()).sum().alias("found_by_key"),
        ).row(0, named=True)
    )


def bundles_of(rows: pl.DataFrame) -> list[str]:
    """The bundles whose features are needed to read some rows of the log, in alphabetical order."""
    scored = rows.filter(pl.col("role").is_in([ANSWERED, SHADOW]))
    return sorted(scored["bundle"].unique())


def no_rows() -> pl.DataFrame:
    """A log without requests."""
    return SCHEMA.to_frame()
