"""Which partitions are held up by one before them, and what is said of it; who acts on it is in `test_gaps`."""

from datetime import UTC, datetime, timedelta

import pytest

from ml_assets.core.retraining.causes import gaps, held_up
from ml_assets.core.retraining.observed import Observed, Partition, Tenure
from ml_assets.core.windows import Window

GRACE = timedelta(minutes=15)
NOW = datetime(2021, 1, 1, tzinfo=UTC)


def months(text: str, at: datetime = NOW - GRACE) -> Observed:
    """Months of 2020: `f` has features, `r` rows without, `-` has not landed, `a` neither, which was accepted."""
    told = []
    for month, what in enumerate(text, start=1):
        window = Window(f"2020-{month:02}", datetime(2020, month, 1), datetime(2020, month + 1, 1))
        there = what in "fr"
        told.append(
            Partition(window, at, landed=there, ready=what == "f" or not there, validated=there, accepted=what == "a")
        )
    return Observed(told)


@pytest.mark.parametrize(
    ("text", "before", "found"),
    [
        ("", 1, {}),
        ("fff", 2, {}),
        ("f-r", 0, {}),
        ("f-rr", 1, {3: [2]}),
        ("f-rr", 2, {3: [2], 4: [2]}),
        ("-f-rr", 3, {2: [1], 4: [1, 3], 5: [3]}),
        ("r---", 3, {}),
    ],
)
def test_what_looks_back_at_what_is_missing(text, before, found):
    keys = {f"2020-{m:02}": [f"2020-{k:02}" for k in missing] for m, missing in found.items()}
    assert gaps(months(text), before) == keys


def found(observed: Observed, before: int = 2, now: datetime = NOW) -> list[tuple[str, str]]:
    lacking = gaps(observed, before)
    unread = {key: "v1" for key in lacking if not next(p for p in observed.partitions if p.key == key).ready}
    return [(f.subject, f.words) for f in held_up(observed, lacking, unread, GRACE, now)]


def test_the_grace_is_counted_from_when_rows_landed_and_only_accepted_partitions_need_none():
    early = NOW - timedelta(microseconds=1)
    assert [subject for subject, _ in found(months("f-rr"))] == ["2020-03", "2020-04"]
    assert found(months("f-rr"), now=early) == []
    assert [subject for subject, _ in found(months("fafrr"), now=early)] == ["2020-04"]
    assert found(months("fa-r"), now=early) == []


def test_what_a_champion_answers_is_unjudged_and_not_found_twice():
    released = Tenure("a", datetime(2020, 4, 1), NOW)
    observed = months("f-rr")
    assert [s for s, _ in found(Observed(observed.partitions, tenures=[released]))] == ["2020-03"]


def test_of_many_missing_ones_two_are_named():
    [(_, few)], [(_, many)] = found(months("f---r"), 3), found(months("f----r"), 4)
    assert (
        few == "2020-05: features look back at 2020-02, 2020-03, 2020-04, of which there are no rows: they do without"
    )
    assert "look back at 2020-02 … 2020-05 (4), of which" in many
