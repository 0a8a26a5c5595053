"""Streams with known truth through staleness and retraining: every decision, exactly; see scenarios.yaml."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from ml_assets.core.retraining.causes import asked, scheduled
from ml_assets.core.retraining.decision import Decision, RetrainingRules, decide
from ml_assets.core.retraining.evidence import Evidence
from ml_assets.core.retraining.observed import Observed, Partition, Realised, Report, Tenure
from ml_assets.core.retraining.plan import Learning
from ml_assets.core.retraining.staleness import seen, staleness
from ml_assets.core.retraining.staleness_rules import StalenessRules
from ml_assets.core.retraining.trainings import Training
from ml_assets.core.windows import Window

# Months and days stay text.
SCENARIOS = yaml.load((Path(__file__).parent / "scenarios.yaml").read_text(), yaml.BaseLoader)
STALENESS = StalenessRules()
RULES = RetrainingRules(Learning(window=12, shortest=3, held=0.66, min_rows=500, tunes=True))
VERDICTS = {"stable": "stable", "drifted": "drifted", "abrupt": "drifted", "few": "not_enough_rows"}


def month_after(month: str) -> datetime:
    return (datetime.fromisoformat(f"{month}-01") + timedelta(days=31)).replace(day=1)


class Stream:
    """A pipeline without Dagster: what a resource would know, what a sensor would start, what the ledger would keep."""

    def __init__(self) -> None:
        self.partitions: dict[str, Partition] = {}
        self.reports: list[Report] = []
        self.realised: dict[str, Realised] = {}
        self.failed_runs: dict[str, str] = {}
        self.trainings: list[Training] = []
        self.run_keys: list[str] = []
        self.log: list[str] = []
        self.last: Decision | None = None
        self.now = datetime(2020, 1, 2, tzinfo=UTC)
        for month in range(1, 13):
            self.land(f"2019-{month:02}", {})
        self.tenures = [Tenure("m0", datetime(2020, 1, 1), self.now)]

    def land(self, month: str, step: dict) -> None:
        window = Window(month, datetime.fromisoformat(f"{month}-01"), month_after(month))
        rows = int(step.get("rows", 1000))
        labelled = step.get("labelled", rows)
        versions = {"features": f"{month} {step.get('version', 'v1')}"}
        defects = tuple(step.get("defects", ()))
        self.partitions[month] = Partition(
            window, self.now, versions=versions, rows=rows, labelled=int(labelled), defects=defects
        )

    def step(self, step: dict) -> None:
        month = step.get("land", "")
        day = step.get("on") or f"{month_after(month or step['expect']):%Y-%m}-02"
        self.now = datetime.fromisoformat(day).replace(tzinfo=UTC)
        if month:
            self.land(month, step)
            self.realised.pop(month, None)
        if expected := step.get("expect"):
            self.land(expected, {"rows": 0})
            self.partitions[expected] = replace(self.partitions[expected], landed=False, versions={})
        if isinstance(step.get("labelled"), dict):
            for known, rows in step["labelled"].items():
                self.partitions[known] = replace(self.partitions[known], labelled=int(rows))
        asks = [scheduled(self.now, "0 0 2 * *", self.champion)] if "tick" in step else []
        asks += [asked(day, "ann", step["ask"], self.champion)] if "ask" in step else []
        for _ in range(10):
            decision = self.decide(asks)
            if not self.carry_out(decision, step):
                return
        raise AssertionError("it does not come to rest")

    @property
    def champion(self) -> str:
        return self.tenures[-1].bundle

    def decide(self, asks: list) -> Decision:
        observed = Observed(
            list(self.partitions.values()), self.reports, list(self.realised.values()), self.tenures, self.failed_runs
        )
        evidence = Evidence.of(staleness(observed, STALENESS, self.now), asks)
        decision = decide(evidence, list(self.partitions.values()), self.trainings, RULES, seen(observed))
        if self.last is None or decision.digest != self.last.digest:
            self.write(decision)
        self.last = decision
        return decision

    def write(self, decision: Decision) -> None:
        plan = decision.plan
        told = f" {plan.how} as of {plan.as_of} on {plan.window}: " if plan else ": "
        self.log.append(f"{self.now:%Y-%m-%d} {decision.action}{told}{decision.reasons[0]}")

    def carry_out(self, decision: Decision, step: dict) -> bool:
        """Run what was decided; whether anything was."""
        new = {month: key for month, key in decision.evidence.refreshes.items() if key not in self.run_keys}
        for month, key in new.items():
            self.run_keys.append(key)
            self.judge(month, step)
        if decision.action == "retrain" and decision.key not in self.run_keys:
            self.run_keys.append(decision.key)
            self.train(decision, step["training"])
            return True
        return bool(new)

    def judge(self, month: str, step: dict) -> None:
        said = step["report"]
        partition = self.partitions[month]
        observed = Observed(list(self.partitions.values()), tenures=self.tenures)
        champion = observed.tenure_of(partition).bundle
        if said == "fails":
            self.failed_runs[month] = f"run of {month}"
            return
        self.reports.append(
            Report(
                month, self.now, partition.versions, champion, VERDICTS[said], said == "abrupt", f"{month} {champion}"
            )
        )
        if error := step.get("error"):
            value = {"kept": 3.0, "broken": 3.4}[error]
            self.realised[month] = Realised(
                month,
                self.now,
                partition.versions,
                champion,
                value,
                3.2,
                value > 3.2,
                partition.labelled,
                said == "abrupt",
            )

    def train(self, decision: Decision, outcome: str) -> None:
        bundle = f"m{len(self.trainings) + 1}"
        known = decision.numbers.get("seen", {})
        self.trainings.append(Training(decision.plan.as_of, outcome, decision.evidence, decision.plan, bundle, known))
        self.log.append(f"{self.now:%Y-%m-%d} {outcome} {bundle}")
        if outcome == "promoted":
            self.tenures.append(Tenure(bundle, self.partitions[decision.plan.as_of].window.end, self.now))


@pytest.mark.parametrize("name", SCENARIOS)
def test_scenario(name):
    stream = Stream()
    for step in SCENARIOS[name]["steps"]:
        stream.step(step)
    assert "\n".join(stream.log) == "\n".join(SCENARIOS[name]["log"])
    assert len(stream.run_keys) == len(set(stream.run_keys))
