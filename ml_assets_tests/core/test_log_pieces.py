"""Pieces of a day of the log: an hour at most, and little moved by what comes late."""

from dataclasses import replace

from ml_assets.core.log_pieces import HOUR_US, Piece, pieces_of
from ml_assets.core.log_segments import Segment

DAY = "2024-10-04"
AT = 20_000 * 24 * HOUR_US


def segment(seconds: float, rows: int = 10, origin: str = "a.1") -> Segment:
    at = AT + int(seconds * 1e6)
    return Segment("requests", at, at, at, rows, origin, 1)


def cut(*segments: Segment, most_rows: int = 30) -> list[Piece]:
    return pieces_of("requests", DAY, [s.name for s in segments], most_rows=most_rows)


EVERY = [segment(s) for s in range(8)] + [segment(3_600 + s) for s in range(5)]


def test_a_piece_ends_with_its_hour_and_where_it_would_be_too_large():
    told = cut(*reversed(EVERY))
    assert [(p.hour - AT // HOUR_US, p.rows) for p in told] == [(0, 30), (0, 30), (0, 20), (1, 30), (1, 20)]
    assert [(p.first, p.last) for p in told[:2]] == [(EVERY[0].name, EVERY[2].name), (EVERY[3].name, EVERY[5].name)]
    assert [p.rows for p in cut(segment(0, 500), segment(1))] == [500, 10], "one segment is never cut"
    assert cut() == []


def test_what_is_added_at_the_end_changes_the_last_piece_only():
    before, after = cut(*EVERY), cut(*EVERY, segment(3_610))
    assert before[:-1] == after[:-1]
    assert before[-1].digest != after[-1].digest


def test_what_comes_late_changes_its_own_hour_only():
    before, after = cut(*EVERY), cut(*EVERY, segment(0.5, origin="b.1"))
    assert [p for p in before if p.hour > AT // HOUR_US] == [p for p in after if p.hour > AT // HOUR_US]
    assert before[0] != after[0]


def test_another_segment_of_the_same_time_and_size_is_another_piece():
    [one], [other] = cut(EVERY[0]), cut(replace(EVERY[0], origin="b.1"))
    assert one.digest != other.digest
