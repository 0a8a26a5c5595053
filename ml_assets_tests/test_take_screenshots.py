"""The script that takes the README's pictures: what it says where it can't, and that its pictures are small enough."""

import importlib.util
import json
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
SCRIPT = REPOSITORY / "scripts/take_screenshots.py"
MOST_BYTES = 400_000


@pytest.fixture
def script(monkeypatch):
    spec = importlib.util.spec_from_file_location("take_screenshots", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    # A machine may have what the project does not ask for.
    monkeypatch.setattr(module, "PACKAGES", {"json": "there"})
    return module


@pytest.fixture
def data(tmp_path) -> Path:
    """A data folder with drift reports of four months."""
    folder = tmp_path / "store/trip_duration/drift"
    folder.mkdir(parents=True)
    for month, verdict in enumerate(("stable", "drifted", "drifted", "not_enough_rows"), start=1):
        (folder / f"2020-0{month}.json").write_text(json.dumps({"verdict": verdict}))
    return tmp_path


def test_without_playwright_it_says_what_to_install(script, data, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(script, "PACKAGES", {"json": "there", "no_such_module": "playwright"})
    assert script.main(["--data", str(data), "--out", str(tmp_path / "out")]) == 1
    said = capsys.readouterr().err
    assert "taking screenshots: no playwright in " in said
    assert "cure: pip install playwright pillow" in said
    assert "Traceback" not in said
    assert not (tmp_path / "out").exists()


def test_without_a_browser_or_a_finished_demo_it_says_so(script, data, capsys, tmp_path):
    assert script.main(["--data", str(data), "--chromium", "/no/such/chromium"]) == 1
    assert "--chromium /no/such/chromium: no such file" in capsys.readouterr().err
    assert script.main(["--data", str(tmp_path / "empty")]) == 1
    said = capsys.readouterr().err
    assert "0 drift reports" in said
    assert "cure: ml-assets demo-live --data" in said


def test_the_latest_drifted_partition_is_shown(script, data):
    assert script.drifted_partition(data, "trip_duration") == "2020-03"


def test_a_ui_that_does_not_answer_is_told(script, monkeypatch):
    monkeypatch.setattr(script, "STARTING_SECONDS", 0.2)
    with pytest.raises(script.ConfigError, match="no answer"):
        script.wait_until_loaded("http://127.0.0.1:9")


def test_pictures_are_shown_and_small():
    readme = (REPOSITORY / "README.md").read_text()
    for name in ("graph", "drift_report"):
        file = REPOSITORY / f"docs/images/{name}.png"
        assert f"docs/images/{name}.png" in readme
        assert file.stat().st_size < MOST_BYTES


def test_a_graph_fits_when_all_of_it_is_inside_of_the_pane(script):
    assert script.within((10, 10, 90, 90), (0, 0, 100, 100))
    for outside in ((-1, 10, 90, 90), (10, -1, 90, 90), (10, 10, 101, 90), (10, 10, 90, 101)):
        assert not script.within(outside, (0, 0, 100, 100))
