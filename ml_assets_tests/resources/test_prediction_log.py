"""The log as a whole: by window, by request, compacted, and whole at any moment."""

import os
from pathlib import Path

import polars as pl
import pytest

from ml_assets.core.errors import PredictionLogError
from ml_assets.core.prediction_log import Entry, frame_of
from ml_assets.resources import log_reading, prediction_log
from ml_assets.resources.log_files import SegmentWriter
from ml_assets.resources.prediction_log import PredictionLogs

DAY_US = 86_400_000_000
AT = 20_000 * DAY_US
DAY, NEXT = "2024-10-04", "2024-10-05"


def entry(n: int, **changes: object) -> Entry:
    told = Entry(f"r{n}", 0, AT + n, "u", "champion", "answered", "ab" * 32, (n / 7,), n / 3, 9, None, None)
    return told._replace(**changes)


@pytest.fixture
def logs(tmp_path):
    return PredictionLogs(root=str(tmp_path))


@pytest.fixture
def writer(tmp_path):
    return SegmentWriter(str(tmp_path), "p", "a.1")


def write(writer: SegmentWriter, *segments: list[Entry], kind: str = "requests") -> list[str]:
    return [writer.write(kind, frame_of(entries)).name for entries in segments]


def ids(logs: PredictionLogs, **asked: object) -> list[str]:
    return logs.rows("p", "requests", **asked)["request_id"].to_list()


def paths(logs: PredictionLogs, day: str = DAY) -> list[Path]:
    return sorted((Path(logs.root) / "p" / day).iterdir())


def test_a_log_that_is_not_there_is_empty(logs):
    assert logs.rows("p", "requests").is_empty()
    assert logs.find("p", "r1").is_empty()
    assert logs.newest("p") == (0, None)
    assert logs.compact("p", NEXT) == []


def test_rows_of_a_window_by_the_time_of_the_event(logs, writer):
    write(writer, [entry(1), entry(2, event_us=5), entry(3, event_us=10)], [entry(4, event_us=9)], [entry(5)])
    assert ids(logs, span=(5, 10)) == ["r2", "r4"]
    assert ids(logs, span=(AT, AT + DAY_US)) == ["r1", "r5"]
    assert ids(logs, where=pl.col("request_id") == "r3") == ["r3"]
    assert ids(logs, since=NEXT) == []


def test_a_window_opens_no_other_files(logs, writer):
    [one, _] = write(writer, [entry(1, event_us=5)], [entry(2, event_us=50)])
    (Path(logs.root) / "p" / DAY / one).write_bytes(b"not arrow")
    assert ids(logs, span=(50, 60)) == ["r2"]


def test_a_damaged_segment_is_named(logs, writer):
    [one] = write(writer, [entry(1)])
    path = Path(logs.root) / "p" / DAY / one
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(PredictionLogError, match=one) as raised:
        ids(logs)
    assert "move the damaged file" in raised.value.cure


def test_a_request_is_found_in_every_role_with_its_labels(logs, writer):
    write(writer, [entry(1), entry(2)], [entry(1, role="shadow", at_us=AT + DAY_US, bundle="cd" * 32)])
    write(writer, [entry(1, role="label", values=None, at_us=AT + 2 * DAY_US)], kind="labels")
    found = logs.find("p", "r1")
    assert found["role"].to_list() == ["answered", "shadow", "label"]
    assert logs.find("p", "r3").is_empty()
    assert logs.newest("p") == (3, "2024-10-06T00:00:00+00:00")


def test_an_id_that_was_used_again_is_of_its_last_day(logs, writer):
    write(writer, [entry(1)], [entry(1, at_us=AT + DAY_US, prediction=7.0)])
    assert logs.find("p", "r1")["prediction"].to_list() == [[7.0]]


def test_finished_days_are_merged_and_nothing_changes_for_readers(logs, writer):
    write(writer, [entry(2, event_us=5)], [entry(1)], [entry(3, at_us=AT + DAY_US)])
    write(writer, [entry(1, role="label")], [entry(2, role="label")], kind="labels")
    before, labels = logs.rows("p", "requests"), logs.rows("p", "labels")
    assert logs.compact("p", NEXT) == [DAY]
    assert len(paths(logs)) == 2
    assert len(paths(logs, NEXT)) == 1, "segments may still be written to it"
    assert logs.rows("p", "requests").sort("at").equals(before.sort("at"))
    assert logs.rows("p", "labels").sort("at").equals(labels.sort("at"))
    assert ids(logs, span=(5, 6)) == ["r2"]
    assert logs.compact("p", NEXT) == []


def test_segments_that_come_late_are_merged_too(logs, writer):
    write(writer, [entry(1)], [entry(2)])
    logs.compact("p", NEXT)
    write(writer, [entry(3)])
    assert sorted(ids(logs)) == ["r1", "r2", "r3"]
    assert logs.compact("p", NEXT) == [DAY]
    assert sorted(ids(logs)) == ["r1", "r2", "r3"]
    assert [s.rows for s in logs.segments("p", DAY)] == [3]


class Killed(BaseException):
    pass


@pytest.mark.parametrize("removed", [0, 1, 2])
def test_a_compaction_that_is_killed_loses_nothing_and_is_completed(logs, writer, monkeypatch, removed):
    write(writer, [entry(1)], [entry(2)], [entry(3)])
    remove = prediction_log.remove

    def killed(root, pipeline, day, names):
        remove(root, pipeline, day, names[:removed])
        raise Killed

    monkeypatch.setattr(prediction_log, "remove", killed)
    with pytest.raises(Killed):
        logs.compact("p", NEXT)
    assert len(paths(logs)) == 4 - removed
    assert sorted(ids(logs)) == ["r1", "r2", "r3"]
    monkeypatch.setattr(prediction_log, "remove", remove)
    assert logs.compact("p", NEXT) == [DAY]
    assert sorted(ids(logs)) == ["r1", "r2", "r3"]
    assert len(paths(logs)) == 1


def test_one_that_is_killed_while_it_writes_leaves_nothing_that_is_read(logs, writer, monkeypatch):
    write(writer, [entry(1)], [entry(2)])

    def killed(path, place):
        os.link(path, path.with_name(".left.part"))
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(prediction_log, "keep", killed)
        with pytest.raises(Killed):
            logs.compact("p", NEXT)
    assert ids(logs) == ["r1", "r2"]
    old = Path(logs.root) / "p" / DAY / ".left.part"
    os.utime(old, (0, 0))
    logs.compact("p", NEXT)
    assert not old.exists()


def test_a_reader_whose_files_are_merged_meanwhile_looks_again(logs, writer, monkeypatch):
    write(writer, [entry(1)], [entry(2)])
    scans, merged = log_reading.scans, []

    def merging(names, taken):
        if not merged:
            merged.append(True)
            assert PredictionLogs(root=logs.root).compact("p", NEXT) == [DAY]
        return scans(names, taken)

    monkeypatch.setattr(log_reading, "scans", merging)
    assert sorted(ids(logs)) == ["r1", "r2"]
    assert merged


def test_two_compactions_at_once_lose_nothing(logs, writer, monkeypatch):
    write(writer, [entry(1)], [entry(2)])
    keep, others = prediction_log.keep, []

    def late(path, place):
        if not others:
            others.append(True)
            PredictionLogs(root=logs.root).compact("p", NEXT)
        keep(path, place)

    monkeypatch.setattr(prediction_log, "keep", late)
    logs.compact("p", NEXT)
    assert sorted(ids(logs)) == ["r1", "r2"]
    logs.compact("p", NEXT)
    assert sorted(ids(logs)) == ["r1", "r2"]
    assert len(paths(logs)) == 1


def test_an_id_that_says_when_it_was_made_is_looked_for_there(logs, writer, tmp_path):
    request_id = f"{AT // 1000:012x}{'ab' * 10}"
    write(writer, [entry(1, request_id=request_id, role="failed")], [entry(2, at_us=AT + 3_600_000_000)])
    write(writer, [entry(1, request_id=request_id, role="label", at_us=AT + 5 * DAY_US)], kind="labels")
    far = paths(logs)[-1]
    far.write_bytes(b"not arrow")
    found = logs.find("p", request_id)
    assert found["role"].to_list() == ["failed", "label"]
    far.unlink()
    elsewhere = f"{(AT - 400 * DAY_US) // 1000:012x}{'cd' * 10}"
    write(writer, [entry(3, request_id=elsewhere, at_us=AT + DAY_US)])
    assert logs.find("p", elsewhere).height == 1, "an id may also come from a client that does it alike"
    logs.compact("p", NEXT)
    assert logs.find("p", request_id).height == 2


def pieces(logs) -> list:
    day = logs.pieces("p", "requests", DAY)
    return [(piece, day.rows(piece)) for piece in day.pieces]


def test_pieces_are_the_same_in_the_same_order_before_and_after_a_day_is_merged(logs, writer):
    hour = DAY_US // 24
    for n in (3, 1, 2):
        write(writer, [entry(n, at_us=AT + n * hour + 10 + k) for k in range(4)])
    before = pieces(logs)
    assert [piece.rows for piece, _ in before] == [4, 4, 4]
    assert [rows["request_id"][0] for _, rows in before] == ["r1", "r2", "r3"]
    day = logs.pieces("p", "requests", DAY)
    logs.compact("p", NEXT)
    for again in (pieces(logs), [(piece, day.rows(piece)) for piece in day.pieces]):
        assert [piece for piece, _ in again] == [piece for piece, _ in before]
        assert all(rows.equals(was) for (_, rows), (_, was) in zip(again, before, strict=True))
    write(writer, [entry(4, at_us=AT + 2 * hour + 9)])
    late = pieces(logs)
    assert [piece.rows for piece, _ in late] == [4, 5, 4]
    assert [late[i][0] for i in (0, 2)] == [before[i][0] for i in (0, 2)]
    assert late[1][1]["request_id"].to_list() == ["r4"] + ["r2"] * 4


def test_what_was_timed_is_seen_by_those_alone_who_read_in_pieces(logs, writer):
    write(writer, [entry(1), entry(1, role="timed", values=None, prediction=None)])
    assert ids(logs) == ["r1"]
    assert logs.find("p", "r1")["role"].to_list() == ["answered"]
    [(piece, rows)] = pieces(logs)
    assert (piece.rows, rows["role"].to_list()) == (2, ["answered", "timed"])


def test_a_piece_of_which_a_file_is_gone_is_no_smaller_piece(logs, writer):
    write(writer, [entry(1)], [entry(2)])
    day = logs.pieces("p", "requests", DAY)
    [gone] = [path for path in (Path(logs.root) / "p" / DAY).iterdir() if "-2." in path.name]
    gone.unlink()
    with pytest.raises(PredictionLogError, match="1 of 2 rows"):
        day.rows(day.pieces[0])


def test_a_merged_file_of_a_bucket_is_fetched_once_for_all_its_pieces(monkeypatch):
    root = "memory://pieces-of-the-prediction-log"
    logs = PredictionLogs(root=root)
    for n in range(3):
        write(SegmentWriter(root, "p", f"a.{n}"), [entry(n, at_us=AT + n * DAY_US // 24)])
    before = pieces(logs)
    logs.compact("p", NEXT)
    day, fetched, at_hand = logs.pieces("p", "requests", DAY), [], log_reading.at_hand

    def counting(*asked):
        fetched.extend(asked[-1])
        return at_hand(*asked)

    monkeypatch.setattr(log_reading, "at_hand", counting)
    again = [(piece, day.rows(piece)) for piece in day.pieces]
    assert len(fetched) == 1
    assert [rows["request_id"].to_list() for _, rows in again] == [["r0"], ["r1"], ["r2"]]
    assert all(rows.equals(was) for (_, rows), (_, was) in zip(again, before, strict=True))
    [path] = day._fetched.values()
    day.close()
    assert not path.exists()
