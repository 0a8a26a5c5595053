"""A ledger in Postgres is away under a live server, stopped or frozen: answers go on, and it is caught up later."""

import os
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import pairwise

import polars as pl
import pytest
import sqlalchemy as sa

from ml_assets.core.errors import LedgerConflict
from ml_assets.core.releases import ROLLOUT_BEGUN, ROLLOUT_ENDED
from ml_assets.core.rollout.breaker import Breaker
from ml_assets.core.rollout.machine import begin
from ml_assets.core.rollout.recorded import begun_facts
from ml_assets.core.rollout.rules import Rules
from ml_assets.resources.bundle_files import save
from ml_assets.resources.ledger_database import LedgerDatabase
from ml_assets.resources.model_folder import ModelFolder
from ml_assets.serving.loading import Loader
from ml_assets_tests.core.test_bundle import VALIDATION
from ml_assets_tests.postgres import Postgres
from ml_assets_tests.serving.needy import NEEDED, WITH_FARE, needy
from ml_assets_tests.serving.running import PIPELINE, Clients, Released, body, serving, until

pytestmark = pytest.mark.slow(seconds=20)

AWAY_SECONDS = float(os.environ.get("ML_ASSETS_AWAY_SECONDS", "12"))
"""How long Postgres is away in each of the tests."""
RULES = Rules(steps=(5_000,), breaker=Breaker(window=20, errors=0.25))
ROLLOUT = "r-1"


@pytest.fixture(scope="module")
def postgres():
    server = Postgres()
    yield server
    server.cleanup()


@contextmanager
def stopped(postgres):
    postgres.stop()
    yield
    postgres.start()


@pytest.fixture
def released(tmp_path, postgres, monkeypatch):
    """A champion and, on half of the traffic, a candidate that needs one more feature; their ledger is in Postgres."""
    monkeypatch.setenv("ML_ASSETS_LEDGER", postgres.url)
    released = Released(tmp_path)
    released.ledger = LedgerDatabase(postgres.url)
    with released.ledger._told() as engine, engine.begin() as connection:
        connection.execute(sa.text("delete from events"))
    return released


@pytest.mark.parametrize("away", [stopped, Postgres.frozen], ids=["stopped", "frozen"])
def test_serving_goes_on_and_what_happened_meanwhile_is_written_once(released, postgres, away):
    champion, candidate = released.version(0), needy(PIPELINE)
    save(candidate, released.root / "models")
    frame = VALIDATION.select("zone", "miles", "hour").with_columns(pl.lit(1.0).alias(NEEDED))
    frame = pl.DataFrame([WITH_FARE], schema=frame.schema)
    scores = released.scores() | {candidate.sha256: float(candidate.predict(frame)[0])}
    released.make_live(champion)
    told = begin(RULES, datetime.now(UTC), "a test")
    record = {"as_of": "2018-03", "sha256": None}
    facts = begun_facts(ROLLOUT, champion, candidate.sha256, record, RULES.to_json(), told, "a test")
    released.append(ROLLOUT_BEGUN, **facts)
    again = released.version(2)
    loader = Loader(ModelFolder(str(released.root / "models")), released.root / "serving/tried")
    for bundle in (champion, candidate.sha256, again):
        loader.load(PIPELINE, bundle)

    with serving(released.root) as server, Clients(server.port, 2, content=body(WITH_FARE)) as clients:
        until(lambda: {v for _, v, _ in list(clients.answers)} == {champion, candidate.sha256})
        gone = time.monotonic()
        with away(postgres):
            until(lambda: server.metric("ml_assets_ledger_up") == 0, 10)
            assert server.ask("GET", "/health/ready")[0] == 200
            clients.content = body()
            until(lambda: server.metric("ml_assets_breaker_trips", 'written="no"') == 1, 5)
            tripped = time.monotonic()
            time.sleep(max(0.5, AWAY_SECONDS - (time.monotonic() - gone)))
            assert server.metric("ml_assets_breaker_trips", 'written="no"') == 1
            assert server.metric("ml_assets_ledger_age_seconds") > 0.7 * AWAY_SECONDS
            assert server.ask("GET", "/health/ready")[0] == 200
        back = time.monotonic()
        until(lambda: _released(released, again), 10)
        made = time.monotonic()
        until(lambda: clients.answers[-1][1] == again)
        took = time.monotonic() - made
        until(lambda: server.metric("ml_assets_breaker_trips", 'written="yes"') == 1)
        assert server.metric("ml_assets_ledger_up") == 1
    assert clients.errors == []
    assert took < 8, "one on quiet cores"
    assert {v for at, v, _ in clients.answers if tripped + 0.2 < at < back} == {champion}, "reverted at once"
    at = [gone, *(at for at, _, _ in clients.answers if at > gone)]
    assert max(b - a for a, b in pairwise(at)) < 5, "nobody waited for the ledger"
    assert all(prediction == scores[version] for _, version, prediction in clients.answers)
    said = [line["message"] for line in server.lines()]
    assert said.count("the ledger is away; answering goes on with what is loaded") == 1
    assert said.count("the ledger is back") == 1
    ends = [e for e in released.ledger.events(PIPELINE) if e.kind == ROLLOUT_ENDED]
    assert [(e.facts["to"]["phase"], e.facts["by"].startswith("breaker of")) for e in ends] == [("rolled_back", True)]


def _released(released, version):
    try:
        return released.make_live(version)
    except LedgerConflict:
        return None  # the breaker wrote meanwhile
