"""Which labels are known, how long they take, and when measuring again is worth it."""

from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest

from ml_assets.core.maturity import delay_quantiles, due, maturity_of

END = datetime(2018, 2, 1)
HOUR = timedelta(hours=1)


def rows(delays: list[timedelta | None], *, event: datetime = END - 48 * HOUR, unlabelled: int = 0) -> pl.DataFrame:
    known = [None if d is None else event + d for d in delays] + [event] * unlabelled
    label = [1.0] * len(delays) + [None] * unlabelled
    return pl.DataFrame(
        {"event_at": [event] * len(known), "label": label, "label_known_at": known},
        schema_overrides={"label": pl.Float64, "label_known_at": pl.Datetime("us"), "event_at": pl.Datetime("us")},
    )


def test_a_young_partition_does_not_look_fast():
    # A tenth takes an hour, the others five days: of the labels that are known, all took an hour.
    found = maturity_of(rows([HOUR] * 10 + [120 * HOUR] * 90), known_by=END)
    assert (found.rows, found.rows_mature, found.coverage) == (100, 10, 0.1)
    assert found.delay_hours == {"0.5": None, "0.9": None, "0.99": None}
    later = maturity_of(rows([HOUR] * 10 + [120 * HOUR] * 90), known_by=END + 120 * HOUR)
    assert later.coverage == 1
    assert later.delay_hours == {"0.5": 120, "0.9": 120, "0.99": 120}


def test_quantiles_of_complete_labels_are_those_of_the_sample():
    hours = np.random.default_rng(0).exponential(10, 999)
    found = delay_quantiles(hours, np.ones(999, dtype=bool))
    for q in (0.5, 0.9, 0.99):
        assert found[f"{q:g}"] == pytest.approx(np.quantile(hours, q, method="inverted_cdf"), abs=1e-4)


def test_rows_that_were_looked_at_early_are_no_bias():
    rng = np.random.default_rng(1)
    true, looked = rng.exponential(10, 20_000), rng.uniform(0, 60, 20_000)
    found = delay_quantiles(np.minimum(true, looked), true <= looked)
    assert found["0.5"] == pytest.approx(10 * np.log(2), rel=0.03)
    assert found["0.9"] == pytest.approx(10 * np.log(10), rel=0.03)
    known_only = np.quantile(true[true <= looked], 0.9)
    assert known_only < 0.9 * found["0.9"], "the known labels alone are the fast ones"


@pytest.mark.parametrize(
    ("delays", "unlabelled", "at"),
    [
        ([HOUR] * 100, 0, None),
        ([HOUR] * 99 + [50 * HOUR], 0, 2),
        ([HOUR] * 50, 50, None),  # what has no label, and no time for it, can't be waited for
        ([HOUR] * 50 + [None] * 50, 0, None),
        ([HOUR] * 999 + [50 * HOUR], 0, None),  # one in a thousand is not worth it
        ([HOUR] * 995 + [50 * HOUR] * 4 + [90 * HOUR], 0, 42),  # together with a later one it is
        ([HOUR] * 990 + [50 * HOUR] * 10, 0, 2),
    ],
)
def test_it_is_measured_again_when_enough_more_labels_are_known(delays, unlabelled, at):
    found = maturity_of(rows(delays, unlabelled=unlabelled), known_by=END)
    assert found.refresh_at == (None if at is None else END + at * HOUR)
    if at is not None:
        again = maturity_of(rows(delays, unlabelled=unlabelled), known_by=END + at * HOUR)
        assert again.rows_mature >= found.rows_mature + max(1, 0.005 * len(delays))


def test_a_label_known_before_its_event_took_no_time_and_no_rows_have_no_coverage():
    assert maturity_of(rows([-HOUR]), known_by=END).delay_hours == {"0.5": 0, "0.9": 0, "0.99": 0}
    empty = maturity_of(rows([]), known_by=END)
    assert (empty.rows, empty.coverage, empty.refresh_at) == (0, None, None)


def test_partitions_that_are_due():
    told = {"a": END, "b": None, "c": END + HOUR, "d": END - HOUR}
    assert due(told, END) == ["a", "d"]
    assert due({}, END) == []
