"""How often the gate is wrong, where the truth is known."""

import numpy as np
import pytest

from benchmarks.gate_simulation import ALIKE, LESS_ALIKE, TRUTHS, as_markdown, losses, simulate


def test_the_errors_are_spread_as_those_of_real_models():
    candidate, champion = losses(np.random.default_rng(0), 500_000, ALIKE, 0.01)
    assert champion.mean() == pytest.approx(2.8, rel=0.01)
    assert champion.std() / champion.mean() == pytest.approx(3.88 / 3.15, rel=0.05)
    assert (candidate - champion).std() / champion.mean() == pytest.approx(0.275, rel=0.05)
    assert candidate.mean() / champion.mean() == pytest.approx(1.01, abs=0.003)


def hold(draws: int, likeness: float, labels: int) -> None:
    cells = {(c.truth, c.non_inferiority): c for truth in TRUTHS for c in simulate(truth, labels, likeness, draws)}
    for (truth, share), cell in cells.items():
        assert sum(cell.verdicts.values()) == draws
        # Where one percent worse may be released, only what is worse than that is a mistake.
        if truth == "1 % worse" or (truth == "equal" and share == 0):
            assert cell.share("promote") <= 0.05, cell
    if labels >= 50_000:
        assert all(cells["2 % better", share].share("promote") >= 0.8 for share in (0.0, 0.01))
        assert cells["1 % worse", 0.0].share("reject") >= 0.8
    assert as_markdown(list(cells.values())).count("\n") == 7


def test_in_a_few_draws():
    hold(25, LESS_ALIKE, 50_000)


@pytest.mark.slow(seconds=10)
@pytest.mark.parametrize("likeness", [ALIKE, LESS_ALIKE])
@pytest.mark.parametrize("labels", [50_000, 3_300])
def test_in_many_draws(likeness, labels):
    """Of 400 decisions with a true share of 2.5 % that are wrong, 5 % are three standard errors too many."""
    hold(400, likeness, labels)
