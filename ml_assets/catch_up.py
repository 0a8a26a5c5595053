"""`ml-assets catch-up`: what trackers that were down should have been told, delivered at last."""

import click

from ml_assets.core.errors import MLAssetsError
from ml_assets.resources.home import instance
from ml_assets.resources.settings import settings
from ml_assets.resources.tracking import Tracking


class StillWaiting(MLAssetsError):
    """A tracker could not be told everything."""


def catch_up() -> None:
    """Deliver everything that waits, and end what is over.

    Raises:
        StillWaiting: a tracker is still down, or refuses an entry.
    """
    roots = settings()
    with instance() as shared:
        told = Tracking(uri=roots.tracking, queue=roots.tracking_queue).catch_up(
            shared, lambda text: click.echo(text, err=True)
        )
    if waiting := {name: n for name, n in told.waiting.items() if n}:
        raise StillWaiting(
            "trackers",
            found=[
                f"{n} entries wait for {name}: {told.causes.get(name, 'it did not take them')}"
                for name, n in waiting.items()
            ],
            expected="trackers that take what they are told",
            cure="see to it that they run and can be reached, then give the command again; nothing is lost meanwhile",
        )
    click.echo("Nothing waits: every tracker has been told everything.")
