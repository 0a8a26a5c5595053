"""`ml-assets rollout status`, `pause`, `resume` and `abort`: what a person sees of a rollout, and may do to it.

What moves it by itself is the sensor; the rules are in `core.rollout`.
"""

import json
from datetime import UTC, datetime
from typing import Any

import click

from ml_assets.core.rollout.recorded import Rollout
from ml_assets.core.rollout.state import Action
from ml_assets.release_commands import SHOWN, desk_of, person
from ml_assets.rolling_out import RolloutDesk


def status(pipeline: str, *, as_json: bool) -> None:
    """Print where the last rollout stands, why, and how it came there."""
    rollout = RolloutDesk(desk_of(pipeline)).last()
    if as_json:
        click.echo(json.dumps({"pipeline": pipeline, "rollout": rollout and told(rollout)}, indent=1))
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
