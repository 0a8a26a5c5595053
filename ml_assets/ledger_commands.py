"""`ml-assets history`, `status` and `verify`: what the ledger says, and whether it can be believed.

What changes it is in `release_commands`.
"""

import json
from collections.abc import Sequence

import click

from ml_assets.core.errors import LedgerError
from ml_assets.core.releases import Event, attribution_of, decisions, head, live, told
from ml_assets.ledger_audit import audit
from ml_assets.project import pipeline_named
from ml_assets.release_commands import SHOWN, desk_of
from ml_assets.resources.ledger import Ledger
from ml_assets.resources.settings import settings


def events_of(pipeline: str) -> list[Event]:
    """A pipeline's ledger, its chain checked.

    Raises:
        ConfigError: there is no such pipeline.
        LedgerError: the chain is broken, or the database can't be read.
    """
    events = Ledger(url=settings().ledger).events(pipeline)
    if not events:
        pipeline_named(pipeline)
    return events


def history(pipeline: str, *, as_json: bool) -> None:
    """Print every event."""
    events = events_of(pipeline)
    if as_json:
        click.echo(json.dumps({"pipeline": pipeline, "events": [e.to_json() for e in events]}, indent=1))
        return
    for event in events:
        click.echo(in_one_line(event))
    if not events:
        click.echo(f"{pipeline}: nothing has been decided or released yet")


def status(pipeline: str, *, as_json: bool) -> None:
    """Print which bundle is live, how it came to be, and the last decision."""
    events = events_of(pipeline)
    now, last = live(events), next(reversed(decisions(events)), None)
    worth = attribution_of(events, now.sequence) if now else None
    if as_json:
        told_by = {"event": now and events[now.sequence - 1].to_json(), "worth": worth and worth.to_json()}
        champion = {**now.to_json(), **told_by} if now else None
        found = {"pipeline": pipeline, "champion": champion, "decision": last.to_json() if last else None}
        click.echo(json.dumps({**found, "events": len(events), "head": head(events)}, indent=1))
        return
    click.echo(pipeline)
    if now is None:
        click.echo("  champion  none: nothing is released")
    else:
        click.echo(f"  champion  {now.bundle[:SHOWN]}, trained as of {now.as_of}, scores from {now.scores_from}")
        click.echo(f"  since   {in_one_line(events[now.sequence - 1])}")
    if worth is not None:
        click.echo(f"  worth   {in_one_line(worth)}")
    if last is not None:
        click.echo(f"  decided {in_one_line(last)}")
        for reason in last.facts["reasons"][1:]:
            click.echo(f"            {reason}")
    click.echo(f"  head      {head(events)}")


def verify(pipeline: str, *, expect: str | None, as_json: bool) -> None:
    """Check the chain and everything it names; every fault is told, and the exit code is 1 if there is one."""
    events, faults = audit(desk_of(pipeline), expect)
    if as_json:
        found = {"pipeline": pipeline, "intact": not faults, "faults": faults, "events": len(events)}
        click.echo(json.dumps({**found, "head": head(events)}, indent=1))
        if faults:
            raise click.exceptions.Exit(1)
        return
    if faults:
        raise LedgerError(
            f"ledger of {pipeline}",
            found=faults,
            expected="the chain, decision records and bundles as they were written",
            cure="restore what is named from a backup; do not release anything until `ml-assets verify` passes",
        )
    click.echo(f"{pipeline}: {_counted(events)}; the chain, every decision record and every bundle is as written")
    click.echo(f"  head  {head(events)}")
    if expect is None:
        click.echo(
            "  Keep this head elsewhere and give it to --expect next time: that events are missing at the end, or that "
            "all was written anew, can't be seen from the ledger itself."
        )


def in_one_line(event: Event) -> str:
    """An event as a line of a table: number, time, partition, bundle, what happened."""
    at, bundle = event.facts.get("at", ""), event.facts.get("bundle", "")[:SHOWN]
    return f"{event.sequence:>4}  {at:25}  {_as_of(event):10}  {bundle:{SHOWN}}  {told(event)}"


def _as_of(event: Event) -> str:
    """The as-of partition that an event is about; empty where it is about none."""
    plan = event.facts.get("plan") or {}
    return str(event.facts.get("as_of") or plan.get("as_of") or "")


def _counted(events: Sequence[Event]) -> str:
    kinds = {kind: sum(e.kind == kind for e in events) for kind in dict.fromkeys(e.kind for e in events)}
    return f"{len(events)} events ({', '.join(f'{n} {kind}' for kind, n in kinds.items())})" if events else "no events"
