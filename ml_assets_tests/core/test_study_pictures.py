"""Pictures of a study: PNG, the same bytes for the same trials, also of a study that has only begun."""

import struct

import pytest

from ml_assets.core.parameters import ModelParams
from ml_assets.core.search_space import SearchSpace
from ml_assets.core.study_pictures import optimisation_history, slices
from ml_assets.core.trials import TrialRecord

PREVIEW_BYTES = 60_000
SPACE = SearchSpace.read(
    {"window": [2, 3], "half_life": [None, 1.5], "leaves": {"low": 3, "high": 90, "log": True},
     "l2": {"low": 0, "high": 1}, "objective": ["l2", "huber"], "monotone": [{}, {"a$b": 1}]},
    base=ModelParams("l2"), window=12,
)  # fmt: skip


def trial(number, value=3.0, state="complete", origin="search", **values) -> TrialRecord:
    params = {**SPACE.untuned, "leaves": 3 + number, "l2": number / 100, **values}
    return TrialRecord(number, origin, params, state, None if state != "complete" else value, (), 1.0)


TRIALS = [trial(0, 3.2, origin="untuned"), trial(1, 3.1, origin="recency", window=2), trial(2, state="pruned"),
          trial(3, 2.9, origin="warm start"), trial(4, state="failed"), trial(5, 3.0)]  # fmt: skip
CASES = {
    "not begun": [],
    "nothing complete": [trial(0, state="failed")],
    "all the same": [trial(n) for n in range(2)],
    "many": [trial(n, 3 + n % 7) for n in range(60)],
}


def drawn(trials) -> list[bytes]:
    return [optimisation_history(trials, metric="mae"), slices(trials, SPACE, metric="mae")]


@pytest.mark.parametrize("trials", CASES.values(), ids=CASES)
def test_a_small_png_of_any_trials(trials):
    for picture in drawn(trials):
        assert picture.startswith(b"\x89PNG")
        assert struct.unpack(">I", picture[16:20]) == (576,)
        assert len(picture) < PREVIEW_BYTES


def test_the_same_trials_give_the_same_bytes_and_others_do_not():
    before = drawn(TRIALS)
    assert drawn(list(TRIALS)) == before
    for same, changed in zip(before, drawn([*TRIALS[:-1], trial(5, 2.5)]), strict=True):
        assert same != changed
