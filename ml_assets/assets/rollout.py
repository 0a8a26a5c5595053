"""Group `serving`: the rollout that is open, or the last one, with what was seen of it."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from ml_assets.assets.metadata import record_output, table_of
from ml_assets.assets.rollout_log import seen_of
from ml_assets.core.rollout.recorded import SHOWN, rollouts
from ml_assets.problem import Pipeline
from ml_assets.resources.ledger import Ledger
from ml_assets.resources.models import Models
from ml_assets.resources.prediction_log import PredictionLogs
from ml_assets.resources.reports import Reports
from ml_assets.resources.storage import Store

BASIS_POINTS = 100
"""Of a percent."""
SHOWN_OF_A_GUARDRAIL = ("guardrail", "broken", "estimate", "limit", "rows")
GUARDRAILS, REQUESTS, LABELS = "guardrails_hold", "requests_arrive", "labels_arrive"
CHECKS = {
    GUARDRAILS: "No guardrail is broken: failures, latency, predictions, losses.",
    REQUESTS: "The candidate is asked, or scored beside; otherwise it can't go on, and ends when it is too old.",
    LABELS: "Labels of requests that both models have scored come in; otherwise losses can't be compared.",
}


def rollout(pipeline: Pipeline) -> dg.AssetsDefinition:
    """`<p>/rollout`: state, arms, evidence and history of the rollout that is open, or of the last one."""
    key = pipeline.key("rollout")

    @dg.asset(
        key=key,
        deps=[pipeline.key("decision")],
        description="How the candidate takes the traffic: state, arms, guardrails with their evidence, and every step "
        "with its reasons. The ledger moves it, see the sensor; materialized, this only shows it.",
        group_name="serving",
        kinds={"json"},
        io_manager_key="records",
        check_specs=[dg.AssetCheckSpec(name, asset=key, description=words) for name, words in CHECKS.items()],
    )
    def rollout_now(
        store: Store, models: Models, ledger: Ledger, reports: Reports, prediction_logs: PredictionLogs
    ) -> Iterator[dg.Output[Any] | dg.AssetCheckResult]:
        from ml_assets.core.rollout.report import NONE, report

        every = rollouts(ledger.events(pipeline.name))
        if not every:
            yield record_output(NONE, {"state": "none: no candidate has been rolled out yet"})
            yield from (_checked(key, name, passed=True, found="no rollout yet") for name in CHECKS)
            return
        told = report(every[-1], seen_of(pipeline, every[-1], store, models, prediction_logs))
        yield record_output(told, shown(told) | picture(key, told, reports))
        yield from checks(key, told)

    return rollout_now


def shown(told: dict[str, Any]) -> dict[str, Any]:
    """What the UI shows."""
    missing = told["loss_ruled_out"]
    return {
        "state": told["state"]["phase"].replace("_", " "),
        "rollout": told["rollout"],
        "share_percent": told["state"]["weight"] / BASIS_POINTS,
        "reasons": dg.MetadataValue.md("\n".join(f"- {r}" for r in told["reasons"])),
        **({} if missing is None else {"loss_ruled_out": missing["words"]}),
        "arms": table_of([_arm(a) for a in told["arms"]]),
        "guardrails": table_of([{name: _short(f[name]) for name in SHOWN_OF_A_GUARDRAIL} for f in told["guardrails"]]),
        "history": table_of([_event(e) for e in told["history"]]),
    }


def _arm(told: dict[str, Any]) -> dict[str, Any]:
    """A line of the table of arms; bounds hold at every look at once."""
    ends = [told["p99_low_ms"], told["p99_high_ms"]]
    low, high = ("unbounded" if end is None else f"{end:.4g}" for end in ends)
    return {
        "variant": told["variant"],
        "bundle": told["bundle"][:SHOWN],
        "share_percent": told["weight"] / BASIS_POINTS,
        **{name: told[name] for name in ("answered", "scored", "failed")},
        "failed_bounds": f"{told['failed_low']:.2%} to {told['failed_high']:.2%}",
        "p99_ms": _short(told["p99_ms"]),
        "p99_bounds": None if ends == [None, None] else f"{low} to {high}",
        "labels": told["labels"],
        "mean_loss": _short(told["mean_loss"]),
    }


def _event(told: dict[str, Any]) -> dict[str, Any]:
    at = datetime.fromisoformat(told["at"]).astimezone(UTC)
    return {
        "at_utc": f"{at:%Y-%m-%d %H:%M:%S}",
        "action": told["action"].replace("_", " "),
        "share_percent": told["weight"] / BASIS_POINTS,
        "by": told["by"],
        "reasons": "; ".join(told["reasons"]),
    }


def _short(value: Any) -> Any:
    return float(f"{value:.4g}") if isinstance(value, float) else value


def picture(key: dg.AssetKey, told: dict[str, Any], reports: Reports) -> dict[str, dg.MetadataValue]:
    """The picture of the rollout's way."""
    from ml_assets.core.rollout.pictures import way_and_limits

    return reports.picture(key, told["rollout"], "way_and_limits", way_and_limits(told))


def checks(key: dg.AssetKey, told: dict[str, Any]) -> Iterator[dg.AssetCheckResult]:
    """Whether guardrails hold, and whether there is anything to judge by while it is open."""
    broken = [f["words"] for f in told["guardrails"] if f["broken"]]
    yield _checked(key, GUARDRAILS, passed=not broken, found="; ".join(broken) or "none is broken")
    scored = told["arms"][1]["scored"]
    yield _checked(
        key, REQUESTS, passed=not told["open"] or scored > 0, warn=True,
        found=f"{scored:,} requests" + ("" if scored else "; see that a server runs: `ml-assets serve`"),
    )  # fmt: skip
    labels = told["labels"] or told["arms"][1]["labels"]
    yield _checked(
        key, LABELS, passed=not told["open"] or labels > 0, warn=True,
        found=f"{labels:,} labels" + ("" if labels else "; set serving.key, or deliver them by request id"),
    )  # fmt: skip


def _checked(key: dg.AssetKey, name: str, *, passed: bool, found: str, warn: bool = False) -> dg.AssetCheckResult:
    severity = dg.AssetCheckSeverity.WARN if warn else dg.AssetCheckSeverity.ERROR
    return dg.AssetCheckResult(
        check_name=name, asset_key=key, passed=passed, severity=severity, metadata={"found": found}
    )
