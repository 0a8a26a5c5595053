"""Pictures and pages: whole files under the root, and a preview in the event where it is small."""

import base64
import errno
from pathlib import Path

import dagster as dg
import pytest
from upath import UPath

from ml_assets.resources.reports import PREVIEW_BYTES, Reports

KEY = dg.AssetKey(["duration", "evaluation"])


@pytest.fixture(params=["local", "memory"])
def reports(request, tmp_path) -> Reports:
    return Reports(root=str(tmp_path / "reports") if request.param == "local" else f"memory://{tmp_path.name}")


def files(reports: Reports) -> list[str]:
    root = UPath(reports.root)
    return sorted(p.path.removeprefix(root.path).lstrip("/") for p in root.rglob("*") if p.is_file())


def test_a_page_is_where_it_says_and_may_be_replaced(reports):
    where = reports.page("duration", "report.html", b"one")
    assert UPath(where).read_bytes() == b"one"
    assert reports.page("duration", "report.html", b"another") == where
    assert UPath(where).read_bytes() == b"another"
    assert files(reports) == ["duration/report.html"]


def test_a_picture_is_shown_and_kept(reports):
    png = b"\x89PNG" + bytes(1000)
    told = reports.picture(KEY, "2018-03", "residuals", png)
    assert set(told) == {"residuals", "residuals_file"}
    assert files(reports) == ["duration/pictures/evaluation/2018-03/residuals.png"]
    assert UPath(told["residuals_file"].value).read_bytes() == png
    shown = told["residuals"]
    assert isinstance(shown, dg.MarkdownMetadataValue)
    assert shown.value.startswith("![residuals](data:image/png;base64,")
    assert base64.b64decode(shown.value.split("base64,")[1].removesuffix(")")) == png


@pytest.mark.parametrize(("size", "shown"), [(PREVIEW_BYTES, True), (PREVIEW_BYTES + 1, False)])
def test_large_pictures_are_linked_only(reports, size, shown):
    told = reports.picture(KEY, "2018-03", "slices", bytes(size))
    assert ("slices" in told) is shown
    assert len(UPath(told["slices_file"].value).read_bytes()) == size


def test_a_full_disk_leaves_the_page_that_was_there(tmp_path, monkeypatch):
    reports = Reports(root=str(tmp_path))
    where = Path(reports.page("duration", "report.html", b"whole"))

    def full(self: Path, _: bytes) -> None:
        with self.open("wb") as f:
            f.write(b"ha")
        raise OSError(errno.ENOSPC, "No space left on device")

    for kind in {Path, type(UPath(str(tmp_path)))}:
        monkeypatch.setattr(kind, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        reports.page("duration", "report.html", b"half of it")
    monkeypatch.undo()
    assert where.read_bytes() == b"whole"
