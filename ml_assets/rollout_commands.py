"""`ml-assets rollout status`, `pause`, `resume` and `abort`: what a person sees of a rollout, and may do to it.

What moves it by itself is the sensor; the rules are in `core.rollout`.
"""

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from ml_assets.core.rollout.recorded import Rollout
from ml_assets.core.rollout.state import Action
from ml_assets.release_commands import SHOWN, desk_of, person
from ml_assets.resources.prediction_log import PredictionLogs
from ml_assets.resources.settings import settings
from ml_assets.rolling_out import RolloutDesk

if TYPE_CHECKING:
    from ml_assets.core.rollout.state import Transition


def status(pipeline: str, *, as_json: bool) -> None:
    """Print where the last rollout stands, why, how it came there, and what a look finds now."""
    desk = RolloutDesk(desk_of(pipeline))
    rollout = desk.last()
    if as_json:
        now = outlook(desk)
        found = rollout and told(rollout) | {"now": None if now is None else list(now.reasons)}
        click.echo(json.dumps({"pipeline": pipeline, "rollout": found}, indent=1))
        return
    if rollout is None:
        click.echo(f"{pipeline}: no candidate has been rolled out yet")
        return
    state = rollout.state
    held = f", paused since {state.paused:%Y-%m-%d %H:%M} UTC" if state.paused else ""
    click.echo(f"{pipeline}: rollout {rollout.id}, {rollout.strategy}, as of {rollout.as_of}")
    click.echo(f"  champion   {rollout.champion[:SHOWN]}  {state.weights['champion'] / 100:g} %")
    click.echo(f"  candidate  {rollout.candidate[:SHOWN]}  {state.weights['candidate'] / 100:g} %")
    click.echo(f"  state      {state.phase}{held}")
    for event in rollout.events:
        facts = event.facts
        click.echo(f"  {facts['at']}  {facts['action']:10}  {facts['to']['weight'] / 100:g} %  by {facts['by']}")
        for reason in facts["reasons"]:
            click.echo(f"      {reason}")
    # Last, since it reads the prediction log: where that is away, what the ledger says has been told.
    if (now := outlook(desk)) is not None:
        click.echo(f"  a look now: {now.action.replace('_', ' ')}")
        for reason in now.reasons:
            click.echo(f"      {reason}")


def outlook(desk: RolloutDesk) -> "Transition | None":
    """What the next look at the open rollout would do, by the prediction log; None where none is open."""
    from ml_assets.assets.rollout_log import seen_of

    own, roots = desk.desk, settings()
    logs = PredictionLogs(root=roots.predictions, read=roots.read_predictions)
    return desk.outlook(lambda r: seen_of(own.pipeline, r, own.store, own.models, logs), now=datetime.now(UTC))


def ask(pipeline: str, action: Action, *, reason: str, as_json: bool) -> None:
    """Pause, resume or abort the open rollout; see `RolloutDesk.ask`."""
    desk = RolloutDesk(desk_of(pipeline))
    before = desk.now()
    done = desk.ask(action, by=person(), reason=reason, now=datetime.now(UTC))
    if as_json:
        rollout = desk.last()
        click.echo(
            json.dumps({"pipeline": pipeline, "changed": done.moves, "rollout": rollout and told(rollout)}, indent=1)
        )
        return
    name = f"{pipeline}: rollout {before.id if before else ''}"
    if not done.moves:
        click.echo(f"{name}: nothing changed: {done.reasons[0]}")
        return
    told_by = {
        "pause": "paused; weights stay, guardrails go on",
        "resume": "goes on",
        "abort": "aborted; the champion answers everything",
    }[action]
    click.echo(f"{name}: {told_by}")


def told(rollout: Rollout) -> dict[str, Any]:
    """A rollout as JSON."""
    return {
        "id": rollout.id, "strategy": rollout.strategy, "as_of": rollout.as_of, "champion": rollout.champion,
        "candidate": rollout.candidate, "state": rollout.state.to_json(), "weights": rollout.state.weights,
        "open": not rollout.state.over, "events": [e.to_json() for e in rollout.events],
    }  # fmt: skip
