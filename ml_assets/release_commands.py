"""`ml-assets release`, `rollback`, `retrain` and `accept`: what a person on call changes.

The rules are in `ml_assets.releasing`; what only reads the ledger is in `ledger_commands`.
"""

import getpass
import json
import os

import click

from ml_assets.core.releases import Champion, decisions, head
from ml_assets.project import pipeline_named
from ml_assets.releasing import ReleaseDesk
from ml_assets.resources.home import instance
from ml_assets.resources.ledger import Ledger
from ml_assets.resources.models import Models
from ml_assets.resources.settings import settings
from ml_assets.resources.storage import Store
from ml_assets.retraining import accept as accept_partition
from ml_assets.retraining import ask

SHOWN = 12


def desk_of(pipeline: str) -> ReleaseDesk:
    """The desk of a pipeline of this repository, on the roots of the settings.

    Raises:
        ConfigError: there is no such pipeline.
    """
    roots = settings()
    return ReleaseDesk(
        pipeline_named(pipeline), Store(root=roots.store), Models(root=roots.models), Ledger(url=roots.ledger)
    )


def release(pipeline: str, version: str | None, *, force: bool, reason: str | None, as_json: bool) -> None:
    """Make a bundle the champion; see `ReleaseDesk.release`."""
    desk = desk_of(pipeline)
    before = desk.live()
    bundle = named(desk, version)
    now = desk.release(
        bundle, by=person(), reason=reason or "asked for by a person", forced=force, not_before=desk.scored_until()
    )
    tell(desk, before, now, "released", as_json=as_json)


def rollback(pipeline: str, *, to: str | None, reason: str, as_json: bool) -> None:
    """Go back to a bundle that was live before; see `ReleaseDesk.roll_back`."""
    desk = desk_of(pipeline)
    before = desk.live()
    now = desk.roll_back(to=to, by=person(), reason=reason, not_before=desk.scored_until())
    tell(desk, before, now, "rolled back", as_json=as_json)


def retrain(pipeline: str, *, reason: str, as_json: bool) -> None:
    """Ask for a training; see `retraining.ask`."""
    desk = desk_of(pipeline)
    event = ask(desk.pipeline, desk.ledger, by=person(), why=reason)
    if as_json:
        click.echo(json.dumps({"pipeline": desk.name, "event": event.to_json()}, indent=1))
        return
    click.echo(f"{desk.name}: asked for; event {event.sequence} of the ledger")
    click.echo(f"  the sensor {desk.name}_retraining decides on it at its next look, while Dagster's daemon runs")


def accept(pipeline: str, partition: str, *, reason: str, as_json: bool) -> None:
    """Accept that a partition never lands; see `retraining.accept`."""
    desk = desk_of(pipeline)
    landed = desk.store.partitions(desk.pipeline.key("raw"))
    event = accept_partition(desk.pipeline, desk.ledger, partition, landed=landed, by=person(), why=reason)
    if as_json:
        click.echo(json.dumps({"pipeline": desk.name, "event": event.to_json()}, indent=1))
        return
    click.echo(f"{desk.name}: trainings do without {partition}; event {event.sequence} of the ledger")


def named(desk: ReleaseDesk, version: str | None) -> str:
    """The bundle that is meant: the one decided on last, or the one whose SHA-256 starts so.

    Raises:
        BundleError: there is none, or several.
    """
    decided = [str(e.facts["bundle"]) for e in decisions(desk.events())]
    if version is None and decided:
        return decided[-1]
    found = {bundle for bundle in decided if version and bundle.startswith(version.lower())}
    return found.pop() if len(found) == 1 else desk.models.named(version or "").sha256


def person() -> str:
    """Who is at the keyboard, as far as the system knows."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # no name for this user, as in many containers
        return f"user {os.getuid()}"


def tell(desk: ReleaseDesk, before: Champion | None, now: Champion, what: str, *, as_json: bool) -> None:
    """Print what came of it, and let the UI show it."""
    events = desk.events()
    new = before is None or before.sequence != now.sequence
    note = show(desk) if new else None
    if as_json:
        told = {"pipeline": desk.name, "changed": new, "champion": now.to_json(), "head": head(events)}
        click.echo(json.dumps({**told, "from": before.bundle if before else None}, indent=1))
    elif new:
        was = f" (was {before.bundle[:SHOWN]}, as of {before.as_of})" if before else ""
        click.echo(f"{desk.name}: {what}: {now.bundle[:SHOWN]}, trained as of {now.as_of}, is live{was}")
        click.echo(
            f"  it scores partitions from {now.scores_from:%Y-%m-%d %H:%M} on; event {now.sequence} of the ledger"
        )
    else:
        click.echo(f"{desk.name}: {now.bundle[:SHOWN]}, trained as of {now.as_of}, is live already; nothing changed")
    if note:
        click.echo(note, err=True)


def show(desk: ReleaseDesk) -> str | None:
    """Materialize the asset `champion`, so that what follows it sees the change; says so where that failed."""
    from ml_assets.definitions import defs

    with instance() as shared:
        result = (
            defs()
            .resolve_implicit_global_asset_job_def()
            .execute_in_process(
                asset_selection=[desk.pipeline.key("champion")],
                instance=shared,
                run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
                raise_on_error=False,
            )
        )
    failed = f"note: the ledger is changed, but materializing {desk.name}/champion failed (run {result.run_id})"
    return None if result.success else f"{failed}; materialize it in the UI"
