"""What the Makefile promises without being run: its targets, and what the repository must not name."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
TARGETS = {"demo", "demo-live", "test", "dev", "bench", "lint", "clean"}


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [REPOSITORY / name for name in listed.stdout.splitlines()]


def test_the_promised_targets_are_there():
    targets = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
    assert targets >= TARGETS


def test_every_pinned_package_has_a_hash_and_no_address():
    clients = [f"ml_assets_tests/clients/requirements{which}.lock" for which in ("", "-hosted")]
    for name in ("requirements.lock", "requirements-dvc.lock", *clients):
        text = (REPOSITORY / name).read_text()
        assert "://" not in text
        entries = re.split(r"\n(?=\S)", text.strip())
        assert entries
        assert [e.splitlines()[0] for e in entries if "==" not in e or "--hash=sha256:" not in e] == []


def test_dagster_and_dvc_do_not_share_an_environment():
    assert "\ndvc==" not in (REPOSITORY / "requirements.lock").read_text()
    assert "\ndagster==" not in (REPOSITORY / "requirements-dvc.lock").read_text()


def test_a_command_that_needs_more_memory_than_it_may_fails():
    within = [sys.executable, str(REPOSITORY / "scripts/within_memory.py")]
    greedy = [sys.executable, "-c", "b'1' * 100_000_000"]
    told = [
        subprocess.run([*within, most, *greedy], capture_output=True, text=True, check=False) for most in ("50", "1000")
    ]
    assert [done.returncode for done in told] == [1, 0]
    assert "50 are allowed" in told[0].stderr
    assert subprocess.run([*within, "1000", "false"], check=False).returncode == 1


def test_no_file_names_a_machine_or_a_package_index():
    forbidden = re.compile(r"/(?:root|home/[a-z]+|work)/|--(?:extra-)?index-url|://[^ ]+/simple\b")
    found = [
        f"{path.relative_to(REPOSITORY)}: {match.group(0)}"
        for path in tracked()
        if path.suffix not in (".png", ".lock") and path != Path(__file__)
        for match in [forbidden.search(path.read_text(encoding="utf-8"))]
        if match
    ]
    assert found == []


def test_no_pickle_and_no_eval_in_the_package():
    code = [p for p in tracked() if p.suffix == ".py" and p.is_relative_to(REPOSITORY / "ml_assets")]
    assert code
    assert [
        p.name for p in code if re.search(r"^\s*(?:import|from) pickle|(?<![.\w])(?:eval|exec)\(", p.read_text(), re.M)
    ] == []
