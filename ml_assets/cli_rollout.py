"""The commands about rollouts: `rollout status`, `pause`, `resume`, `abort`; what they do is in `rollout_commands`."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ml_assets.cli_ledger import PIPELINE_OPTION, REASON_HELP, said
from ml_assets.cli_options import DATA_OPTION, JSON_OPTION, use

if TYPE_CHECKING:
    from ml_assets.core.rollout.state import Action

REASON_OPTION = click.option("--reason", required=True, help=REASON_HELP)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def rollout() -> None:
    """See how a candidate takes the traffic; pause, resume or abort it.

    \b
    Example:
      ml-assets rollout status --pipeline trip_duration
      ml-assets rollout abort --reason "complaints from the call centre"
    """


@rollout.command()
@PIPELINE_OPTION
@JSON_OPTION
@DATA_OPTION
def status(pipeline: str, as_json: bool, data: Path | None) -> None:
    """Tell where the last rollout stands, and every step of it with its reasons.

    \b
    Example:
      ml-assets rollout status --json
    """
    use(data)
    from ml_assets.rollout_commands import status as run_status

    run_status(pipeline, as_json=as_json)


def _by_a_person(command: Callable[..., None]) -> click.Command:
    """A command with which a person moves the open rollout, with its options."""
    for option in (DATA_OPTION, JSON_OPTION, REASON_OPTION, PIPELINE_OPTION):
        command = option(command)
    return rollout.command()(command)


@_by_a_person
def pause(**told: Any) -> None:
    """Hold the open rollout where it is: weights stay as they are, guardrails still roll it back.

    \b
    Example:
      ml-assets rollout pause --reason "a look at the slow requests first"
    """
    _ask("pause", **told)


@_by_a_person
def resume(**told: Any) -> None:
    """Let a paused rollout go on; the time in which it was paused does not count.

    \b
    Example:
      ml-assets rollout resume --reason "they were slow before, too"
    """
    _ask("resume", **told)


@_by_a_person
def abort(**told: Any) -> None:
    """End the open rollout: the champion answers everything, within a second on running servers.

    \b
    Example:
      ml-assets rollout abort --reason "complaints from the call centre"
    """
    _ask("abort", **told)


def _ask(action: "Action", *, pipeline: str, reason: str, as_json: bool, data: Path | None) -> None:
    use(data)
    from ml_assets.rollout_commands import ask

    ask(pipeline, action, reason=said(reason), as_json=as_json)


COMMANDS = (rollout,)
