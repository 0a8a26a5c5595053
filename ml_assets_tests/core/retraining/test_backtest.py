"""Backtests on toy streams: one number a month, and models that predict the mean of those they have learnt from."""

import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import pytest

from ml_assets.core.errors import ConfigError, ContractError, EvidenceError, TrainingError
from ml_assets.core.retraining.backtest import History, Judgement, Measured, Ruling, Step, World, replay
from ml_assets.core.retraining.backtest_policies import ByRules, Every, Never, Present, to_compare
from ml_assets.core.retraining.backtest_report import compare
from ml_assets.core.retraining.decision import Decision, RetrainingRules
from ml_assets.core.retraining.evidence import Evidence
from ml_assets.core.retraining.observed import Partition
from ml_assets.core.retraining.plan import Learning
from ml_assets.core.retraining.staleness_rules import StalenessRules
from ml_assets.core.retraining.trainings import Plan
from ml_assets.core.windows import Window

RULES = RetrainingRules(Learning(window=12, shortest=3, held=0.66, min_rows=500))
CONFIGURED = ByRules("configured", StalenessRules(), RULES)
DELAYS = (timedelta(0), timedelta(days=20), timedelta(days=65))


def months(levels: list[float]) -> list[Partition]:
    starts = [datetime(2018 + n // 12, n % 12 + 1, 1) for n in range(len(levels) + 1)]
    windows = [Window(f"{s:%Y-%m}", s, e) for s, e in pairwise(starts)]
    return [Partition(w, w.end.replace(tzinfo=UTC), rows=1000, labelled=1000) for w in windows]


@dataclass
class Toy:
    """A stream: `levels` is the truth of each month; rows differ from it by 1 on average."""

    levels: list[float]
    keys: list[str] = field(init=False)
    calls: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.partitions = months(self.levels)
        self.keys = [p.key for p in self.partitions]

    def train(self, as_of: str, plan: Plan) -> tuple[float, str]:
        self.calls.append(f"train {as_of} {plan.window}")
        end = self.keys.index(as_of) + 1
        return float(np.mean(self.levels[max(0, end - plan.window) : end])), as_of

    def score(self, model: tuple[float, str], partition: str) -> tuple[float, int]:
        self.calls.append(f"score {partition}")
        return 1 + abs(self.levels[self.keys.index(partition)] - model[0]), 1000

    def judge(self, model: tuple[float, str], partition: str) -> Judgement:
        apart = abs(self.levels[self.keys.index(partition)] - model[0])
        return Judgement("drifted" if apart > 2 else "stable", abrupt=apart > 5)

    def world(self, bound: float | None = None, delay: timedelta = timedelta(0), **facts) -> World:
        """Labels of a month are known `delay` after its end; error above `bound` breaks it."""
        ends = {p.key: p.window.end + delay for p in self.partitions}

        def measure(model: tuple[float, str], partition: str, now: datetime) -> Measured:
            if ends[partition] > now:
                return Measured(None, bound, False, 0, ends[partition])
            loss, rows = self.score(model, partition)
            return Measured(loss, bound, loss > bound, rows)

        return World(
            self.train,
            self.score,
            self.judge,
            measure=None if bound is None else measure,
            labelled=lambda partition, now: 1000 if ends[partition] <= now else 0,
            **facts,
        )

    @property
    def initial(self) -> Plan:
        return Plan(self.keys[11], "refit", 12)


CALM = [10.0 + (n % 2) / 10 for n in range(30)]
SHIFT = [*CALM[:20], *(30.0 + n / 10 for n in range(10))]


def trained(history: History) -> list[tuple[str, int]]:
    return [(t.plan.as_of, t.plan.window) for t in history.trainings]


def test_each_policy_on_a_calm_stream():
    toy = Toy(CALM)
    of = {p.name: replay(p, toy.partitions, toy.world(), toy.initial) for p in to_compare(CONFIGURED, toy.keys[11])}
    assert {name: len(h.trainings) for name, h in of.items()} == {
        "never": 0, "every 1 on 12": 18, "every 1 on 3": 18, "every 3 on 12": 6, "every 3 on 3": 6, "drift": 0,
        "performance": 0, "configured": 0,
    }  # fmt: skip
    assert {s.as_of for s in of["never"].steps} == {"2018-12"}
    assert [s.partition for s in of["never"].steps] == toy.keys[12:]
    assert trained(of["every 3 on 3"])[:2] == [("2019-03", 3), ("2019-06", 3)]
    assert [s.as_of for s in of["every 3 on 12"].steps[:5]] == [*["2018-12"] * 3, *["2019-03"] * 2]


def test_each_policy_on_an_abrupt_shift():
    toy = Toy(SHIFT)
    world = toy.world(bound=3.0)
    of = {p.name: replay(p, toy.partitions, world, toy.initial) for p in to_compare(CONFIGURED, toy.keys[11])}
    # 2019-09 is the first month after the shift. A model as of 2019-10 still learns from one before it, so that the
    # months that follow are far from it as well; one as of 2019-12 does not.
    assert trained(of["drift"]) == [("2019-10", 3), ("2019-12", 3)]
    assert trained(of["performance"]) == [("2019-09", 3), ("2019-10", 3), ("2019-11", 3)]
    assert trained(of["configured"]) == trained(of["performance"]), "error speaks first, and drift has nothing to add"
    report = compare(list(of.values()), "configured", seed=0)
    errors = {o.policy: o.error for o in report.outcomes}
    assert errors["never"] > errors["every 1 on 12"] > errors["drift"] > errors["configured"]
    assert errors["configured"] == pytest.approx(errors["every 1 on 3"], rel=0.05), "with a sixth of the trainings"
    assert all(o.regret >= 0 for o in report.outcomes)
    assert report.hindsight == tuple(min(o.losses[i] for o in report.outcomes) for i in range(18))


def test_the_loop_of_one_replay_by_hand():
    toy = Toy([0, 0, 0, 10, 10, 10])
    policy = ByRules(
        "drift",
        StalenessRules(performance=None),
        RetrainingRules(Learning(2, 1, 0.5, 0), cooldown=1, runs=9, reserve=0),
    )
    history = replay(policy, toy.partitions, toy.world(cost=lambda model: 7.0), Plan("2018-02", "refit", 2))
    assert history.steps == (
        Step("2018-03", "2018-02", 1.0, 1000, "stable"),
        Step("2018-04", "2018-02", 11.0, 1000, "drifted"),
        Step("2018-05", "2018-02", 11.0, 1000, "drifted"),
        Step("2018-06", "2018-05", 1.0, 1000, "stable"),
    )
    (one,) = history.trainings
    assert (one.plan.as_of, one.plan.window, one.outcome, one.cost) == ("2018-05", 2, "promoted", 7.0)
    assert one.reasons[0] == "2 of the last 3 reports drifted (2 are enough): 2018-04 (abruptly), 2018-05 (abruptly)"


def test_a_rejected_candidate_does_not_answer_and_counts():
    toy = Toy(SHIFT)
    world = toy.world(
        decide=lambda live, candidate, as_of: Ruling("promoted" if as_of >= "2019-12" else "rejected", "so be it")
    )
    history = replay(replace(CONFIGURED, name="c"), toy.partitions, world, toy.initial)
    assert [(t.plan.as_of, t.outcome) for t in history.trainings][:3] == [
        ("2019-10", "rejected"), ("2019-11", "rejected"), ("2019-12", "promoted"),
    ]  # fmt: skip
    assert {s.as_of for s in history.steps if s.partition <= "2019-12"} == {"2018-12"}
    (outcome,) = compare([history], "c", seed=0).outcomes
    assert (outcome.trainings, outcome.promoted) == (len(history.trainings), len(history.trainings) - 2)
    assert {t.words for t in history.trainings} == {"so be it"}


def test_a_training_that_fails_costs_nothing_changes_nothing_and_is_told():
    toy = Toy(SHIFT)

    def train(as_of: str, plan: Plan) -> tuple[float, str]:
        if as_of == "2019-02":
            raise TrainingError("training set", found="nothing", expected="rows", cure="wait")
        return toy.train(as_of, plan)

    world = replace(toy.world(cost=lambda model: 2.0), train=train)
    history = replay(Every(1, 3, "2018-12"), toy.partitions, world, toy.initial)
    failed = history.trainings[1]
    assert (failed.plan.as_of, failed.outcome, failed.cost) == ("2019-02", "failed", 0.0)
    assert "nothing" in failed.words
    assert [s.as_of for s in history.steps[1:4]] == ["2019-01", "2019-01", "2019-03"]


def test_an_error_is_measured_again_when_more_labels_are_known():
    toy, asked = Toy(CALM), []

    def measure(model: tuple[float, str], partition: str, now: datetime) -> Measured:
        asked.append((partition, f"{now:%Y-%m}"))
        again = datetime(2019, 4, 10) if partition == "2019-01" and now < datetime(2019, 5, 1) else None
        return Measured(1.0, 3.0, False, 500, again)

    replay(Never(), toy.partitions, replace(toy.world(), measure=measure), toy.initial)
    assert [now for partition, now in asked if partition == "2019-01"] == ["2019-02", "2019-05"]
    assert len(asked) == 18 + 1


def test_no_schedule_learns_from_less_than_what_is_held_back():
    rules = replace(RULES, learning=Learning(window=6, shortest=2, held=2.5, min_rows=0))
    names = [p.name for p in to_compare(replace(CONFIGURED, retraining=rules), "2018-12")]
    assert names[1:3] == ["every 1 on 6", "every 1 on 3"]


def test_the_schedule_asks_where_its_ticks_fall():
    toy = Toy(CALM)
    history = replay(replace(CONFIGURED, ticks=frozenset(toy.keys[12::2])), toy.partitions, toy.world(), toy.initial)
    assert trained(history) == [("2019-01", 12), ("2019-03", 12), ("2020-01", 12), ("2020-03", 12)], "within the budget"


@dataclass
class Spy:
    """Notes what it is shown, and trains when told."""

    train_at: str
    as_of: str = ""
    shown: list[Present] = field(default_factory=list)
    name: str = "spy"

    def decide(self, present: Present) -> Decision:
        self.shown.append(present)
        if present.newest != self.train_at:
            return Decision("ignore", ("not now",), Evidence())
        return Decision("retrain", ("now",), Evidence(), "key", Plan(self.as_of or present.newest, "refit", 3))


@pytest.mark.parametrize("delay", DELAYS)
def test_no_policy_sees_what_is_later_than_its_present_or_not_known_yet(delay):
    toy, spy = Toy(SHIFT), Spy("2019-06")
    replay(spy, toy.partitions, toy.world(bound=3.0, delay=delay), toy.initial)
    assert [p.newest for p in spy.shown] == toy.keys[12:]
    for present in spy.shown:
        ends = {p.key: p.window.end.replace(tzinfo=UTC) for p in toy.partitions}
        observed = present.observed
        assert max(ends[p.key] for p in observed.partitions) == present.now
        assert max(ends[r.partition] for r in observed.reports) == present.now
        assert all(ends[r.partition] + delay <= present.now for r in observed.realised)
        assert all((p.labelled > 0) == (ends[p.key] + delay <= present.now) for p in observed.partitions)
        assert all(t.at <= present.now for t in observed.tenures)
        assert all(t.as_of <= present.newest for t in present.trainings)
    known = [len(p.observed.realised) for p in spy.shown]
    assert known[-1] == 18 - {0: 0, 20: 1, 65: 3}[delay.days]
    assert spy.shown[-1].observed.live.bundle == "m1"


def test_a_model_of_a_time_to_come_is_refused_and_so_is_nothing_to_replay():
    toy = Toy(CALM)
    with pytest.raises(EvidenceError, match="as of 2019-07 at the end of 2019-06"):
        replay(Spy("2019-06", "2019-07"), toy.partitions, toy.world(), toy.initial)
    for initial in (toy.keys[-1], "2031-01"):
        with pytest.raises(EvidenceError, match="no partition after"):
            replay(Never(), toy.partitions, toy.world(), Plan(initial, "refit", 12))
    with pytest.raises(ConfigError, match="every 0 partitions"):
        Every(0, 12, "2018-12")


def test_models_and_scores_that_several_policies_want_are_made_once():
    toy = Toy(SHIFT)
    world = toy.world(bound=3.0)
    policies = to_compare(CONFIGURED, toy.keys[11])
    plain = [replay(p, toy.partitions, world, toy.initial) for p in policies]
    asked = len(toy.calls)
    toy.calls.clear()
    remembering = world.remembering()
    assert [replay(p, toy.partitions, remembering, toy.initial) for p in policies] == plain
    assert len(toy.calls) < 0.6 * asked
    assert len([c for c in toy.calls if c.startswith("train")]) == len({c for c in toy.calls if c.startswith("train")})


# What the histories are worth


def history(name: str, losses: list[float], trainings: int = 0, rows: list[int] | None = None) -> History:
    toy = Toy([0.0] * 12)
    plan = Plan("2018-01", "refit", 3)
    done = replay(Every(1, 3, "2018-01"), toy.partitions, toy.world(), plan).trainings[:trainings]
    rows = rows or [100] * len(losses)
    steps = [Step(f"{n:02}", "x", loss, r, "stable") for n, (loss, r) in enumerate(zip(losses, rows, strict=True))]
    return History(name, tuple(steps), done)


NOISE = np.random.default_rng(0).normal(0, 0.1, 24)


def test_errors_are_weighted_by_rows_and_regret_is_against_the_best_of_each_partition():
    report = compare([history("a", [1, 3], 1, [300, 100]), history("b", [2, 2], 0, [300, 100])], "a", seed=0)
    a, b = report.outcomes
    assert (a.error, b.error) == (1.5, 2.0)
    assert report.hindsight == (1, 2)
    assert (a.regret, b.regret) == (0.25, 0.75)
    assert b.behind is None, "too few partitions"
    assert "a: error 1.5 with 1 trainings" in report.words


def test_a_policy_that_trains_more_has_to_be_worth_it():
    base = 3 + NOISE
    few = history("few", (base + 0.01 * np.random.default_rng(1).normal(size=24)).tolist(), 1)
    often = history("often", base.tolist(), 8)
    bad = history("bad", (base + 0.3).tolist(), 0)
    report = compare([often, few, bad], "often", seed=0)
    assert report.recommended == "few"
    assert report.gain.low < 0 < report.gain.high
    assert "not surely" in report.words
    better = history("better", (base - 0.2 + NOISE / 5).tolist(), 8)
    report = compare([better, few, bad], "few", seed=0)
    assert report.recommended == "better"
    assert report.gain.low > 0
    assert report.gain.estimate == pytest.approx(0.2, abs=0.03)
    assert "surely" in report.words
    assert "not surely" not in report.words
    assert report.outcomes[2].behind.low > 0.3
    assert compare([better, few, bad], "better", seed=0).words.endswith("it is the configured one")


def test_the_interval_covers_a_known_difference():
    covered = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        base = 3 + rng.normal(0, 0.5, 24)
        pair = [history("a", (base + 0.2 + rng.normal(0, 0.2, 24)).tolist(), 1), history("b", base.tolist(), 0)]
        gain = compare(pair, "a", seed=seed).gain
        covered += gain is not None and gain.low <= 0.2 <= gain.high
    assert covered >= 52, "95 % of 60 are 57"


def test_what_can_not_be_compared_is_refused_all_at_once():
    a, other = history("a", [1, 2]), history("a", [1, 2, 3])
    with pytest.raises(ContractError) as caught:
        compare([a, other], "z", seed=0)
    assert len(caught.value.found) == 3
    with pytest.raises(ContractError, match="no rows"):
        compare([history("a", [1], rows=[0])], "a", seed=0)


def test_it_is_json():
    toy = Toy(SHIFT)
    histories = [replay(p, toy.partitions, toy.world(), toy.initial) for p in (Never(), CONFIGURED)]
    told = json.loads(json.dumps(compare(histories, "configured", seed=0).to_json()))
    assert [o["policy"] for o in told["outcomes"]] == ["never", "configured"]
    assert len(told["outcomes"][0]["losses"]) == len(told["partitions"]) == 18
