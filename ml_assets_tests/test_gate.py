"""The gate, as a table: what is decided on a candidate, and what is live afterwards, whoever asks for a release.

Each row: what the evaluation says, what happens between decision and release, and what must come of it.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ml_assets.assets.release import champion, decision
from ml_assets.core.errors import LedgerConflict, MLAssetsError, ReleaseRefused
from ml_assets.resources.clock import Clock
from ml_assets.resources.io_managers import JsonStore
from ml_assets.resources.ledger import Ledger
from ml_assets.resources.tracking import Tracking

CHAMPION, CANDIDATE = "2018-03", "2018-06"


def versus(estimate: float, low: float, high: float) -> dict[str, Any]:
    """Differences to a champion whose MAE is 2.8, in percent of it."""
    found = {"estimate": 0.028 * estimate, "low": 0.028 * low, "high": 0.028 * high}
    return {"differences": {"champion": found, "naive": {"estimate": -4.2, "low": -4.3, "high": -4.1}}}


def against_naive(estimate: float, low: float, high: float) -> dict[str, Any]:
    """Differences to a naive baseline whose MAE is 7, in percent of it."""
    return {"differences": {"naive": {"estimate": 0.07 * estimate, "low": 0.07 * low, "high": 0.07 * high}}}


def slices(**found: tuple[float, float, float]) -> dict[str, Any]:
    """Slices in which the champion's MAE is 3."""
    return {
        "slice_differences": {
            "borough": {
                name: {"rows": 4000, "estimate": e, "low": low, "high": high, "loss": 3.0}
                for name, (e, low, high) in found.items()
            }
        }
    }


def calibration(error: float) -> dict[str, Any]:
    return {"task": "binary", "calibration": {"bins": [], "error": error, "expected_by_chance": 0.01, "bias": {}}}


def by_desk(judged: Any, bundle: str) -> None:
    judged.desk.release(bundle, by="a person", reason="asked")


def in_the_ui(judged: Any, bundle: str, tags: Mapping[str, str] | None = None) -> None:
    """Materialize the asset `champion` alone, as the UI does."""
    records = JsonStore(root=judged.store.root)
    resources = {
        "store": judged.store, "models": judged.models, "ledger": judged.ledger, "records": records,
        "tracking": Tracking(uri="sqlite:///never.db", queue="never"), "clock": Clock(),
    }  # fmt: skip
    upstream = decision(judged.pipeline)
    with dg.DagsterInstance.ephemeral() as instance:
        dg.materialize(
            [champion(judged.pipeline), upstream, *upstream_of(judged)], selection=[judged.pipeline.key("champion")],
            resources=resources, tags=dict(tags or {}), instance=instance,
        )  # fmt: skip


def of_the_partition(judged: Any, bundle: str) -> None:
    """The same in a run for the candidate's partition."""
    in_the_ui(judged, bundle, {"dagster/partition": CANDIDATE})


def upstream_of(judged: Any) -> list[dg.AssetsDefinition]:
    @dg.asset(key=judged.pipeline.key("evaluation"), partitions_def=judged.pipeline.table.partitions)
    def evaluation() -> None:
        """Never run here."""

    return [evaluation]


def nothing(judged: Any, bundle: str) -> None:
    """Nobody interferes."""


def tamper_with_the_kept_record(judged: Any, bundle: str) -> None:
    files = Path(judged.store.root).glob("duration/decision/records/*.json")
    [file] = [f for f in files if bundle in f.read_text()]
    file.write_text(json.dumps({**json.loads(file.read_text()), "rows": 1_000_000}))


def tamper_with_the_shown_record(judged: Any, bundle: str) -> None:
    """Turn a rejection into a promotion where people see it, with a hash that fits."""
    from ml_assets.core.decision_record import own_sha256

    record = {**judged.decide(bundle, **versus(3, 2, 4)), "verdict": "promote"}
    file = Path(judged.store.root) / f"duration/decision/{CANDIDATE}.json"
    file.write_text(json.dumps({**record, "sha256": own_sha256(record)}))


def tamper_with_the_bundle(judged: Any, bundle: str) -> None:
    (Path(judged.models.root) / bundle / "manifest.json").write_text("{}")


def release_another(judged: Any, bundle: str) -> None:
    """Somebody forces another bundle in the meantime."""
    judged.desk.release(judged.bundle("2018-06", "other"), by="ann", reason="now", forced=True)


def go_back_from_it(judged: Any, bundle: str) -> None:
    judged.desk.release(bundle, by="run 1", reason="asked")
    judged.desk.roll_back(to=None, by="ann", reason="complaints", not_before=None)


@dataclass
class Row:
    """One row of the table.

    Args:
        changes: what the evaluation says; by default it is 2 % better, surely.
        verdict: what is decided.
        live: what is live in the end.
        words: what the reasons or the refusal say.
        first: whether there is no champion before.
        between: what happens between decision and release.
        release: how the release is asked for.
        refused: the error that the release ends with.
    """

    verdict: str
    live: str | None
    words: str
    changes: dict[str, Any] = field(default_factory=dict)
    first: bool = False
    between: Callable[[Any, str], None] = nothing
    release: Callable[[Any, str], None] = by_desk
    refused: type[MLAssetsError] | None = ReleaseRefused


def passes(words: str, **more: Any) -> Row:
    return Row("promote", "candidate", words, refused=None, **more)


def rejected(words: str, changes: dict[str, Any], **more: Any) -> Row:
    return Row("reject", "champion", words, changes, **more)


ROWS = {
    "better": passes("-2.00%"),
    "better, materialized for its partition": passes("-2.00%", release=of_the_partition),
    "worse": rejected("surely worse", versus(3, 2, 4)),
    "equal": rejected("surely not better by the 1.00% that matters", versus(0, -0.5, 0.5)),
    "better but not surely": Row("undecided", "champion", "labels would tell", versus(-1, -3, 1)),
    "better overall but one slice ruined": rejected("borough = Queens: +10.00%", slices(Queens=(0.3, 0.1, 0.5))),
    "one slice surely worse, but by less than matters": passes("-2.00%", changes=slices(Queens=(0.1, 0.01, 0.2))),
    "one slice worse, but not surely": passes("-2.00%", changes=slices(Queens=(0.3, -0.1, 0.7))),
    "too few labels": Row("undecided", "champion", "300 holdout rows", {"rows": 300}),
    "too few labels, and it looks worse": Row("undecided", "champion", "not judged", versus(9, 8, 10) | {"rows": 300}),
    "miscalibrated": rejected("calibration error 0.0400", calibration(0.04)),
    "miscalibrated by no more than chance and margin": passes("-2.00%", changes=calibration(0.03)),
    "champion missing": passes("-60.", first=True),
    "champion missing, not surely better than naive": Row(
        "undecided", None, "not yet sure", against_naive(-2, -4, 0), first=True
    ),
    "champion missing, better than naive by less than the margin": Row(
        "reject", None, "surely not reached", against_naive(-0.5, -0.9, -0.1), first=True
    ),
    "better than the champion, but not than naive": rejected(
        "surely not reached", {"differences": versus(-2, -3, -1)["differences"] | against_naive(1, 0, 2)["differences"]}
    ),
    "champion trained on holdout rows": rejected(
        "has learnt from rows of this holdout", {"champion": None, "champion_learnt_holdout": True}
    ),
    "evaluated against no champion although there is one": rejected("evaluate again", {"champion": None}),
    "tampered record": Row(
        "promote", "champion", "does not have its hash", between=tamper_with_the_kept_record
    ),
    "tampered record of a first candidate": Row(
        "promote", None, "does not have its hash", between=tamper_with_the_kept_record, first=True
    ),
    "rejection turned into a promotion": Row(
        "promote", "champion", "the decision on it is `reject`", between=tamper_with_the_shown_record
    ),
    "tampered bundle": Row("promote", "champion", "nobody can force", between=tamper_with_the_bundle),
    "tampered bundle, materialized": Row(
        "promote", "champion", "nobody can force", between=tamper_with_the_bundle, release=of_the_partition
    ),
    "compared with a champion that is live no longer": Row(
        "promote", "other", "compares it with champion", between=release_another
    ),
    "gone back from by a person": Row("promote", "champion", "ann went back from it", between=go_back_from_it),
    "gone back from by a person, materialized": Row(
        "promote", "champion", "", between=go_back_from_it, release=of_the_partition, refused=None
    ),
    "direct materialization after a rejection": rejected(
        "surely worse", versus(3, 2, 4), release=in_the_ui, refused=None
    ),
    "direct materialization of its partition after a rejection": rejected(
        "surely worse", versus(3, 2, 4), release=of_the_partition, refused=None
    ),
    "direct materialization after a rejection, without a champion": Row(
        "reject", None, "surely not reached", against_naive(2, 1, 3), first=True, release=in_the_ui, refused=None
    ),
    "direct materialization while undecided": Row(
        "undecided", "champion", "", {"rows": 300}, release=of_the_partition, refused=None
    ),
}  # fmt: skip


@pytest.mark.parametrize("row", [pytest.param(row, id=name) for name, row in ROWS.items()])
def test_the_gate(judged, row):
    bundles = {} if row.first else {"champion": judged.make_live(CHAMPION)}
    bundles |= {"candidate": judged.bundle(CANDIDATE), "other": judged.bundle(CANDIDATE, "other")}
    record = judged.decide(bundles["candidate"], **row.changes)
    assert record["verdict"] == row.verdict
    row.between(judged, bundles["candidate"])
    said = [" ".join([*record["reasons"], *(c["words"] for c in record["checks"])])]
    if row.refused is None:
        row.release(judged, bundles["candidate"])
    else:
        with pytest.raises(row.refused) as refused:
            row.release(judged, bundles["candidate"])
        assert "cure: " in str(refused.value)
        said.append(str(refused.value))
    assert row.words in " ".join(said)
    now = judged.desk.live()
    assert (now and now.bundle) == bundles.get(row.live)
    before = len(judged.kinds())
    if row.live == "candidate":
        row.release(judged, bundles["candidate"])
        assert len(judged.kinds()) == before, "released once"


def test_of_two_parallel_releases_one_wins_and_the_other_is_told(judged, monkeypatch):
    judged.make_live(CHAMPION)
    first, second = judged.bundle(CANDIDATE, "first"), judged.bundle(CANDIDATE, "second")
    for bundle in (first, second):
        judged.decide(bundle)
    append = Ledger.append

    def after_the_other(self, pipeline, kind, facts, *, after):
        """Just before the second is written, the first is."""
        monkeypatch.setattr(Ledger, "append", append)
        judged.desk.release(first, by="run 1", reason="asked")
        return append(self, pipeline, kind, facts, after=after)

    monkeypatch.setattr(Ledger, "append", after_the_other)
    with pytest.raises(LedgerConflict, match="written by somebody else") as told:
        judged.desk.release(second, by="run 2", reason="asked")
    assert "cure: " in str(told.value)
    assert judged.desk.live().bundle == first
    with pytest.raises(ReleaseRefused, match="compares it with"):
        judged.desk.release(second, by="run 2", reason="asked again")


def test_a_person_may_override_and_it_is_kept_as_such(judged):
    judged.make_live(CHAMPION)
    worse = judged.bundle(CANDIDATE)
    judged.decide(worse, **versus(3, 2, 4))
    now = judged.desk.release(worse, by="ann", reason="the champion learnt from wrong meters", forced=True)
    assert (now.bundle, now.scores_from) == (worse, datetime(2018, 7, 1))
    event = judged.desk.events()[-1]
    assert {
        "forced": True,
        "by": "ann",
        "reason": "the champion learnt from wrong meters",
    }.items() <= event.facts.items()


def test_nobody_can_force_a_damaged_bundle_or_another_pipelines(judged):
    bundle, foreign = judged.bundle(CANDIDATE), judged.bundle(CANDIDATE, pipeline="tips")
    tamper_with_the_bundle(judged, bundle)
    for wrong in (bundle, foreign, "0" * 64):
        with pytest.raises(ReleaseRefused, match="cure: "):
            judged.desk.release(wrong, by="ann", reason="I want it", forced=True)
    assert judged.desk.events() == []
