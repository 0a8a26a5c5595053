"""The state machine of a rollout: state and what was seen in, next state and reasons out.

Guardrails come first: they hold in every state, paused or not. Nothing here knows a clock, a log or a ledger.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from ml_assets.core.durations import in_words
from ml_assets.core.rollout.bandit import probably_better, thompson_weight
from ml_assets.core.rollout.differences import RuledOut, ruled_out
from ml_assets.core.rollout.guardrails import judge
from ml_assets.core.rollout.observed import Leg, Pairs, Sums, stratified
from ml_assets.core.rollout.rules import SHADOW, TESTS, Rules
from ml_assets.core.rollout.state import OVER, Action, Phase, State, Transition
from ml_assets.core.routing import WHOLE
from ml_assets.core.sequential import LEAST_ROWS, Number, mean_radius


def begin(rules: Rules, now: datetime, why: str) -> Transition:
    """The first state of a rollout."""
    state = State(_phase(rules, 0), 0, rules.steps[0], now, now, paired=rules.paired)
    return Transition("advance", state, (why, f"begins with {in_percent(rules.steps[0])}"))


def step(state: State, legs: Sequence[Leg], rules: Rules, now: datetime) -> Transition:
    """What follows from a look.

    Args:
        state: where the rollout stands.
        legs: what was seen since it began, period by period.
        rules: what it goes by.
        now: time of the look, aware.
    """
    if state.over:
        return Transition("stay", state, (f"it has ended: {state.phase}",))
    findings = judge(legs, rules.guardrails, paired=rules.paired)
    evidence = {"findings": [f.to_json() for f in findings], **counted(legs)}
    told = tuple(f.words for f in findings)
    if broken := tuple(f.words for f in findings if f.broken):
        return Transition("roll_back", _ended(state, "rolled_back"), broken, evidence)
    feared = ruling_out(state, legs, rules)
    evidence |= {} if feared is None else {"loss_ruled_out": feared.to_json()}
    lacking = _lacking(state, legs, rules, now, feared)
    if state.paused is None and (age := now - state.begun - timedelta(seconds=state.held)) > rules.max_age:
        why = f"{in_words(age)} old, at most {in_words(rules.max_age)}; the champion stays"
        return Transition("expire", _ended(state, "expired"), (why, *lacking, *told), evidence)
    if state.paused is not None:
        return Transition("stay", state, (f"paused since {state.paused:%Y-%m-%d %H:%M} UTC", *told), evidence)
    if rules.strategy in TESTS:
        return _tested(state, legs, rules, now, lacking, evidence)
    if lacking:
        return Transition("stay", state, (*lacking, *told), evidence)
    after = state.step + 1
    if after < len(rules.steps):
        moved = replace(state, phase=_phase(rules, after), step=after, weight=rules.steps[after], since=now)
        why = f"from {in_percent(state.weight)} to {in_percent(moved.weight)}: no guardrail is broken"
        return Transition("advance", moved, (why, *told), evidence)
    return Transition(
        "promote", _ended(state, "promoted"), ("all steps are done, no guardrail is broken", *told), evidence
    )


def pause(state: State, now: datetime, why: str) -> Transition:
    """A person holds it where it is; guardrails go on."""
    if state.paused is not None:
        return Transition("stay", state, (f"paused already, since {state.paused:%Y-%m-%d %H:%M} UTC",))
    return _asked("pause", state, replace(state, paused=now), why)


def resume(state: State, now: datetime, why: str) -> Transition:
    """A person lets it go on; the time in which it was paused counts neither for its step nor for its age."""
    if state.paused is None:
        return Transition("stay", state, ("it is not paused",))
    held = now - state.paused
    moved = replace(state, paused=None, since=state.since + held, held=state.held + held.total_seconds())
    return _asked("resume", state, moved, why)


def abort(state: State, why: str) -> Transition:
    """A person ends it; the champion stays."""
    return _asked("abort", state, _ended(state, "aborted"), why)


def supersede(state: State, why: str) -> Transition:
    """Something newer ends it: another candidate, or another champion."""
    return _asked("supersede", state, _ended(state, "superseded"), why)


def turn_down(state: State, why: str, evidence: Mapping[str, Any]) -> Transition:
    """It is ended at once: by a server's breaker, or because it came to its end and must not be released."""
    return Transition("roll_back", _ended(state, "rolled_back"), (why,), evidence)


def released(state: State, why: str) -> Transition:
    """Its candidate is the champion."""
    return _asked("promote", state, _ended(state, "promoted"), why)


def in_percent(weight: int) -> str:
    """A weight in words: `shadow`, `5 %`."""
    return "shadow" if weight == SHADOW else f"{weight / 100:g} %"


def counted(legs: Sequence[Leg]) -> dict[str, Any]:
    """How much was seen of either, in all."""
    told = {}
    for who in ("champion", "candidate"):
        seen = [getattr(leg, who) for leg in legs]
        told[who] = {name: int(sum(getattr(s, name) for s in seen)) for name in ("answered", "tried", "failed")}
    return {**told, "labels": int(sum((leg.losses.rows for leg in legs), 0))}


def _asked(action: Action, before: State, after: State, why: str) -> Transition:
    if before.phase in OVER:
        return Transition("stay", before, (f"it has ended: {before.phase}",))
    return Transition(action, after, (why,))


def _phase(rules: Rules, at: int) -> Phase:
    if rules.strategy in TESTS:
        return "test"
    if rules.steps[at] == SHADOW:
        return "shadow"
    return "green" if rules.strategy == "blue_green" else "canary"


def _ended(state: State, phase: Phase) -> State:
    return replace(state, phase=phase, weight=WHOLE if phase == "promoted" else 0, paused=None)


def ruling_out(state: State, legs: Sequence[Leg], rules: Rules) -> RuledOut | None:
    """Whether the loss is ruled out that has to be before this step is left; None: none has to be."""
    limit = rules.guardrails.loss_ruled_out
    if limit is None or state.over or not rules.rules_out_at(state.step):
        return None
    return ruled_out(legs, limit, rules.guardrails.own_alpha, paired=rules.paired)


def _lacking(
    state: State, legs: Sequence[Leg], rules: Rules, now: datetime, feared: RuledOut | None
) -> tuple[str, ...]:
    """What this step still waits for, in words."""
    own = [leg for leg in legs if leg.step == state.step]
    requests = int(sum(leg.candidate.tried if state.weight == SHADOW else leg.candidate.answered for leg in own))
    told = []
    if requests < rules.min_requests:
        told.append(f"{in_percent(state.weight)}: {requests:,} of {rules.min_requests:,} requests")
    champion = int(sum(leg.champion.answered for leg in own))
    if rules.strategy in TESTS and champion < rules.min_requests:
        told.append(f"{in_percent(state.weight)}: {champion:,} of {rules.min_requests:,} requests of the champion")
    if (spent := (state.paused or now) - state.since) < rules.min_time:
        told.append(f"{in_percent(state.weight)}: {in_words(spent)} of {in_words(rules.min_time)}")
    labels = int(sum((leg.losses.rows if rules.paired else _of_either(leg) for leg in legs), 0))
    last = state.step + 1 == len(rules.steps)
    if last and labels < rules.min_labels:
        told.append(f"{labels:,} of {rules.min_labels:,} labels")
    if feared is not None and not feared.holds:
        told.append(f"{in_percent(state.weight)}: {feared.words}")
    return tuple(told)


def _of_either(leg: Leg) -> Number:
    return leg.champion.losses.rows + leg.candidate.losses.rows


def losses_apart(legs: Sequence[Leg], rules: Rules) -> Sums:
    """Sums of candidate − champion of the realised losses."""
    paired: Pairs = sum((leg.losses for leg in legs), Pairs())
    return paired.difference() if rules.paired else stratified(legs, "losses")


def compared_losses(legs: Sequence[Leg], rules: Rules) -> tuple[Sums, Number]:
    """Candidate − champion of the realised losses, and how far the mean may be from the true one at any look."""
    found = losses_apart(legs, rules)
    return found, mean_radius(found.rows, found.variance, rules.guardrails.alpha, one_sided=False)


def _tested(
    state: State, legs: Sequence[Leg], rules: Rules, now: datetime, lacking: tuple[str, ...],
    evidence: dict[str, Any],
) -> Transition:  # fmt: skip
    """An A/B test ends when its confidence sequence no longer holds zero; a bandit moves its weights until then."""
    found, radius = compared_losses(legs, rules)
    low, high = float(found.mean - radius), float(found.mean + radius)
    told = f"loss: {float(found.mean):+.4g} against the champion ({low:+.4g} to {high:+.4g}, {int(found.rows):,} rows)"
    evidence = {**evidence, "difference": {"estimate": float(found.mean), "low": _finite(low), "high": _finite(high)}}
    if not lacking and high < 0:
        return Transition("promote", _ended(state, "promoted"), (f"{told}: surely better",), evidence)
    if not lacking and low > 0:
        return Transition("roll_back", _ended(state, "rolled_back"), (f"{told}: surely worse",), evidence)
    if rules.strategy == "bandit" and now - state.since >= rules.min_time and _counts(legs, rules):
        weight = thompson_weight(found, now=state.weight, floor=rules.floor)
        if weight is not None:
            likely = f"the better one with probability {float(probably_better(found)):.2f}"
            why = f"from {in_percent(state.weight)} to {in_percent(weight)}: {likely}"
            return Transition("reweigh", replace(state, weight=weight, since=now), (why, told), evidence)
    return Transition("stay", state, (*lacking, told), evidence)


def _counts(legs: Sequence[Leg], rules: Rules) -> bool:
    """Whether losses of the period that is open will count: not paired, only where both have answered enough."""
    fewest = min(int(legs[-1].champion.answered), int(legs[-1].candidate.answered)) if legs else 0
    return rules.paired or fewest >= LEAST_ROWS


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
