"""One served request, explained: what was answered by whom, from which features, and why that model was there.

Where the parts come from is in `ml_assets.explain_request`; SHAP values over many rows are in `explanation`.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import polars as pl

from ml_assets.core.bundle import Bundle
from ml_assets.core.explanation import Contributing
from ml_assets.core.prediction_log import ANSWERED, LABEL, SHADOW, joined_by_request
from ml_assets.core.releases import Event, decision_on, told
from ml_assets.core.served import feature_frame

SHOWN = 12


def explained_request(
    pipeline: str, found: pl.DataFrame, bundles: Mapping[str, Bundle], events: Sequence[Event]
) -> dict[str, Any]:
    """Everything about a request, JSON-able.

    Args:
        pipeline: whose.
        found: its rows of the log in every role, at least one of them no label.
        bundles: SHA-256 -> bundle, of all that scored it.
        events: the pipeline's ledger.

    Raises:
        PredictionLogError: its features are not those of its bundle.
    """
    is_label = pl.col("role") == LABEL
    rows = joined_by_request(found.filter(~is_label), found.filter(is_label))
    scored = [_row(r, rows[i : i + 1], bundles.get(r["bundle"])) for i, r in enumerate(rows.iter_rows(named=True))]
    answers = [r for r in scored if r["role"] != SHADOW]
    shadows = [r for r in scored if r["role"] == SHADOW]
    for answer in answers:
        ours = [s for s in shadows if s["row"] == answer["row"]]
        answer["shadows"] = [{n: s[n] for n in ("model", "variant", "prediction", "error", "latency_us")} for s in ours]
    return {
        "request_id": rows["request_id"][0],
        "pipeline": pipeline,
        "rows": answers or shadows,
        "models": {sha256: _model(bundle, events) for sha256, bundle in bundles.items()},
    }


def _row(row: Mapping[str, Any], frame: pl.DataFrame, bundle: Bundle | None) -> dict[str, Any]:
    prediction = row["prediction"]
    return {
        "row": row["row"],
        "role": row["role"],
        "at": _iso(row["at"]),
        "event_at": _iso(row["event_at"]),
        "unit": row["unit"],
        "variant": row["variant"],
        "model": row["bundle"],
        "prediction": prediction[0] if prediction is not None and len(prediction) == 1 else prediction,
        "error": row["error"],
        "latency_us": row["latency_us"],
        "feature_age_s": row["feature_age_s"],
        **_features(frame, bundle),
        "label": row["label"],
        "label_known_at": _iso(row["label_known_at"]),
    }


def _features(row: pl.DataFrame, bundle: Bundle | None) -> dict[str, Any]:
    """The features of a row that was scored, and how much each moved the raw score, where the model can tell."""
    if bundle is None or row["role"][0] not in (ANSWERED, SHADOW):
        return {"features": None, "contributions": None}
    frame = feature_frame(row, bundle.specs)
    told: dict[str, Any] = {"features": frame.row(0, named=True), "contributions": None}
    if isinstance(bundle.model, Contributing):
        names, shares = bundle.model.contributions(frame, bundle.specs, threads=1)
        by_class = shares[0].tolist() if shares.ndim == 3 else [shares[0].tolist()]
        listed = {name: [of[i] for of in by_class] for i, name in enumerate(names)}
        told["contributions"] = {name: of[0] if len(of) == 1 else of for name, of in listed.items()}
    return told


def _model(bundle: Bundle, events: Sequence[Event]) -> dict[str, Any]:
    training, decision = bundle.facts["training"], decision_on(events, bundle.sha256)
    partitions = training["partitions"]
    return {
        "kind": [m["kind"] for m in bundle.facts["models"]],
        "as_of": bundle.as_of,
        "training_window": [min(partitions), max(partitions)],
        "learning": bundle.facts["learning"],
        "data": dict(partitions),
        "decision": None if decision is None else {"sequence": decision.sequence, **decision.facts},
        "history": [told(e) for e in events if e.facts.get("bundle") == bundle.sha256],
    }


def _iso(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()


def in_words(record: Mapping[str, Any]) -> Iterator[str]:
    """The lines that a person reads."""
    yield f"request {record['request_id']} to {record['pipeline']}"
    for row in record["rows"]:
        yield ""
        yield from _row_in_words(row)
    for sha256, model in record["models"].items():
        yield ""
        yield from _model_in_words(sha256, model)


def _row_in_words(row: Mapping[str, Any]) -> Iterator[str]:
    by = f"{row['model'][:SHOWN]} ({row['variant']})"
    answer = f"failed: {row['error']}" if row["prediction"] is None else f"{row['role']} {row['prediction']}"
    event = f", event at {row['event_at']}" if row["event_at"] else ""
    yield f"row {row['row']}: {answer} by {by}"
    yield f"  at          {row['at']} UTC, in {row['latency_us'] / 1000:.2f} ms{event}"
    yield f"  unit        {row['unit'] or 'the request itself'}"
    label = "none yet" if row["label"] is None else f"{row['label']}, known at {row['label_known_at']}"
    yield f"  label       {label}"
    for shadow in row.get("shadows", ()):
        told = shadow["error"] if shadow["prediction"] is None else shadow["prediction"]
        yield f"  shadow      {told} by {shadow['model'][:SHOWN]} ({shadow['variant']})"
    if row["features"] is None:
        return
    age = "" if row["feature_age_s"] is None else f", the newest history {row['feature_age_s']:.0f} s old"
    yield f"  features as used{age}"
    shares = row["contributions"] or {}
    width = max(map(len, [*row["features"], *shares]))
    given = {**row["features"], **{name: "encoded" for name in shares if name not in row["features"]}}
    for name in sorted(given, key=lambda n: -_size(shares.get(n))):
        value = "missing" if given[name] is None else given[name]
        moved = f"  moved the raw score by {_signed(shares[name])}" if name in shares else ""
        yield f"    {name:<{width}}  {value!s:<20}{moved}".rstrip()


def _size(share: Any) -> float:
    return float(max(map(abs, share)) if isinstance(share, list) else abs(share or 0.0))


def _signed(share: Any) -> str:
    return ", ".join(f"{s:+.4g}" for s in (share if isinstance(share, list) else [share]))


def _model_in_words(sha256: str, model: Mapping[str, Any]) -> Iterator[str]:
    first, last = model["training_window"]
    yield f"model {sha256}"
    yield f"  trained     {' and '.join(model['kind'])} as of the end of {model['as_of']}, on {first} … {last}"
    yield from (f"  {line}" for line in model["history"])
    decision = model["decision"]
    if decision is not None:
        yield f"  decision    event {decision['sequence']}: {decision['verdict']}, record {decision['record'][:SHOWN]}"
        yield from (f"    {reason}" for reason in decision["reasons"])
    yield "  learnt from (SHA-256 of the features)"
    yield from (f"    {partition}  {sha}" for partition, sha in sorted(model["data"].items()))
