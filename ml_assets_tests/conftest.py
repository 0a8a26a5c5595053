"""Fixtures and options for every test."""

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--strict-skips", action="store_true", help="A skipped test fails, except for missing real data.")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if item.config.getoption("--strict-skips") and report.skipped and "real taxi trips" not in str(report.longrepr):
        report.outcome = "failed"


@pytest.fixture(scope="session")
def tlc() -> Path:
    """The folder of real taxi trips; tests that need it are skipped without it."""
    folder = Path(os.environ.get("ML_ASSETS_TLC") or REPOSITORY.parent / "shared/data/tlc")
    if not folder.is_dir():
        pytest.skip(f"real taxi trips are not at {folder}; set ML_ASSETS_TLC to a folder of TLC files")
    return folder
