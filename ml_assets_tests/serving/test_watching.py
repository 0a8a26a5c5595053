"""The watcher as a table of states: what is seen, what fails, what is put in place, and what is told."""

import logging
import threading
import time
from itertools import pairwise
from types import SimpleNamespace

import pytest

from ml_assets.core.errors import BundleError
from ml_assets.core.routing import WHOLE, Arm, Routing
from ml_assets.resources.ledger_database import LedgerDatabase
from ml_assets.serving.data_plane import DataPlane
from ml_assets.serving.metrics import Metrics
from ml_assets.serving.watching import LAST_RETRY_SECONDS, Watcher, without

from .conftest import NEW, OLD, SHADOW, model

END = "2018-04-01T00:00:00"
FACTS = {
    "as_of": "2018-03", "as_of_end": END, "scores_from": END, "record": None, "forced": True, "by": "x", "reason": "y",
}  # fmt: skip


class Loads:
    """A loader whose bundles are there, or fail."""

    def __init__(self) -> None:
        self.failing, self.asked = {}, []

    def load(self, pipeline, sha256):
        self.asked.append(sha256)
        if sha256 in self.failing:
            raise BundleError(sha256[:12], found="damaged", expected="intact", cure="restore it")
        return model(sha256, float(len(self.asked)))


class Following:
    def __init__(self, root) -> None:
        self.file = root / "ledger.db"
        self.ledger = LedgerDatabase(f"sqlite:///{self.file}", 1.0)
        self.plane, self.loads, self.metrics = DataPlane(["rides"]), Loads(), Metrics()
        self.now = 0.0
        self.watcher = Watcher(self.plane, self.ledger, self.loads, self.metrics, lambda: self.now)

    def release(self, sha256, kind="released", **more):
        after = self.ledger.last_sequences().get("rides", 0) if self.file.exists() else 0
        self.ledger.append("rides", kind, {**FACTS, "bundle": sha256, **more}, after=after)

    def look(self):
        """Look, let what is being loaded come, and look again."""
        self.watcher.first_look(10)

    @property
    def champion(self):
        return self.plane.model("rides").version if self.plane.is_ready("rides") else None

    def metric(self, line):
        text = self.metrics.exposition()[0].decode()
        return next((float(f.rsplit(" ", 1)[1]) for f in text.splitlines() if f.startswith(line)), None)


@pytest.fixture
def following(tmp_path):
    made = Following(tmp_path)
    yield made
    made.watcher.stop()


def test_from_nothing_to_a_champion_to_the_next_and_back(following):
    following.look()
    assert following.champion is None
    assert following.metric("ml_assets_ledger_up") == 0
    following.release(OLD)
    following.look()
    assert following.champion == OLD
    following.release(NEW)
    following.look()
    picture = following.plane.picture("rides")
    assert (following.champion, picture.routing.standby, picture.sequence) == (NEW, (OLD,), 2)
    assert following.loads.asked == [OLD, NEW]
    following.release(OLD, "rolled_back", from_bundle=NEW)
    following.watcher.look()
    assert following.champion == OLD, "it was warm: one look is enough"
    assert following.loads.asked == [OLD, NEW]
    assert following.metric('ml_assets_swaps_total{pipeline="rides"}') == 3
    assert following.metric('ml_assets_ledger_sequence{pipeline="rides"}') == 3
    shown = 'ml_assets_model{pipeline="rides",variant="champion",version='
    assert [following.metric(f'{shown}"{v}"') for v in (OLD, NEW)] == [1, 0]


def test_who_asks_is_told_that_models_were_put_in_place_and_of_nothing_else(following):
    seen = []
    following.watcher.placed = lambda: seen.append(following.champion)
    following.look()
    assert seen == []
    following.release(OLD)
    following.look()
    following.look()
    assert seen == [OLD]
    following.loads.failing[NEW] = True
    following.release(NEW)
    following.look()
    assert seen == [OLD]


def test_events_that_change_nothing_load_nothing(following):
    following.release(OLD)
    following.look()
    before = following.plane.picture("rides")
    following.ledger.append("rides", "asked", {"by": "x", "why": "y"}, after=1)
    following.look()
    assert following.plane.picture("rides") is before
    read = []
    following.watcher._ledger = SimpleNamespace(
        last_sequences=following.ledger.last_sequences, events=lambda p: read.append(p)
    )
    following.watcher.look()
    assert read == [], "events are read only where the last sequence has moved"


def test_a_damaged_champion_leaves_the_old_one_and_is_tried_again_ever_less_often(following, caplog):
    following.release(OLD)
    following.look()
    following.loads.failing = {NEW}
    following.release(NEW)
    following.look()
    assert following.champion == OLD
    assert following.metric('ml_assets_bundles_refused_total{pipeline="rides"}') == 1
    assert "the champion is refused; what is loaded stays" in caplog.text
    tries = []
    for _ in range(500):
        following.now += 2
        asked = len(following.loads.asked)
        following.look()
        if len(following.loads.asked) > asked:
            tries.append(following.now)
    pauses = [b - a for a, b in pairwise(tries)]
    assert pauses[0] < pauses[2] <= pauses[-1] <= LAST_RETRY_SECONDS + 4
    assert len(tries) < 30
    following.loads.failing = set()
    following.now += LAST_RETRY_SECONDS
    following.look()
    assert following.champion == NEW


def test_a_way_back_is_followed_at_once_while_a_retry_waits(following):
    following.release(OLD)
    following.look()
    following.loads.failing = {NEW}
    following.release(NEW)
    for _ in range(8):
        following.now += 100
        following.look()
    following.release(SHADOW, "rolled_back", from_bundle=NEW)
    following.look()
    assert following.champion == SHADOW


def test_a_standby_that_is_damaged_is_left_out_and_told(following, caplog):
    following.loads.failing = {OLD}
    following.release(OLD)
    following.release(NEW)
    following.look()
    assert following.champion == NEW
    assert following.plane.picture("rides").routing.standby == ()
    assert "a model beside the champion is refused" in caplog.text
    following.loads.failing = set()
    following.now += 5
    following.look()
    assert following.plane.picture("rides").routing.standby == (OLD,)


def test_the_ledger_is_away_and_comes_back(following, caplog):
    following.release(OLD)
    following.look()
    caplog.set_level(logging.INFO)
    away = following.file.with_name("away")
    following.file.rename(away)
    for _ in range(3):
        following.watcher.look()
    assert following.champion == OLD
    assert following.metric("ml_assets_ledger_up") == 0
    assert caplog.text.count("the ledger is away") == 1
    away.rename(following.file)
    following.release(NEW)
    following.look()
    assert following.champion == NEW
    assert following.metric("ml_assets_ledger_up") == 1
    assert caplog.text.count("the ledger is back") == 1


def told(caplog) -> str:
    return "\n".join(str(getattr(record, "error", "")) for record in caplog.records)


def test_a_ledger_that_goes_back_is_not_followed(following, caplog):
    following.release(OLD)
    following.release(NEW)
    following.look()
    assert following.metric("ml_assets_ledger_followed") == 1
    following.file.unlink()
    following.release(OLD)
    following.look()
    assert following.champion == NEW
    assert "1 events, where there were 2" in told(caplog)
    up, followed = (following.metric(f"ml_assets_ledger_{what}") for what in ("up", "followed"))
    assert (up, followed) == (1, 0), "it is read well, and says what can't be done"
    following.release(SHADOW)
    following.release(OLD)
    following.look()
    assert following.champion == NEW
    assert "other events than were followed" in told(caplog)


def test_a_ledger_that_was_changed_is_not_followed(following, caplog):
    import sqlalchemy as sa

    following.release(OLD)
    following.look()
    following.release(OLD)
    with following.ledger._told() as engine, engine.begin() as connection:
        connection.execute(sa.text(f"update events set facts = replace(facts, '{OLD}', '{SHADOW}')"))
    following.look()
    assert following.champion == OLD
    assert "was changed" in told(caplog)
    assert following.metric("ml_assets_ledger_followed") == 0
    with following.ledger._told() as engine, engine.begin() as connection:
        connection.execute(sa.text(f"update events set facts = replace(facts, '{SHADOW}', '{OLD}')"))
    following.now += LAST_RETRY_SECONDS
    following.look()
    assert following.metric("ml_assets_ledger_followed") == 1


def test_a_look_does_not_wait_for_a_load(following):
    following.release(OLD)
    following.look()
    hold, load = threading.Event(), following.loads.load

    def slow(pipeline, sha256):
        assert hold.wait(10)
        return load(pipeline, sha256)

    following.loads.load = slow
    following.release(NEW)
    following.watcher.look()
    assert following.champion == OLD
    following.release(OLD, "rolled_back", from_bundle=NEW)
    following.watcher.look()
    assert following.plane.picture("rides").sequence == 1, "nothing changes: it is OLD that answers"
    hold.set()
    following.look()
    assert following.champion == OLD


def test_its_thread_outlives_what_nobody_thought_of(following, caplog):
    following.release(OLD)
    real = following.ledger.last_sequences
    following.watcher._ledger = SimpleNamespace(last_sequences=lambda: 1 / 0, events=following.ledger.events)
    following.watcher.start(0.01)
    end = time.monotonic() + 10
    while "a look at the ledger failed" not in caplog.text and time.monotonic() < end:
        time.sleep(0.01)
    following.watcher._ledger = SimpleNamespace(last_sequences=real, events=following.ledger.events)
    while following.champion is None and time.monotonic() < end:
        time.sleep(0.01)
    assert following.champion == OLD


def test_who_was_a_refused_arms_is_the_champions():
    arms = (Arm("champion", NEW, 6_000), Arm("a", OLD, 3_000), Arm("b", SHADOW, 1_000))
    routing = Routing(NEW, arms, "r", shadows=(OLD, SHADOW), standby=(OLD,))
    kept = without(routing, [OLD])
    assert kept.arms == (Arm("champion", NEW, 9_000), Arm("b", SHADOW, 1_000))
    assert (kept.shadows, kept.standby, kept.salt) == ((SHADOW,), (), "r")
    assert sum(a.weight for a in without(routing, [OLD, SHADOW]).arms) == WHOLE
    assert without(routing, []) == routing
