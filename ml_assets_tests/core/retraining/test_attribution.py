"""What a retraining was worth: paired, over the partitions that are wanted, sure only of what it has seen."""

import json

import numpy as np
import pytest

from ml_assets.core.errors import ContractError
from ml_assets.core.retraining.attribution import attribute


def losses(seed: int, saved: float, rows: int = 2000) -> tuple[np.ndarray, np.ndarray]:
    """Of the replaced and the replacing champion, the same rows, which differ much more than the two do."""
    rng = np.random.default_rng(seed)
    before = rng.gamma(2, 2, rows)
    return before, before - saved + rng.normal(0, 0.3, rows)


MONTHS = {f"2020-0{n}": losses(n, saved) for n, saved in ((5, 0.4), (6, 0.2), (7, 0.3), (8, 9.0))}


def test_worth_is_the_mean_saved_per_row_over_the_wanted_partitions():
    found = attribute("old", "new", MONTHS, wanted=3, seed=0, is_complete=True)
    assert list(found.partitions) == ["2020-05", "2020-06", "2020-07"]
    assert found.closed
    assert found.rows == 6000
    assert found.worth.low < 0.3 < found.worth.high
    assert found.worth.high - found.worth.low < 0.03, "of pairs, not of two samples"
    assert found.partitions["2020-05"] == pytest.approx(0.4, abs=0.03)
    half = (found.worth.high - found.worth.low) / 2
    told = f"{found.worth.estimate:+.3g} ± {half:.2g} minutes per row (3 of 3 partitions, 6,000 rows)"
    assert found.words("minutes") == f"this retraining was worth {told}: it helped"
    assert json.loads(json.dumps(found.to_json()))["interval"] == found.worth.to_json()
    assert found.to_json("minutes")["words"] == found.words("minutes")
    assert attribute("old", "new", MONTHS, wanted=3, seed=0, is_complete=True) == found


@pytest.mark.parametrize(("saved", "judged"), [(0.3, "it helped"), (-0.3, "it did harm"), (0.0, "not surely")])
def test_it_says_whether_it_helped(saved, judged):
    assert judged in attribute("old", "new", {"2020-05": losses(5, saved)}, wanted=3, seed=0).words()


def test_an_account_is_open_until_it_is_told_complete_and_partitions_without_labels_do_not_count():
    none = (np.zeros(0), np.zeros(0))
    found = attribute("old", "new", {"2020-04": none, "2020-05": MONTHS["2020-05"]}, wanted=2, seed=0)
    assert not found.closed
    assert list(found.partitions) == ["2020-05"]
    assert attribute("old", "new", {"2020-05": MONTHS["2020-05"]}, wanted=2, seed=0, is_complete=True).closed
    empty = attribute("old", "new", {"2020-04": none}, wanted=2, seed=0, is_complete=True)
    assert (empty.worth, empty.rows, empty.closed) == (None, 0, False)
    assert "not known yet" in empty.words()
    assert json.loads(json.dumps(empty.to_json()))["interval"] is None


def test_losses_of_other_rows_are_refused_all_at_once():
    with pytest.raises(ContractError) as caught:
        attribute("old", "new", {"1": (np.zeros(3), np.zeros(4)), "2": (np.zeros(4), np.zeros(3))}, wanted=0, seed=0)
    assert len(caught.value.found) == 3
