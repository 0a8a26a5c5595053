"""Steps, slopes, and series too short to tell."""

import numpy as np
import pytest

from ml_assets.core.drift.onset import FEWEST_REPORTS, Judged, onset


def series(magnitudes, drifted_from=0.65):
    return [
        Judged(f"p{i:02d}", "not_enough_rows" if m is None else "drifted" if m >= drifted_from else "stable", m)
        for i, m in enumerate(magnitudes)
    ]


CASES = {
    "a step at the end": ([0.6, 0.5, 0.6, 0.6, 3.0], "abrupt"),
    "a step some time ago": ([0.6, 0.5, 0.7, 3.0, 2.9, 3.1], "abrupt"),
    "a slope": ([0.4, 0.7, 1.0, 1.3, 1.6], "gradual"),
    "a slope, then nothing to judge": ([0.4, 0.7, 1.0, None, 1.3, 1.6], "gradual"),
    "a step too small to see": ([0.4, 0.4, 0.4, 0.4, 0.7], "gradual"),
    "over again": ([0.5, 3.0, 0.5, 0.6], "none"),
    "never": ([0.5, 0.4, 0.6, 0.5], "none"),
    "too few": ([0.5, 3.0], "unknown"),
    "no reports": ([], "none"),
    "nothing was judged": ([None, None], "none"),
    "one, at once": ([3.0], "unknown"),
    "drifted always, the same": ([3.0, 3.0, 3.0, 3.0], "abrupt"),
    "long ago does not count": ([9.0] * 20 + [0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 3.0], "abrupt"),
}


@pytest.mark.parametrize("case", CASES)
def test_onset(case):
    magnitudes, expected = CASES[case]
    assert onset(series(magnitudes)) == expected


def test_noise_does_not_matter():
    rng = np.random.default_rng(0)
    steps = [onset(series([*(0.6 + 0.1 * rng.standard_normal(6)), 2.5])) for _ in range(200)]
    slopes = [onset(series(np.linspace(0.4, 2.5, 7) + 0.1 * rng.standard_normal(7))) for _ in range(200)]
    assert steps.count("abrupt") > 195
    assert slopes.count("gradual") > 195


def test_reads_reports():
    told = {"partition": "2020-04", "verdict": "drifted", "magnitude": 2.7, "columns": []}
    assert Judged.from_json(told) == Judged("2020-04", "drifted", 2.7)
    assert FEWEST_REPORTS == 4
