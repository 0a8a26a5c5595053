"""`ml-assets demo-live`: a server, live traffic, and everything that happens to a model, on one machine in minutes.

History is replayed as `demo` does it; then months are sent to a running server as traffic, one after the other, while
the sensors of `dagster dev` are asked as its daemon would ask them. What is seen: drift, a training, its rollout from
shadow to all of the traffic, a model that is made bad on purpose, and how it is taken back.
"""

import asyncio
import textwrap
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click
import dagster as dg

from ml_assets.core.errors import MLAssetsError
from ml_assets.core.releases import live, told
from ml_assets.core.rollout.recorded import open_rollout, rollouts
from ml_assets.core.traffic import Sent, schedule
from ml_assets.demo import ui_command
from ml_assets.demo_server import served
from ml_assets.live_location import WORKSPACE, with_rollouts
from ml_assets.problem import Pipeline
from ml_assets.replay import Replay
from ml_assets.replay_in_words import in_words
from ml_assets.resources.home import instance
from ml_assets.resources.settings import settings
from ml_assets.traffic import in_words as sent_in_words
from ml_assets.traffic import recorded, send

if TYPE_CHECKING:
    from ml_assets.core.bundle import Bundle

LOOK_EVERY_SECONDS = 0.5
SHOWN = 230
"""Characters of an event of the ledger; `ml-assets history` has the rest."""


def demo_live(pipeline_name: str, *, first: str, rows: int, rate: float, port: int) -> None:
    """Replay history up to a partition, then live it from there on; ends with what was seen.

    Args:
        pipeline_name: whose model.
        first: key of the first partition whose rows are sent as traffic; those before are replayed.
        rows: requests per partition at most.
        rate: requests per second.
        port: of the server.

    Raises:
        ServerUnreachable: the server did not get ready.
        StoryBroken: what should be seen was not.
    """
    from ml_assets.definitions import defs
    from ml_assets.project import pipeline_named

    settings().data.mkdir(parents=True, exist_ok=True)
    plain = pipeline_named(pipeline_name)
    pipeline, definitions = with_rollouts(pipeline_name)
    with instance() as shared:
        whole = Replay(plain, defs(), shared)
        live_on = [w.key for w in whole.windows if w.key >= first]
        before = [w.key for w in whole.windows if w.key < first]
        click.echo(f"{pipeline.name}: {len(before)} partitions are history; {', '.join(live_on)} come as live traffic")
        for step in Replay(plain, defs(), shared, None, before[-1]).steps():
            click.echo(in_words(whole, step))
        with served(pipeline.name, port) as url:
            click.echo(f"The model server answers at {url} (docs: {url}/docs, metrics: {url}/metrics)")
            story = Live(pipeline, definitions, shared, url, rows, rate)
            for key in live_on:
                story.partition(key)
            story.bad_model(live_on[-1])
            click.echo(f"\n{story.headline()}")
    click.echo(f"The same in the Dagster UI: {ui_command(WORKSPACE)}")


class StoryBroken(MLAssetsError):
    """What should be seen in live traffic was not."""


@dataclass
class Live:
    """Traffic goes to a server, and what Dagster's daemon would do meanwhile is done.

    Args:
        pipeline: whose, with rollouts.
        definitions: the code location that has it.
        instance: where runs are recorded.
        url: of the server.
        rows: requests per partition at most.
        rate: requests per second.
    """

    pipeline: Pipeline
    definitions: dg.Definitions
    instance: dg.DagsterInstance
    url: str
    rows: int
    rate: float

    def partition(self, key: str) -> None:
        """Send a partition's rows as they happen, then judge it as a whole: drift, error, whether to retrain."""
        replay = self._replay(key)
        for step in replay.land():
            click.echo(in_words(replay, step))
        self._traffic(key, replay)
        for step in replay.steps():
            click.echo(in_words(replay, step))
            self._tell_new(replay)

    def bad_model(self, key: str) -> None:
        """Roll out a model that is bad on purpose, without a passing decision, and send traffic until it is gone.

        Raises:
            StoryBroken: it was not taken back.
        """
        from ml_assets.releasing import ReleaseDesk
        from ml_assets.rolling_out import RolloutDesk

        replay = self._replay(key)
        resources = self.definitions.resources or {}
        desk = RolloutDesk(ReleaseDesk(self.pipeline, replay.store, resources["models"], replay.ledger))
        if (going := desk.now()) is not None:
            click.echo(f"{key}  rollout {going.id} is still open; the bad model supersedes it")
        champion = live(desk.desk.events())
        if champion is None:
            raise StoryBroken(
                f"demo-live of {self.pipeline.name}", found="no champion", expected="one to be attacked",
                cure="replay more history: give a later --first",
            )  # fmt: skip
        worse = confused(desk.desk.models.load(champion.bundle))
        desk.desk.models.save(worse)
        click.echo(f"\n{key}  A bad model: the champion with its columns and categories mixed up, {worse.sha256[:12]}")
        rules = desk.rules()
        if rules is None:
            raise StoryBroken(
                f"demo-live of {self.pipeline.name}", found="rollout: {strategy: direct}",
                expected="a strategy that begins small", cure="choose another in defs.yaml",
            )  # fmt: skip
        rollout = desk.force(worse.sha256, rules, by="demo-live", reason="made bad on purpose", now=datetime.now(UTC))
        self._tell_new(replay)
        self._traffic(key, replay, until_over=True)
        ended = next(e for e in reversed(desk.desk.events()) if e.facts.get("rollout") == rollout)
        if (last := desk.last()) is None or last.state.phase != "rolled_back":
            raise StoryBroken(
                f"rollout {rollout} of a bad model", found=told(ended), expected="that it is rolled back",
                cure="send more traffic: --rows; or tighten its guardrails",
            )  # fmt: skip
        click.echo(f"{key}  The champion {champion.bundle[:12]} has all of the traffic again.")

    def headline(self) -> str:
        """What was seen, in a line."""
        ended = [r.state.phase for r in rollouts(self._replay(None).ledger.events(self.pipeline.name))]
        outcomes = ", ".join(f"{ended.count(phase)} {phase.replace('_', ' ')}" for phase in dict.fromkeys(ended))
        return f"{self._answered:,} requests answered, none failed; rollouts: {outcomes}"

    def _replay(self, key: str | None) -> Replay:
        return Replay(self.pipeline, self.definitions, self.instance, None, key, traffic=True)

    def _traffic(self, key: str, replay: Replay, *, until_over: bool = False) -> None:
        """Send a partition, and ask the sensor of rollouts meanwhile."""
        traffic = recorded(self.pipeline, key, self.rows)
        due = list(schedule(traffic.event_at, traffic.known_at, rate=self.rate))
        box: list[Sent | BaseException] = []

        def sending() -> None:
            try:
                box.append(asyncio.run(send(traffic, due, url=self.url, progress=lambda _: None)))
            except Exception as e:
                box.append(e)

        click.echo(f"{key}  {len(traffic.ids):,} requests are sent, {self.rate:g} per second")
        thread = threading.Thread(target=sending, name="traffic")
        thread.start()
        while thread.is_alive():
            self._look(replay)
            thread.join(LOOK_EVERY_SECONDS)
        until = time.monotonic() + (10 if until_over else 2)
        while time.monotonic() < until and open_rollout(replay.ledger.events(self.pipeline.name)):
            self._look(replay)  # the last requests are in the log within a second
            time.sleep(LOOK_EVERY_SECONDS)
        [sent] = box
        if isinstance(sent, BaseException):
            raise sent
        click.echo(sent_in_words(key, sent))
        self._answered += sum(sent.by_variant.values())
        if sent.failures:
            raise StoryBroken(
                f"traffic of {key}", found=[f"{n} × {why}" for why, n in sent.failures.items()],
                expected="an answer to every request", cure=f"read {settings().data / 'serve.log'}",
            )  # fmt: skip

    def _look(self, replay: Replay) -> None:
        """One look of the rollout's sensor, and the runs that it asks for."""
        replay.look("rollout")
        self._tell_new(replay)

    def _tell_new(self, replay: Replay) -> None:
        events = replay.ledger.events(self.pipeline.name)
        for event in events[self._told or len(events) :]:
            click.echo(f"         {textwrap.shorten(told(event), SHOWN, placeholder=' …')}")
        self._told = len(events)

    _told: int = 0
    _answered: int = 0


def confused(bundle: "Bundle") -> "Bundle":
    """The same model with categories and columns in another order, as if training and serving encoded them differently.

    It loads, scores its own golden rows, and answers nonsense: what no check of a file can find.

    Raises:
        StoryBroken: it has no categories.
    """
    import polars as pl

    from ml_assets.core.bundle import Bundle

    features = [{**f, "vocabulary": f["vocabulary"][::-1]} for f in bundle.facts["features"]]
    if features == bundle.facts["features"]:
        raise StoryBroken(
            f"bundle {bundle.sha256[:12]}", found="no feature with categories", expected="one to mix up",
            cure="show it with --pipeline trip_duration",
        )  # fmt: skip
    numbers = iter([f for f in features if f["kind"] == "number"][::-1])
    features = [next(numbers) if f["kind"] == "number" else f for f in features]
    golden = bundle.facts["golden"]
    mixed = Bundle({**bundle.facts, "features": features}, bundle.files)
    rows = pl.DataFrame(golden["rows"], schema={s.name: s.dtype for s in mixed.specs}, orient="row")
    return Bundle({**mixed.facts, "golden": {**golden, "scores": mixed.predict(rows).tolist()}}, mixed.files)
