"""A file dropped into the source's folder, followed through a real `dagster dev` that is killed with -9 on the way."""

from collections import Counter

import pytest

from benchmarks.dagster_dev import OVER, DagsterDev
from benchmarks.small_project import SmallProject

pytestmark = pytest.mark.slow

ROWS = 1500
MONTH = "2018-04"
SECONDS = 300
"""After which what is waited for is given up; on quiet cores it takes a fifth of that."""


@pytest.fixture
def small(tmp_path) -> SmallProject:
    """A project with a champion, that looks at its source every few seconds.

    What a killed `dagster dev` left as running is found out after a minute, not after two hours.
    """
    project = SmallProject(tmp_path, ROWS, table={"check_every": "5s"})
    project.make_history()
    settings = project.home / "dagster.yaml"
    text = settings.read_text()
    assert "max_runtime_seconds: 7200" in text
    settings.write_text(
        text.replace("max_runtime_seconds: 7200", "max_runtime_seconds: 60\n  poll_interval_seconds: 5")
    )
    return project


def test_a_file_that_lands_is_followed_to_its_verdict_through_a_kill_of_everything(small, tmp_path):
    with DagsterDev(small.command, small.environment, tmp_path / "dev.log", cwd=small.home) as dev:
        dev.wait(SECONDS, dev.location)
        small.land(MONTH)
        killed = dev.wait(SECONDS, lambda: running(dev, MONTH), every=0.2)
        assert len(dev.kill()) >= 4, "webserver, daemon, code server and run"
        assert dev.processes() == []
        assert not (small.data / f"store/duration/drift/{MONTH}.json").exists()

        dev.start()
        verdict = dev.wait(SECONDS, lambda: next(iter(dev.made("duration/drift", MONTH)), None))
        assert verdict["texts"]["verdict"] in ("stable", "drifted")
        dev.wait(SECONDS, lambda: True if all(run["status"] in OVER for run in dev.runs()) else None)

        runs = dev.runs_of(MONTH)
        assert next(run["status"] for run in runs if run["runId"] == killed["runId"]) == "FAILURE"
        asked = Counter(r["tags"].get("dagster/run_key") for r in runs if "dagster/parent_run_id" not in r["tags"])
        assert asked[killed["tags"]["dagster/run_key"]] == 1, "one run for one cause, and retries of it"
        for noun in ("rides/raw", "rides/validated", "duration/features", "duration/predictions"):
            contents = {made["texts"]["sha256"] for made in dev.made(noun, MONTH)}
            assert len(contents) == 1, noun
        assert len(dev.made("duration/drift", MONTH)) == 1
        ingested = [r for r in runs if r["jobName"] == "rides_ingest" and r["status"] == "SUCCESS"]
        assert len(ingested) <= 1, "and none where the killed one had stored what it read"


def running(dev: DagsterDev, partition: str) -> dict | None:
    """The ingestion of a partition, once it has started."""
    return next(
        (r for r in dev.runs_of(partition) if r["jobName"] == "rides_ingest" and r["status"] == "STARTED"), None
    )
