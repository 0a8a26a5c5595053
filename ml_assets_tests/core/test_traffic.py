"""The schedule of replayed traffic."""

from datetime import datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ml_assets.core.errors import ConfigError
from ml_assets.core.traffic import Due, Sent, rate_per_second, schedule

NOON = datetime(2020, 4, 1, 12)


def minutes(*told):
    return [None if t is None else NOON + timedelta(minutes=t) for t in told]


def test_requests_in_event_order_and_labels_when_they_are_known():
    due = list(schedule(minutes(5, 0, 2), minutes(20, 2, None), rate=2))
    assert due == [
        Due(0.0, "request", 1),
        Due(0.5, "label", 1),  # known at minute 2, when the next one asks
        Due(0.5, "request", 2),
        Due(1.0, "request", 0),
        Due(1.0, "label", 0),  # known after the last request
    ]


EVENTS = st.lists(st.tuples(st.integers(0, 50), st.none() | st.integers(0, 90)), max_size=30)


@settings(max_examples=60, derandomize=True, database=None, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(EVENTS, st.sampled_from([0.5, 3.0]))
def test_every_row_is_sent_once_and_no_label_goes_before_its_request_or_its_maturity(rows, rate):
    events, known = minutes(*(e for e, _ in rows)), minutes(*(k for _, k in rows))
    due = list(schedule(events, known, rate=rate))
    requests = [d.row for d in due if d.what == "request"]
    labels = [d.row for d in due if d.what == "label"]
    assert sorted(requests) == list(range(len(rows)))
    assert sorted(labels) == [i for i, k in enumerate(known) if k is not None]
    assert [events[r] for r in requests] == sorted(events)
    assert [d.at_s for d in due] == sorted(d.at_s for d in due)
    for position, d in enumerate(due):
        if d.what == "label":
            later = [events[e.row] for e in due[position:] if e.what == "request"]
            assert Due(d.at_s, "label", d.row) not in due[: due.index(next(e for e in due if e.row == d.row))]
            earlier = [events[e.row] for e in due[:position] if e.what == "request"]
            assert d.row in [e.row for e in due[:position] if e.what == "request"]
            # nothing was asked meanwhile that could have waited for it
            assert not later or known[d.row] <= later[0] or known[d.row] <= max(earlier)


@pytest.mark.parametrize(("told", "rate"), [("200/s", 200), ("50", 50), ("600/min", 10), ("7200/h", 2)])
def test_a_rate(told, rate):
    assert rate_per_second(told) == rate


@pytest.mark.parametrize("told", ["", "0", "-3/s", "fast", "200/fortnight", "inf", "nan"])
def test_no_rate_is_refused(told):
    with pytest.raises(ConfigError, match="200/s or 600/min"):
        rate_per_second(told)


def test_what_became_of_it():
    sent = Sent()
    assert sent.quantile_ms(0.99) is None
    for i in range(100):
        sent.answered("candidate" if i % 10 == 0 else "champion", i / 1000)
    sent.failed("503")
    assert sent.by_variant == {"candidate": 10, "champion": 90}
    assert (sent.quantile_ms(0.5), sent.quantile_ms(0.99)) == (50.0, 99.0)
    assert sent.failures == {"503": 1}
