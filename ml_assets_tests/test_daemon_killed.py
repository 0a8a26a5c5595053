"""Dagster's daemon is killed with -9 in the middle of a rollout, with requests under way: serving goes on as it was.

Meanwhile the breaker works; and a daemon that is started again goes on from the step at which the ledger stands.
"""

import os
import shutil
import signal
import sys
import time
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from benchmarks.dagster_dev import DagsterDev
from benchmarks.small_project import PACKAGE, SmallProject
from ml_assets.assets.release import decide_on
from ml_assets.config.rollout import Rollout as Section
from ml_assets.core.releases import RELEASED, ROLLOUT_ENDED, check_chain
from ml_assets.core.rollout.recorded import open_rollout, rollouts
from ml_assets.releasing import ReleaseDesk
from ml_assets.resources.models import Models
from ml_assets.rolling_out import RolloutDesk
from ml_assets_tests.conftest import judged_at
from ml_assets_tests.core.test_bundle import PARAMS, made
from ml_assets_tests.serving.needy import WITH_FARE, needy
from ml_assets_tests.serving.running import Clients, body, serving, until

pytestmark = pytest.mark.slow(seconds=50)

SECONDS = 200
"""After which what is waited for is given up."""
HELD_SECONDS = 4
"""For how long nothing must move while the daemon is dead; a step takes two."""
LIMITS = {"prediction_shift": None, "estimated_loss": None, "loss": None, "p99_ratio": None}
GOOD = {
    "steps": ["shadow", 25, 50], "min_requests": 20, "min_time": "2s", "check_every_seconds": 1,
    "guardrails": LIMITS,
}  # fmt: skip
WAITING = {
    "steps": [50, 100], "min_requests": 1_000_000, "check_every_seconds": 1, "guardrails": LIMITS,
    "breaker": {"window": 20, "errors": 0.25},
}  # fmt: skip


class Rolled:
    """A pipeline with a champion, whose candidate is decided on and begins its rollout.

    Args:
        data: folder of everything.
        name: of the pipeline.
        candidate: the bundle.
        section: `rollout`.
    """

    def __init__(self, data, name, candidate, section):
        judged = judged_at(data)
        judged.models = Models(root=str(data / "models"))
        judged.desk = ReleaseDesk(replace(judged.pipeline, name=name), judged.store, judged.models, judged.ledger)
        self.name, self.desk = name, judged.desk
        self.champion, self.candidate = made(seed=0, params=PARAMS, pipeline=name).sha256, candidate.sha256
        for bundle in (made(seed=0, params=PARAMS, pipeline=name), candidate):
            judged.models.save(bundle)
        self.desk.release(self.champion, by="a test", reason="the first", forced=True)
        assert decide_on(self.desk, judged.evaluation(self.candidate, pipeline=name), "a test")["verdict"] == "promote"
        decision, rules = self.desk.events()[-1], Section.model_validate(section).rules()
        RolloutDesk(self.desk).begin(decision, rules, by="a test", reason="promoted", now=datetime.now(UTC))

    @property
    def path(self) -> str:
        return f"/v2/models/{self.name}/infer"

    @property
    def weight(self) -> int | None:
        """Of the candidate; None where its rollout is over."""
        told = open_rollout(self.desk.events())
        return None if told is None else told.state.weight


@pytest.fixture
def small(tmp_path) -> SmallProject:
    """Two pipelines on a table without rows: candidates were decided on before."""
    small = SmallProject(tmp_path, 10, pipeline={"rollout": GOOD})
    first = tmp_path / PACKAGE / "defs/rides"
    other = tmp_path / PACKAGE / "defs/fares"
    other.mkdir()
    shutil.copy(first / "features.py", other)
    [_, pipeline] = yaml.safe_load_all((first / "defs.yaml").read_text())
    pipeline["attributes"] |= {"name": "fares", "rollout": WAITING}
    (other / "defs.yaml").write_text(yaml.safe_dump(pipeline))
    return small


def kill_daemon(dev: DagsterDev) -> None:
    """Kill the daemon alone, with -9."""
    [daemon] = [p for p in dev.processes() if b"dagster._daemon" in Path(f"/proc/{p}/cmdline").read_bytes()]
    os.kill(daemon, signal.SIGKILL)
    until(lambda: not Path(f"/proc/{daemon}/cmdline").exists() or not Path(f"/proc/{daemon}/cmdline").read_bytes())


def test_a_rollout_goes_on_where_it_stood(small, tmp_path):
    good = Rolled(small.data, "duration", made(seed=1, params=PARAMS, pipeline="duration"), GOOD)
    bad = Rolled(small.data, "fares", needy("fares"), WAITING)
    ml_assets = str(Path(sys.executable).with_name("ml-assets"))
    command = [ml_assets, "dev", "--workspace", str(small.root / "workspace.yaml")]
    small.home.mkdir(exist_ok=True)
    with (
        serving(small.data, "--pipeline", "duration", "--pipeline", "fares", "--features-only") as server,
        Clients(server.port, 1, path=good.path, pause=0.01) as clients,
        Clients(server.port, 1, path=bad.path, content=body(WITH_FARE), pause=0.01) as others,
        DagsterDev(command, small.environment, tmp_path / "dev.log", cwd=small.home) as dev,
    ):
        until(lambda: good.weight == 2_500, SECONDS)
        kill_daemon(dev)
        events = len(good.desk.events())
        until(lambda: server.metric("ml_assets_ledger_sequence", 'pipeline="duration"') == events, 5)
        held = time.monotonic()
        time.sleep(HELD_SECONDS)
        answers = [v for at, v, _ in list(clients.answers) if at > held]
        assert (good.weight, len(good.desk.events())) == (2_500, events), "nobody moves it"
        assert 0.1 < answers.count(good.candidate) / len(answers) < 0.4
        assert bad.weight == 5_000
        others.content = body()
        until(lambda: bad.weight is None, 10)
        tripped = time.monotonic()
        [end] = [e for e in bad.desk.events() if e.kind == ROLLOUT_ENDED]
        assert (end.facts["to"]["phase"], end.facts["by"][:7]) == ("rolled_back", "breaker")

        dev.stop()
        dev.start()
        until(lambda: good.weight is None, SECONDS)
        until(lambda: clients.answers[-1][1] == good.candidate, 5)
        over = f"duration/rollout/{len(good.desk.events())}"
        asked = dev.wait(SECONDS, lambda: found if over in (found := asked_for(dev)) else None)
    assert clients.errors == others.errors == []
    assert {v for at, v, _ in others.answers if at > tripped + 0.2} == {bad.champion}
    events = good.desk.events()
    check_chain(events)
    [rollout] = rollouts(events)
    told = [(e.facts["action"], e.facts["to"]["weight"]) for e in rollout.events]
    assert told == [("advance", w) for w in (0, 2_500, 5_000)] + [("promote", 10_000)], "no step twice"
    assert [e.facts["bundle"] for e in events if e.kind == RELEASED] == [good.champion, good.candidate]
    assert set(asked.values()) == {1}, asked


def asked_for(dev: DagsterDev) -> Counter[str]:
    """How often each run was asked for, by its key; a retry of it is no second one."""
    tags = [r["tags"] for r in dev.runs()]
    return Counter(t["dagster/run_key"] for t in tags if "dagster/run_key" in t and "dagster/parent_run_id" not in t)
