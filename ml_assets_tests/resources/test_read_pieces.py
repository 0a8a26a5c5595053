"""What looks have read: found again only as it was written, removed when it is of no use, and never in the way."""

import json
import os
from pathlib import Path

import polars as pl
import pytest

from ml_assets.resources import read_pieces
from ml_assets.resources.read_pieces import UNUSED_AFTER_SECONDS, pieces_read

ROWS, FACTS = pl.DataFrame({"a": [1, 2]}), {"seen": 0.1}


def put(root: Path, key: str = "k", *, rollout: str = "r", lasting: bool = True) -> Path:
    with pieces_read(str(root), "p", rollout) as kept:
        path = kept.put(key, FACTS, ROWS, lasting=lasting)
        assert pl.read_parquet(path).equals(ROWS)
    return path


def found(root: Path, key: str = "k"):
    with pieces_read(str(root), "p", "r") as kept:
        return kept.found(key)


def test_a_piece_is_found_again(tmp_path):
    put(tmp_path)
    facts, path = found(tmp_path)
    assert facts == FACTS
    assert pl.read_parquet(path).equals(ROWS)
    assert found(tmp_path, "another") is None
    assert [p for p in (tmp_path / "p" / "r").iterdir() if p.name.startswith(".")] == []


def test_without_a_folder_or_a_need_nothing_stays(tmp_path):
    assert not put(tmp_path, lasting=False).exists()
    assert found(tmp_path) is None
    with pieces_read(None, "p", "r") as kept:
        path = kept.put("k", FACTS, ROWS, lasting=True)
        assert kept.found("k") is None
    assert not path.exists()


@pytest.mark.parametrize("harm", ["rows", "facts", "no rows", "no json", "other json"])
def test_what_is_not_what_was_written_is_not_there(tmp_path, harm):
    path = put(tmp_path)
    told = path.with_suffix(".json")
    content = path.read_bytes()
    middle = len(content) // 2
    {
        "rows": lambda: path.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]),
        "facts": lambda: told.write_text(told.read_text().replace("0.1", "0.2")),
        "no rows": path.unlink,
        "no json": lambda: told.write_text("{"),
        "other json": lambda: told.write_text(json.dumps(["facts"])),
    }[harm]()
    assert found(tmp_path) is None


def test_what_no_look_uses_is_removed_after_a_while(tmp_path):
    old, other, new = put(tmp_path, "old"), put(tmp_path, rollout="before"), put(tmp_path, "new")
    for path in (old, other, new):
        for each in (path, path.with_suffix(".json")):
            os.utime(each, (each.stat().st_atime, each.stat().st_mtime - UNUSED_AFTER_SECONDS - 1))
    assert found(tmp_path, "new") is not None
    assert new.exists()
    assert not old.exists()
    assert not other.parent.exists()


def test_a_disk_that_takes_nothing_makes_the_next_look_dearer_and_nothing_else(tmp_path, monkeypatch, caplog):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(read_pieces, "publish", full)
    put(tmp_path)
    assert "read again at the next look" in caplog.text
    assert found(tmp_path) is None
