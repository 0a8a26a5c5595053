"""Tuning: Optuna's TPE proposes parameters and what to learn from, folds before the holdout judge them.

A study that was killed after any trial and is resumed gives the same trials and the same winner: suggestion k
depends on the seed and on the trials that ended before it, and on nothing else. What can be chosen is in
`search_space`, how a trial is scored in `trial_scoring`, where studies are stored in `ml_assets.resources.studies`.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ml_assets.core.errors import ConfigError, TrainingError
from ml_assets.core.manifest import Manifest
from ml_assets.core.pruning import Curves
from ml_assets.core.search_range import Choice, Value
from ml_assets.core.search_space import RECENCY
from ml_assets.core.stable_hash import salt
from ml_assets.core.trial_scoring import Scored, TrialScorer, TuningPlan
from ml_assets.core.trials import EndedBy, Origin, TrialRecord, Tuned, ranked

if TYPE_CHECKING:
    from optuna import Study, Trial

FORMAT = 2
"""Part of a study's name: another one where the meaning of a trial changes."""
RANDOM_TRIALS = 10
"""Trials, the given ones included, before TPE has enough to tell good from bad; Optuna's own default."""
_MOST_TREES = 1_000_000
_RECORD, _CURVES = "record", "curves"
OnTrial = Callable[[TrialRecord, int, TrialRecord | None], None]
"""Told of each trial that ended, how many there will be at most, and the best so far."""


@dataclass(frozen=True)
class _Given:
    """A trial that is not left to TPE: why it is made, and its values."""

    origin: Origin
    values: Mapping[str, Value]


def study_name(pipeline: str, plan: TuningPlan, manifest: Manifest, warm_start: Sequence[Mapping[str, Value]]) -> str:
    """Name of the study of exactly this training set, space, folds and seed, so that no other training takes it over.

    Neither the number of trials nor the time they may take is in it: more trials continue the same study.
    """
    told = {
        "format": FORMAT,
        "pipeline": pipeline,
        "partitions": dict(manifest.partitions),
        "split": manifest.split.to_json(),
        "plan": plan.to_json(),
        "warm_start": [dict(values) for values in warm_start],
    }
    digest = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
    return f"{pipeline} as of {manifest.as_of} {digest[:16]}"


def tune(
    study: "Study",
    plan: TuningPlan,
    *,
    trials: int,
    threads: int,
    clock: Callable[[], float],
    timeout_seconds: float | None = None,
    warm_start: Sequence[Mapping[str, Value]] = (),
    on_trial: OnTrial | None = None,
) -> Tuned:
    """Find parameters; continues where the study stands.

    The first trials are given: the untuned model, then `warm_start`, then large and small trees, then the untuned
    parameters with each other learning window and half-life that the space lists, since that choice may matter most
    and is not to be left to luck. All others are TPE's (Bergstra et al. 2011, Algorithms for hyper-parameter
    optimization).

    Args:
        study: minimising, named by `study_name`; of one process at a time.
        plan: what is searched, and by what it is judged.
        trials: as many as there are at most, those of earlier calls included.
        threads: how many LightGBM may use; no trial depends on it.
        clock: seconds since any instant.
        timeout_seconds: once the trials, those of earlier calls included, have taken so long, no further one is
            started. Their number then depends on the machine; what makes it repeatable is the study's record, by
            which the same call later gives the same again.
        warm_start: values of the space to try first, as `Tuned.warm_start` of the champion gives them.
        on_trial: told of each trial of this call.

    Raises:
        TrainingError: no trial could be completed, or another process has taken the study over.
    """
    _fail_leftovers(study)
    given, scorer = _given(plan, warm_start), TrialScorer(plan, threads)
    done = records(study)[:trials]
    ended_by: EndedBy = "trials"
    while len(done) < trials:
        if timeout_seconds is not None and done and sum(t.seconds for t in done) >= timeout_seconds:
            ended_by = "timeout"
            break
        done.append(_one_trial(study, plan, scorer, len(done), given, clock))
        if on_trial is not None:
            on_trial(done[-1], trials, next(iter(ranked(done)), None))
    if not ranked(done):
        raise TrainingError(
            f"study {study.study_name}",
            found=[f"trial {t.number}: {t.reason}" for t in done],
            expected="one trial at least whose model could be trained",
            cure="correct tuning.space, model.params or what is learnt from",
        )
    return _tuned(study.study_name, plan, done, ended_by)


def records(study: "Study") -> list[TrialRecord]:
    """The trials of a study that have ended, by number."""
    return [record for record, _ in _ended(study)]


def _ended(study: "Study") -> "list[tuple[TrialRecord, Mapping[str, Any]]]":
    from optuna.trial import TrialState

    told = [
        (TrialRecord.from_json(t.user_attrs[_RECORD]), t.user_attrs[_CURVES])
        for t in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
    ]
    return sorted(told, key=lambda t: t[0].number)


def _fail_leftovers(study: "Study") -> None:
    """Mark trials that a killed process left behind as failed; they are made again, and TPE does not see them."""
    from optuna.trial import TrialState

    for left in study.get_trials(deepcopy=False, states=(TrialState.RUNNING, TrialState.WAITING)):
        study.tell(left.number, state=TrialState.FAIL, skip_if_finished=True)


def _given(plan: TuningPlan, warm_start: Sequence[Mapping[str, Value]]) -> list[_Given]:
    """The first trials: why each is made, and its values; none twice."""
    space = plan.space
    lists = [(name, part.ends()) for name in RECENCY if isinstance(part := space.names.get(name), Choice)]
    wanted = [_Given("untuned", space.untuned)]
    wanted += [_Given("warm start", space.read_params(space.stored(values))) for values in warm_start]
    wanted += [_Given("preset", values) for values in space.presets]
    wanted += [_Given("recency", {**space.untuned, name: value}) for name, values in lists for value in values]
    given: dict[str, _Given] = {}
    for one in wanted:
        given.setdefault(json.dumps(one.values, sort_keys=True), one)
    return list(given.values())


def _one_trial(
    study: "Study",
    plan: TuningPlan,
    scorer: TrialScorer,
    number: int,
    given: Sequence[_Given],
    clock: Callable[[], float],
) -> TrialRecord:
    from optuna.exceptions import UpdateFinishedTrialError

    start = clock()
    trial = _asked(study, plan, number, given)
    made = given[number] if number < len(given) else _Given("search", plan.space.read_params(trial.params))
    loss = _loss_of(plan, made.values)
    ended = _ended(study)
    finished = [Curves.from_json(told["curves"]) for _, told in ended if told["curves"] and told["loss"] == loss]
    scored = scorer.score(made.values, finished, [earlier.folds for earlier, _ in ended])
    record = TrialRecord(
        number=number,
        origin=made.origin,
        params=dict(made.values),
        state=scored.state,
        value=scored.value,
        folds=scored.folds,
        seconds=clock() - start,
        reason=scored.reason,
    )
    try:
        trial.set_user_attr(_RECORD, record.to_json())
        trial.set_user_attr(_CURVES, {"loss": loss, "curves": scored.curves and scored.curves.to_json()})
        _tell(study, trial, scored)
    except UpdateFinishedTrialError as e:
        raise TrainingError(
            f"study {study.study_name}",
            found=f"trial {number} was ended by another process, which has taken the study over",
            expected="one process at a time",
            cure="let the other one finish; if this run was retried, there is nothing to do",
        ) from e
    return record


def _asked(study: "Study", plan: TuningPlan, number: int, given: Sequence[_Given]) -> "Trial":
    from optuna.samplers import TPESampler

    # Anew for each trial: a sampler's random state would depend on how many trials this process has seen. No trial
    # but ours is running, so the constant liar would have nothing to say.
    study.sampler = TPESampler(
        seed=salt("trial", plan.seed, number) % 2**32,
        n_startup_trials=RANDOM_TRIALS,
        multivariate=True,
        constant_liar=False,
    )
    if number < len(given):
        study.enqueue_trial(plan.space.stored(given[number].values))
    return study.ask(plan.space.distributions())


def _tell(study: "Study", trial: "Trial", scored: Scored) -> None:
    from optuna.trial import TrialState

    if scored.state == "complete":
        study.tell(trial, scored.value)
        return
    if scored.given_up is not None:
        # One value: a curve of hundreds would be as many writes.
        fold, tree, loss = scored.given_up
        trial.report(loss, fold * _MOST_TREES + tree)
    # Without a reported value TPE ranks it last, as what could not be trained ought to be.
    study.tell(trial, state=TrialState.PRUNED)


def _loss_of(plan: TuningPlan, values: Mapping[str, Value]) -> str:
    """Which loss a trial's curve is of: curves of different ones can't be compared."""
    try:
        params, _ = plan.space.model(values)
    except ConfigError:
        return ""
    return f"{params.objective} {params.alpha_or_default}"


def _tuned(study: str, plan: TuningPlan, done: Sequence[TrialRecord], ended_by: EndedBy) -> Tuned:
    best = ranked(done)[0]
    params, recency = plan.space.model(best.params)
    refitted = replace(params, trees=best.trees, early_stopping_rounds=0)
    if params.boosting == "gbdt":
        # Friedman 2001, Greedy function approximation, section 5: the smaller the steps, the better or equal the
        # model; in a search that would be paid for in every trial, here it is once.
        refitted = replace(refitted, trees=2 * best.trees, learning_rate=params.learning_rate / 2)
    return Tuned(study, plan.metric, refitted, recency, tuple(done), ended_by)
