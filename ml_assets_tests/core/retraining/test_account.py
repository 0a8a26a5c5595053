"""What a release was worth, from scores and labels: the same rows of both, once they are known, and no others."""

from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest

from ml_assets.core.errors import ContractError
from ml_assets.core.promises import Bound
from ml_assets.core.releases import Champion
from ml_assets.core.retraining.account import Counting
from ml_assets.core.retraining.replaced import Account, Replacement
from ml_assets.core.scoring import schema
from ml_assets.core.windows import Window

ROWS = 400
OLD, NEW = "ab" * 32, "cd" * 32
MONTHS = [Window(f"2019-{m:02}", datetime(2019, m, 1), datetime(2019, m + 1, 1)) for m in (5, 6, 7)]
END, DAY = MONTHS[-1].end, timedelta(days=1)


def champion(bundle: str, month: int, sequence: int) -> Champion:
    at = datetime(2019, month, 1)
    return Champion(bundle, f"2019-{month - 1:02}", at, at, sequence)


RELEASE = Replacement(champion(OLD, 2, 2), champion(NEW, 5, 4), None)
ACCOUNT = Account.of(RELEASE, MONTHS, 3)


def tables(window: Window, *, saved: float, delay: timedelta = DAY, version: str = NEW, replaced: str | None = OLD):
    """Labels after a delay; the new champion is off by one, the old one by as much more as is saved."""
    label = np.random.default_rng(window.start.month).gamma(2, 5, ROWS)
    at = [window.start + i * (window.end - window.start) / ROWS for i in range(ROWS)]
    features = pl.DataFrame(
        {"row_number": range(ROWS), "event_at": at, "label": label, "label_known_at": [a + delay for a in at]},
        schema_overrides={"row_number": pl.UInt32},
    )
    predictions = pl.DataFrame(
        {
            "row_number": range(ROWS), "event_at": at, "prediction": label + 1, "prediction_never_retrained": label,
            "prediction_naive": label, "prediction_replaced": None if replaced is None else label - 1 - saved,
            "model_version": version, "replaced_version": replaced,
        },
        schema=schema("regression"),
    )  # fmt: skip
    return features.lazy(), predictions.lazy()


ALL = {w.key: tables(w, saved=saved) for w, saved in zip(MONTHS, (1.0, 2.0, -0.5), strict=True)}


def counted(scored=ALL, account=ACCOUNT, known_by=END + 2 * DAY, labelled_share=1.0, **counting):
    told = Counting("mae", **counting)
    return told.count(account, scored, known_by=known_by, labelled_share=labelled_share)


def test_the_mean_loss_saved_on_the_rows_of_all_partitions():
    found = counted()
    assert (found.replaced, found.replacing, found.rows, found.closed) == (OLD, NEW, 3 * ROWS, True)
    assert found.partitions == pytest.approx({"2019-05": 1.0, "2019-06": 2.0, "2019-07": -0.5})
    assert found.worth.estimate == pytest.approx(2.5 / 3)
    assert found.worth.low < 2.5 / 3 < found.worth.high
    assert counted() == found
    assert counted(seed=1).worth.low != found.worth.low


def test_only_labels_known_by_the_instant_count_for_either():
    found = counted(known_by=END)
    assert 3 * ROWS - found.rows == pytest.approx(ROWS / 31, abs=1), "the last day's labels take a day"
    features, predictions = ALL["2019-07"]
    young = pl.col("label_known_at") > END
    wild = features.with_columns(label=pl.when(young).then(1e9).otherwise("label"))
    assert counted({**ALL, "2019-07": (wild, predictions)}, known_by=END) == found
    assert found.closed, "97 % of the labels are known, 90 % are enough"
    assert not counted(known_by=END, bound=Bound(min_coverage=0.99)).closed


@pytest.mark.parametrize(("known_by", "closed"), [(END + 29 * DAY, False), (END + 31 * DAY, True)])
def test_it_is_open_until_labels_enough_are_known_of_every_partition(known_by, closed):
    late = {**ALL, "2019-05": tables(MONTHS[0], saved=1.0, delay=94 * DAY)}
    assert counted(late, known_by=known_by).closed is closed


def test_labels_that_never_come_are_not_waited_for():
    features, predictions = ALL["2019-05"]
    some = features.with_columns(label=pl.when(pl.col("row_number") % 4 == 0).then("label"))
    scored = {**ALL, "2019-05": (some, predictions)}
    assert not counted(scored).closed
    assert counted(scored, labelled_share=0.25).closed


def test_a_partition_that_is_not_scored_yet_is_waited_for():
    scored = {key: ALL[key] for key in ("2019-05", "2019-07")}
    found = counted(scored)
    assert (list(found.partitions), found.closed) == (["2019-05", "2019-07"], False)
    features, predictions = ALL["2019-06"]
    anew = counted({**ALL, "2019-06": (features.head(ROWS - 1), predictions)})
    assert (list(anew.partitions), anew.closed) == (["2019-05", "2019-07"], False), "its features were made anew"
    assert counted({}).worth is None


NOTHING = {
    "another champion answered": lambda w: tables(w, saved=9.0, version="ef" * 32),
    "another one scored on": lambda w: tables(w, saved=9.0, replaced="ef" * 32),
    "none scored on": lambda w: tables(w, saved=9.0, replaced=None),
    "there was no such column yet": lambda w: (
        tables(w, saved=9.0)[0], tables(w, saved=9.0)[1].drop("prediction_replaced", "replaced_version"),
    ),
    "no row": lambda w: tuple(t.head(0) for t in tables(w, saved=9.0)),
}  # fmt: skip


@pytest.mark.parametrize("made", NOTHING.values(), ids=NOTHING)
def test_what_both_have_not_scored_adds_nothing_and_is_not_waited_for(made):
    found = counted({**ALL, "2019-06": made(MONTHS[1])})
    assert (list(found.partitions), found.rows, found.closed) == (["2019-05", "2019-07"], 2 * ROWS, True)
    nothing = counted({w.key: made(w) for w in MONTHS})
    assert (nothing.worth, nothing.closed) == (None, False), "of nothing, nothing is told"


def test_an_account_that_another_champion_ended_closes_with_fewer():
    ended = Replacement(RELEASE.replaced, RELEASE.replacing, MONTHS[1].start)
    found = counted(account=Account.of(ended, MONTHS, 3))
    assert (list(found.partitions), found.wanted, found.closed) == (["2019-05"], 3, True)
    assert "(1 of 3 partitions, 400 rows): it helped" in found.words("minutes")
    going_on = Account.of(RELEASE, MONTHS[:1], 3)
    assert not counted(account=going_on).closed


def test_another_loss():
    assert counted({"2019-05": ALL["2019-05"]}).worth.estimate == pytest.approx(1.0)
    assert Counting("rmse").count(
        ACCOUNT, {"2019-05": ALL["2019-05"]}, known_by=END, labelled_share=1.0
    ).worth.estimate == pytest.approx(2**2 - 1**2)
    with pytest.raises(ContractError, match="no quantile"):
        Counting("pinball").count(ACCOUNT, ALL, known_by=END, labelled_share=1.0)
