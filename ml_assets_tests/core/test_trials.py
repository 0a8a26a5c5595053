"""Records of trials: what is best, what the next study starts from, and the way through JSON."""

import json
from dataclasses import replace

import pytest

from ml_assets.core.parameters import ModelParams
from ml_assets.core.recency import Recency
from ml_assets.core.trials import WARM_STARTS, FoldScore, Refit, TrialRecord, Tuned, ranked, settled_from_json


def trial(number: int, value: float | None, state="complete") -> TrialRecord:
    folds = (FoldScore(2.0, 10, 100), FoldScore(3.0, 20, 151))
    return TrialRecord(number, "search", {"leaves": number, "monotone": {"a": 1}}, state, value, folds, 1.5)


TUNED = Tuned(
    study="s",
    metric="mae",
    params=ModelParams("l2", monotone=(("a", 1),)),
    recency=Recency(3, 1.5),
    trials=(trial(0, 3.0), trial(1, None, "pruned"), trial(2, 2.0), trial(3, 2.0), trial(4, None, "failed")),
    ended_by="timeout",
)


def test_the_best_is_the_earliest_of_the_lowest_and_what_is_not_complete_is_no_candidate():
    assert [t.number for t in TUNED.ranked] == [2, 3, 0]
    assert TUNED.best.number == 2
    assert ranked([trial(0, 1.0, "pruned")]) == []


def test_the_number_of_trees_is_the_mean_of_the_folds():
    assert trial(0, 1.0).trees == round(251 / 2)
    assert replace(trial(0, 1.0), folds=(FoldScore(1.0, 1, 0),)).trees == 1


def test_the_next_study_starts_from_the_best():
    assert [v["leaves"] for v in TUNED.warm_start] == [2, 3, 0]
    many = replace(TUNED, trials=tuple(trial(n, float(n)) for n in range(10)))
    assert [v["leaves"] for v in many.warm_start] == list(range(WARM_STARTS))


def test_json_brings_it_back():
    assert Tuned.from_json(json.loads(json.dumps(TUNED.to_json()))) == TUNED


@pytest.mark.parametrize("changed", [{"seconds": 9.0}, {"state": "failed"}])
def test_the_facts_of_a_bundle_hold_no_time_and_no_machine(changed):
    other = replace(TUNED, trials=(*TUNED.trials[:-1], replace(TUNED.trials[-1], **changed)))
    settled = {"params": TUNED.params.to_json(), "recency": TUNED.recency.to_json()}
    assert other.facts() == TUNED.facts() == {"study": "s", "trials": 5, "best": TUNED.warm_start, **settled}


def test_a_refit_takes_over_what_the_champion_tells_of_its_study():
    refit = Refit.of("ab" * 32, TUNED.facts())
    assert (refit.params, refit.recency) == (TUNED.params, TUNED.recency)
    assert refit.facts() == TUNED.facts(), "and so does the champion after it"
    for settled in (refit, TUNED):
        assert settled_from_json(json.loads(json.dumps(settled.to_json()))) == settled
    assert Refit.of("ab" * 32, {"study": "s", "trials": 5, "best": []}) is None, "a bundle of before there were refits"
