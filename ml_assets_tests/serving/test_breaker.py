"""The breaker acts at once, alone, and tells the ledger when it can."""

from datetime import UTC, datetime

import pytest

from ml_assets.core.releases import ROLLOUT_BEGUN, ROLLOUT_ENDED
from ml_assets.core.rollout.breaker import Breaker as Rule
from ml_assets.core.rollout.machine import begin
from ml_assets.core.rollout.recorded import begun_facts, open_rollout
from ml_assets.core.rollout.routes import routing_of
from ml_assets.core.rollout.rules import Rules
from ml_assets.resources.ledger_database import LedgerDatabase
from ml_assets.serving.breaker import Breaker
from ml_assets.serving.data_plane import DataPlane
from ml_assets.serving.metrics import Metrics
from ml_assets.serving.picture import Picture
from ml_assets.serving.watching import Watcher

from .conftest import NEW, OLD, model

ROW = {"miles": [2.0], "zone": ["a"]}
NOW = datetime(2020, 5, 1, tzinfo=UTC)
RULES = Rules(steps=(5_000,), breaker=Rule(window=20, errors=0.25, slow=5.0))


class Loader:
    def load(self, pipeline, sha256):
        return model(sha256, {NEW: 1.0, OLD: 10.0}[sha256])


class Served:
    """A server without sockets: a ledger with a rollout, watcher, data plane, breaker."""

    def __init__(self, path):
        self.file = path / "ledger.db"
        self.ledger = LedgerDatabase(f"sqlite:///{self.file}", 0.1)
        at = "2020-04-01T00:00:00"
        facts = {"bundle": NEW, "as_of": "2020-03", "scores_from": at, "record": None, "forced": True, "by": "a test"}
        self.ledger.append("rides", "released", facts, after=0)
        record = {"as_of": "2020-04", "sha256": "r"}
        begun = begun_facts("r-1", NEW, OLD, record, RULES.to_json(), begin(RULES, NOW, "why"), "a test")
        self.ledger.append("rides", ROLLOUT_BEGUN, begun, after=1)
        self.plane = DataPlane(["rides"])
        self.breaker = Breaker(self.plane, self.ledger, "breaker of a test")
        self.plane.hooks += (self.breaker.served,)
        self.metrics = Metrics()
        self.watcher = Watcher(self.plane, self.ledger, Loader(), self.metrics)
        self.watcher.first_look(5.0)

    @property
    def candidate(self):
        return self.plane.model("rides", OLD).scorer

    def ask(self, times, variant="candidate"):
        return [self.plane.infer("rides", ROW, 1, variant=variant) for _ in range(times)]

    def weights(self):
        return [a.weight for a in self.plane.picture("rides").routing.arms]


@pytest.fixture
def served(tmp_path):
    told = Served(tmp_path)
    yield told
    told.watcher.stop()


def test_a_candidate_that_fails_loses_the_traffic_at_once_and_the_ledger_is_told(served):
    served.candidate.fails = ValueError("no")
    assert {a.variant for a in served.ask(4)} == {"champion"}, "clients are answered"
    assert served.weights() == [5_000, 5_000], "four of twenty are not enough"
    served.ask(1)
    assert served.weights() == [10_000]
    assert (served.breaker.tripped, served.breaker.unwritten) == (("r-1",), 1)
    assert served.breaker.write()
    ended = served.ledger.events("rides")[-1]
    assert (ended.kind, ended.facts["to"]["phase"], ended.facts["by"]) == (
        ROLLOUT_ENDED, "rolled_back", "breaker of a test"
    )  # fmt: skip
    assert "5 of the last 20 requests failed" in ended.facts["reasons"][0]
    assert ended.facts["evidence"] == {"window": 20, "seen": 5, "failed": 5, "slow": 0, "champion_p99_us": None}
    served.watcher.look()
    assert (served.weights(), open_rollout(served.ledger.events("rides"))) == ([10_000], None)
    served.breaker.tell(served.metrics)
    assert 'ml_assets_breaker_trips{written="yes"} 1.0' in served.metrics.exposition()[0].decode()


def tell(served, variant, latency_us, times, failed=False, rows=1):
    from types import SimpleNamespace

    for _ in range(times):
        served.breaker.served(
            SimpleNamespace(
                pipeline="rides",
                variant=variant,
                predictions=None if failed else [1.0],
                latency_us=latency_us * rows,
                rows=rows,
            )
        )


def test_a_candidate_that_is_slow_loses_the_traffic(served):
    tell(served, "candidate", 10_000, 30)
    assert served.weights() == [5_000, 5_000], "slow against what? the champion has answered nothing"
    tell(served, "champion", 100, 150)
    tell(served, "candidate", 400, 20)
    tell(served, "candidate", 100, 20, rows=50)
    tell(served, "candidate", 400, 20)
    assert served.weights() == [5_000, 5_000]
    tell(served, "candidate", 600, 9)
    assert served.weights() == [5_000, 5_000]
    tell(served, "candidate", 600, 1)
    assert served.weights() == [10_000]


def test_what_hits_both_is_not_the_candidates_fault(served):
    tell(served, "champion", 100, 100, failed=True)
    tell(served, "candidate", 100, 30, failed=True)
    assert served.weights() == [5_000, 5_000]


def test_the_champion_and_versions_by_name_trip_nothing(served):
    tell(served, "champion", 100, 100, failed=True)
    tell(served, "pinned", 100, 100, failed=True)
    assert served.weights() == [5_000, 5_000]


def test_no_look_at_the_ledger_brings_the_candidate_back(served):
    tell(served, "champion", 100, 1)
    tell(served, "candidate", 100, 5, failed=True)
    events = served.ledger.events("rides")
    facts = dict(events[-1].facts)
    moved = {**facts, "to": {**facts["to"], "weight": 9_000}, "weights": {"champion": 1_000, "candidate": 9_000}}
    served.ledger.append("rides", "rollout_moved", {k: v for k, v in moved.items() if k != "at"}, after=2)
    served.watcher.look()
    assert [a.weight for a in routing_of(served.ledger.events("rides")).arms] == [1_000, 9_000]
    assert served.weights() == [10_000]
    assert served.breaker.write()
    assert open_rollout(served.ledger.events("rides")) is None


def test_while_the_ledger_is_away_the_champion_answers_and_the_end_is_written_later(served, tmp_path):
    away = served.file.rename(tmp_path / "away.db")
    served.file.mkdir()
    tell(served, "candidate", 100, 5, failed=True)
    assert served.weights() == [10_000]
    assert not served.breaker.write()
    assert served.breaker.unwritten == 1
    served.watcher.look()
    assert served.weights() == [10_000]
    served.file.rmdir()
    away.rename(served.file)
    served.breaker.start()
    served.breaker.stop()
    assert served.breaker.unwritten == 0
    assert served.ledger.events("rides")[-1].kind == ROLLOUT_ENDED


def test_two_servers_that_trip_write_one_end(served):
    other = Breaker(DataPlane(["rides"]), served.ledger, "another")
    other._plane.put("rides", Picture(served.plane.picture("rides").routing, served.plane.picture("rides").models, 2))
    for breaker in (served.breaker, other):
        told = Served.__new__(Served)
        told.breaker = breaker
        tell(told, "candidate", 100, 5, failed=True)
        assert breaker.write()
    assert [e.kind for e in served.ledger.events("rides")].count(ROLLOUT_ENDED) == 1
