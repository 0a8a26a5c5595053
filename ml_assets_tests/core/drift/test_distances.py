"""Distances agree with SciPy, and with the numbers that Evidently and NannyML give for the same rows."""

import numpy as np
import polars as pl
import pytest
from scipy import stats
from scipy.spatial.distance import jensenshannon

from ml_assets.core.drift.bins import Column, learn_bins
from ml_assets.core.drift.distances import (
    chi_square,
    jensen_shannon,
    kolmogorov_smirnov,
    population_stability_index,
    wasserstein,
)
from ml_assets.core.drift.profiling import count_partition

EXACT = {"rel": 1e-9, "abs": 1e-12}
NUMBER = Column("x", "number")


def both(reference, current, column=NUMBER):
    bins = learn_bins(pl.DataFrame({"x": reference}), [column])
    return tuple(count_partition(pl.LazyFrame({"x": rows}), bins, "p").columns[0] for rows in (reference, current))


RNG = np.random.default_rng(0)
FEW_VALUES = {
    "hours": (RNG.integers(0, 24, 5000) * 1.0, RNG.integers(2, 24, 900) * 1.0),
    "with values that the reference has not": (RNG.integers(0, 50, 700) * 2.0, RNG.integers(0, 60, 900) * 2.0),
    "binary": (RNG.integers(0, 2, 300) * 1.0, (RNG.random(200) < 0.7) * 1.0),
    "constant": (np.full(10, 3.0), np.full(7, 3.0)),
    "moved out of range": (RNG.integers(0, 5, 300) * 1.0, RNG.integers(10, 12, 200) * 1.0),
}
MANY_VALUES = {
    "normal": (RNG.normal(0, 1, 20_000), RNG.normal(0.2, 1.1, 3000)),
    "log-normal": (RNG.lognormal(0, 1, 20_000), RNG.lognormal(0.1, 1, 3000)),
    "seconds in place of minutes": (RNG.lognormal(2, 0.5, 5000), 60 * RNG.lognormal(2, 0.5, 800)),
    "many zeros": (RNG.normal(0, 1, 9000) * (RNG.random(9000) < 0.6), RNG.normal(0, 1, 900) * (RNG.random(900) < 0.5)),
    "the same": (np.arange(1000) / 7, np.arange(1000) / 7),
}


@pytest.mark.parametrize("name", FEW_VALUES)
def test_exact_where_every_number_is_a_cell(name):
    reference, current = FEW_VALUES[name]
    f, g = both(reference, current)
    found, p = kolmogorov_smirnov(f, g)
    expected = stats.ks_2samp(reference, current, method="asymp")
    assert (found.value, found.error) == (pytest.approx(expected.statistic, **EXACT), 0)
    assert p == pytest.approx(expected.pvalue, **EXACT)
    moved = wasserstein(f, g)
    truly = stats.wasserstein_distance(reference, current)
    assert abs(moved.value - truly) <= moved.error + 1e-5 * truly
    if set(current) <= set(reference):
        assert moved.value == pytest.approx(truly, **EXACT)
        assert moved.error == 0


@pytest.mark.parametrize("name", MANY_VALUES)
def test_within_the_stated_bound_elsewhere(name):
    reference, current = MANY_VALUES[name]
    f, g = both(reference, current)
    found, p = kolmogorov_smirnov(f, g)
    expected = stats.ks_2samp(reference, current, method="asymp")
    assert found.value - 1e-12 <= expected.statistic <= found.value + found.error + 1e-12
    assert found.error < 0.02
    assert p >= expected.pvalue - 1e-12
    moved = wasserstein(f, g)
    truly = stats.wasserstein_distance(reference, current)
    assert abs(moved.value - truly) <= moved.error + 1e-5 * truly
    assert moved.value == pytest.approx(truly, rel=0.01, abs=0.003 * np.std(reference))


def test_jensen_shannon_and_chi_square():
    for _ in range(20):
        f, g = RNG.integers(0, 30, (2, 12))
        assert jensen_shannon(f, g) == pytest.approx(jensenshannon(f, g, base=2), **EXACT)
        table = np.array([f, g])[:, (f + g) > 0]
        expected = stats.chi2_contingency(table, correction=False)
        assert chi_square(f, g) == (
            pytest.approx(expected.statistic, **EXACT), expected.dof, pytest.approx(expected.pvalue, **EXACT),
        )  # fmt: skip
    assert jensen_shannon(np.array([[1, 0], [1, 1]]), np.array([0, 5])).tolist() == [1.0, pytest.approx(0.5579230)]
    assert chi_square(np.array([5]), np.array([7])) == (0.0, 0, 1.0)


# What Evidently 0.7.23 (legacy stattests, pandas 2.3.3) and NannyML 0.13.1 gave for these rows, scipy 1.17.1.
REFERENCE, CURRENT = [0, 1, 1, 2, 2, 2, 3, 3, 4, 5] * 3, [1, 2, 2, 3, 3, 4, 4, 5, 5, 5] * 2
LETTERS, LETTERS_NOW = list("aaaabbbccd") * 3, list("aabbbccddd") * 2


def test_the_numbers_of_evidently():
    f, g = both(np.array(REFERENCE, float), np.array(CURRENT, float))
    a, b = both(LETTERS, LETTERS_NOW, Column("x", "category"))
    assert population_stability_index(f.cells[0], g.cells[0]) == pytest.approx(1.088983157026743, **EXACT)
    assert population_stability_index(a.cells[0], b.cells[0]) == pytest.approx(0.35835189384561095, **EXACT)
    in_nats = np.sqrt(np.log(2))
    assert in_nats * jensen_shannon(f.cells[0], g.cells[0]) == pytest.approx(0.287825551825123, **EXACT)
    assert in_nats * jensen_shannon(a.cells[0], b.cells[0]) == pytest.approx(0.20773134300766244, **EXACT)
    assert wasserstein(f, g).value / f.bins.deviation == pytest.approx(0.775880177444458, rel=1e-9)


def test_the_numbers_of_nannyml():
    f, g = both(np.array(REFERENCE, float), np.array(CURRENT, float))
    a, b = both(LETTERS, LETTERS_NOW, Column("x", "category"))
    assert jensen_shannon(a.cells[0], b.cells[0]) == pytest.approx(0.2495107710938078, **EXACT)
    assert jensen_shannon(f.cells[0], g.cells[0]) == pytest.approx(0.3457137201184809, **EXACT)
    assert wasserstein(f, g).value == pytest.approx(1.1, **EXACT)
    assert kolmogorov_smirnov(f, g)[0].value == pytest.approx(0.3, **EXACT)
    assert chi_square(a.cells[0], b.cells[0])[0] == pytest.approx(4.166666666666668, **EXACT)


def test_fixed_cut_offs_of_the_psi_are_noise_for_few_rows():
    drawn = RNG.multinomial(100, np.full(10, 0.1), size=(2000, 2))
    assert np.mean([population_stability_index(f, g) > 0.2 for f, g in drawn]) > 0.3
