"""Explaining ln(minutes) by additive terms, each a table. Adding them up for a trip is in `trips`.

Backfitting (Friedman, Stuetzle 1981) with shrinkage and Huber weights; every term is an indicator, so that
a sweep is a handful of counts.
"""

from dataclasses import dataclass

import numpy as np

from ml_assets.core.simulation.sampling import PROBABILITIES, Floats, Ints

_SWEEPS = 20
_HUBER = 0.25
NOISE_ENDS = np.log([0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 200.0])
MILES_ENDS = np.log([0.5, 0.75, 1.0, 1.5, 2.0, 4.0, 8.0, 200.0])


@dataclass(frozen=True)
class Term:
    """One table: `key` (n,) says which entry a trip takes, of `size`; `shrink` trips pull it to zero."""

    key: Ints
    size: int
    shrink: float


def backfit(log_minutes: Floats, terms: dict[str, Term]) -> tuple[dict[str, Floats], Floats]:
    """Return the fitted table of each term, and what they leave unexplained, (n,)."""
    tables = {name: np.zeros(term.size) for name, term in terms.items()}
    rest = log_minutes.copy()
    for _ in range(_SWEEPS):
        for name, term in terms.items():
            rest += tables[name][term.key]
            centre = np.abs(rest - tables[name][term.key])
            weight = 1 / np.maximum(1, centre / _HUBER)
            total = np.bincount(term.key, weight * rest, term.size)
            tables[name] = total / (np.bincount(term.key, weight, term.size) + term.shrink)
            rest -= tables[name][term.key]
    return tables, rest


def quantiles_by_band(values: Floats, band_of: Floats, upper_ends: Floats) -> Floats:
    """Return the quantiles of `values` by band of `band_of`, (bands, 37); of all in a band without any."""
    band = np.minimum(np.searchsorted(upper_ends, band_of), len(upper_ends) - 1)
    parts = [values[band == b] for b in range(len(upper_ends))]
    return np.array([np.quantile(part if len(part) else values, PROBABILITIES) for part in parts])
