"""The commands about decisions and releases: history, status, rollback, release, retrain, accept, verify.

What they do is in `ledger_commands` (those that read) and `release_commands` (those that change).
"""

import re
from pathlib import Path

import click

from ml_assets.cli_options import DATA_OPTION, JSON_OPTION, use

HEAD = re.compile(r"\d+:[0-9a-fA-F]{6,64}")


def _head(_: click.Context, parameter: click.Parameter, told: str | None) -> str | None:
    if told is not None and not HEAD.fullmatch(told):
        raise click.BadParameter(f"{told!r}; expected a number and a hash, as in 12:9f86d081884c", param=parameter)
    return told


def said(reason: str) -> str:
    """The reason, which has to say something."""
    if not reason.strip():
        raise click.BadParameter("says nothing; expected words for whoever reads the ledger", param_hint="--reason")
    return reason.strip()


PIPELINE_OPTION = click.option("--pipeline", default="trip_duration", show_default=True, help="Whose ledger.")
REASON_HELP = "Why; it is kept in the ledger."


@click.command()
@PIPELINE_OPTION
@JSON_OPTION
@DATA_OPTION
def history(pipeline: str, as_json: bool, data: Path | None) -> None:
    """List every decision, release and rollback, the oldest first.

    \b
    Example:
      ml-assets history --pipeline trip_duration
    """
    use(data)
    from ml_assets.ledger_commands import history as run_history

    run_history(pipeline, as_json=as_json)


@click.command()
@PIPELINE_OPTION
@JSON_OPTION
@DATA_OPTION
def status(pipeline: str, as_json: bool, data: Path | None) -> None:
    """Tell which model is live, since when and why, and what was decided last.

    \b
    Example:
      ml-assets status
      ml-assets status --json | jq .champion.bundle
    """
    use(data)
    from ml_assets.ledger_commands import status as run_status

    run_status(pipeline, as_json=as_json)


@click.command()
@PIPELINE_OPTION
@click.option(
    "--to",
    metavar="VERSION",
    help="Beginning of the SHA-256 of a model that was live once (default: "
    "the one that the live one replaced; those gone back from are passed over).",
)
@click.option("--reason", required=True, help=REASON_HELP)
@JSON_OPTION
@DATA_OPTION
def rollback(pipeline: str, to: str | None, reason: str, as_json: bool, data: Path | None) -> None:
    """Go back to a model that was live before: one entry in the ledger, no training; nothing scored is scored again.

    Given twice without --to, it goes back twice.

    \b
    Example:
      ml-assets rollback --reason "complaints from Queens since Monday"
      ml-assets rollback --to 1f3a9c --reason "the one before was no better"
    """
    use(data)
    from ml_assets.release_commands import rollback as run_rollback

    run_rollback(pipeline, to=to, reason=said(reason), as_json=as_json)


@click.command()
@PIPELINE_OPTION
@click.option("--bundle", metavar="VERSION", help="Beginning of its SHA-256 (default: the one decided on last).")
@click.option("--force", is_flag=True, help="Without a passing decision; needs --reason, and is kept as such.")
@click.option("--reason", help=REASON_HELP)
@JSON_OPTION
@DATA_OPTION
def release(
    pipeline: str, bundle: str | None, force: bool, reason: str | None, as_json: bool, data: Path | None
) -> None:
    """Make a model the champion, if a passing decision gives it the right to.

    \b
    Example:
      ml-assets release
      ml-assets release --bundle 1f3a9c --force --reason "the champion learnt from wrong meters"
    """
    if force and not reason:
        raise click.UsageError("--force needs --reason: who overrides a decision says why")
    use(data)
    from ml_assets.release_commands import release as run_release

    run_release(pipeline, bundle, force=force, reason=reason and said(reason), as_json=as_json)


@click.command()
@PIPELINE_OPTION
@click.option("--reason", required=True, help=REASON_HELP)
@JSON_OPTION
@DATA_OPTION
def retrain(pipeline: str, reason: str, as_json: bool, data: Path | None) -> None:
    """Ask for a training: one entry in the ledger, on which the retraining sensor decides at its next look.

    Cooldown and budget don't hold for it; broken data, missing labels and a training under way do.

    \b
    Example:
      ml-assets retrain --reason "the meters were recalibrated last week"
    """
    use(data)
    from ml_assets.release_commands import retrain as run_retrain

    run_retrain(pipeline, reason=said(reason), as_json=as_json)


@click.command()
@PIPELINE_OPTION
@click.option("--partition", required=True, metavar="PARTITION", help="The one that is missing, e.g. 2018-04.")
@click.option("--reason", required=True, help=REASON_HELP)
@JSON_OPTION
@DATA_OPTION
def accept(pipeline: str, partition: str, reason: str, as_json: bool, data: Path | None) -> None:
    """Accept that a partition of the table never lands: trainings of this pipeline do without it from now on.

    Until then a missing partition keeps every training waiting whose learning window it is in.

    \b
    Example:
      ml-assets accept --partition 2018-04 --reason "the meters' provider lost that month"
    """
    use(data)
    from ml_assets.release_commands import accept as run_accept

    run_accept(pipeline, partition, reason=said(reason), as_json=as_json)


@click.command()
@PIPELINE_OPTION
@click.option(
    "--expect",
    metavar="HEAD",
    callback=_head,
    help="Head of the ledger as an earlier `verify` or `status` "
    "told it: fails if anything was removed or written anew since.",
)
@JSON_OPTION
@DATA_OPTION
def verify(pipeline: str, expect: str | None, as_json: bool, data: Path | None) -> None:
    """Check the ledger's chain, every decision record and every model that was live; exit code 1 if one is not as
    it was written.

    \b
    Example:
      ml-assets verify
      ml-assets verify --expect 12:9f86d081884c
    """
    use(data)
    from ml_assets.ledger_commands import verify as run_verify

    run_verify(pipeline, expect=expect, as_json=as_json)


COMMANDS = (history, status, rollback, release, retrain, accept, verify)
