"""The frozen record of a decision: what was compared with what, by which rules, and what came of it.

It carries the hashes of everything it rests on, and its own. How a decision is made is in `promotion`; what a record
gives the right to is in `release_rights`.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from ml_assets.core.policy import Policy
from ml_assets.core.promises import Promise
from ml_assets.core.promotion import Decision
from ml_assets.core.releases import Champion, Event

FORMAT = 1


def canonical(record: Mapping[str, Any]) -> bytes:
    """One text for one content: sorted keys, no NaN; as the store writes records."""
    return json.dumps(record, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False).encode()


def sha256_of(record: Mapping[str, Any]) -> str:
    """SHA-256 of a record's canonical text."""
    return hashlib.sha256(canonical(record)).hexdigest()


def own_sha256(record: Mapping[str, Any]) -> str:
    """SHA-256 of a decision record without the field that holds it."""
    return sha256_of({name: value for name, value in record.items() if name != "sha256"})


def freeze(
    pipeline: str, evaluation: Mapping[str, Any], policy: Policy, decision: Decision, champion: Champion | None
) -> dict[str, Any]:
    """The record of a decision.

    Args:
        pipeline: whose.
        evaluation: the record of the asset `evaluation`; its SHA-256 here is its data version.
        policy: the rules.
        decision: what came of them.
        champion: the live champion at the time.

    Returns:
        JSON-able, free of times and places: the same evidence gives the same record. `sha256` is its own hash.
    """
    record = {
        "format": FORMAT,
        "pipeline": pipeline,
        "bundle": evaluation["bundle"],
        "as_of": evaluation["as_of"],
        "scores_from": evaluation["scores_from"],
        "rows": evaluation["rows"],
        "promised": Promise.of(evaluation, policy.metric).to_json(),
        "evaluation": sha256_of(evaluation),
        "holdout": evaluation["holdout"],
        "policy": policy.to_json(),
        "policy_sha256": sha256_of(policy.to_json()),
        "champion": None if champion is None else {
            "bundle": champion.bundle, "as_of": champion.as_of, "sequence": champion.sequence,
        },
        "verdict": decision.verdict,
        "reasons": list(decision.reasons),
        "checks": [check.to_json() for check in decision.checks],
        "labels_missing": decision.labels_missing,
    }  # fmt: skip
    return {**record, "sha256": own_sha256(record)}


def decided_facts(
    record: Mapping[str, Any], evaluation: Mapping[str, Any], reason: str, cause: str | None = None
) -> dict[str, Any]:
    """What the ledger keeps of a decision.

    Args:
        record: its record.
        evaluation: what it rests on.
        reason: why the candidate was trained.
        cause: key of the evidence that asked for the training; None where a person did.
    """
    metric, metrics = record["policy"]["metric"], evaluation["metrics"]
    return {
        "bundle": record["bundle"],
        "as_of": record["as_of"],
        "scores_from": record["scores_from"],
        "verdict": record["verdict"],
        "record": record["sha256"],
        "reason": reason,
        "cause": cause,
        "reasons": list(record["reasons"]),
        "labels_missing": record["labels_missing"],
        "rows_trained": evaluation["rows_trained"],
        "holdout_metric": metrics["candidate"][metric],
        "holdout_metric_naive": metrics["naive"][metric],
        "promised": record["promised"],
    }


def record_faults(record: Mapping[str, Any] | None, decision: Event) -> list[str]:
    """What is wrong with a record that should be that of a decision in the ledger, in words; empty if nothing is."""
    if record is None:
        return [f"the record of decision {decision.sequence} is not there"]
    faults = []
    if record.get("sha256") != own_sha256(record):
        faults.append(f"the record of decision {decision.sequence} was changed: its content does not have its hash")
    if record.get("sha256") != decision.facts["record"]:
        faults.append(
            f"the record with hash {str(record.get('sha256'))[:12]}… is not the one of decision {decision.sequence}, "
            f"{decision.facts['record'][:12]}…"
        )
    if not faults and any(record[name] != decision.facts[name] for name in ("bundle", "verdict", "as_of")):
        faults.append(f"the record of decision {decision.sequence} tells of another decision than the ledger")
    return faults
