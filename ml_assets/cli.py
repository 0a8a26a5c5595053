"""The command line `ml-assets`: what a person types; everything it does is in the modules it calls.

The commands about decisions and releases are in `cli_ledger`, the server's in `cli_serving`, options that commands
share in `cli_options`.
"""

import os
import sys
from pathlib import Path

import click

from ml_assets import cli_ledger, cli_rollout, cli_serving, cli_traffic
from ml_assets.cli_options import DATA_OPTION, JSON_OPTION, use
from ml_assets.core.errors import MLAssetsError


class Friendly(click.Group):
    """Our own errors are shown as they are, without a traceback, and end with exit code 1."""

    def invoke(self, ctx: click.Context) -> object:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except MLAssetsError as e:
            raise click.ClickException(str(e)) from e


@click.group(cls=Friendly, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="ml-assets")
def main() -> None:
    """Keeps machine-learning models on tabular data in production by itself."""


@main.command()
@click.option("--pipeline", default="trip_duration", show_default=True, help="Pipeline to replay.")
@click.option(
    "--source", default="simulated", envvar="ML_ASSETS_SOURCE", show_default=True, metavar="simulated|DIR",
    help="`simulated`, or a folder of files named and shaped like the TLC's (yellow_tripdata_2019-01.parquet, …).",
)  # fmt: skip
@click.option("--from", "first", metavar="PARTITION", help="First partition, e.g. 2018-01.")
@click.option("--through", "last", metavar="PARTITION", help="Last partition, e.g. 2019-06.")
@click.option(
    "--json",
    "json_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Also write summary.json here.",
)
@DATA_OPTION
def demo(
    pipeline: str, source: str, first: str | None, last: str | None, json_file: Path | None, data: Path | None
) -> None:
    """Replay history, partition by partition, through the real definitions; ends with a report.

    Stopped in the middle, the same command goes on where it was; with nothing new it does nothing.

    \b
    Example:
      ml-assets demo
      ml-assets demo --source ~/tlc --data data-tlc --through 2019-06
    """
    use(data)
    _read_from(source)
    from ml_assets.demo import demo as run_demo

    run_demo(pipeline, first=first, last=last, json_file=json_file)


@main.command()
@click.option("--port", default=3000, show_default=True, help="Port of the UI on 127.0.0.1.")
@click.option("--source", default=None, metavar="simulated|DIR", help="As of `ml-assets demo`.")
@click.option(
    "--workspace", type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Workspace file of Dagster with another code location; without it, this project's.",
)  # fmt: skip
@DATA_OPTION
def dev(port: int, source: str | None, workspace: Path | None, data: Path | None) -> None:
    """Open the Dagster UI, with its daemon, on everything that is stored.

    Runs that were left when everything was killed are ended first, so that what they were to do is tried again.

    \b
    Example:
      ml-assets dev --port 3001
    """
    use(data)
    if source is not None:
        _read_from(source)
    from ml_assets.dead_runs import end_left_runs
    from ml_assets.resources.home import instance, prepare_home
    from ml_assets.resources.settings import REPOSITORY

    location = str((workspace or REPOSITORY / "workspace.yaml").resolve())
    # From its own home: in a folder with a dagster.yaml that is not DAGSTER_HOME's, Dagster warns.
    os.chdir(prepare_home())
    with instance() as shared:
        end_left_runs(shared, say=click.echo)
    # Dagster 1.13 warns that its own command will be replaced by `dg dev`, which is not installed with it.
    os.environ["PYTHONWARNINGS"] = "ignore:Function `dev_command` is superseded"
    dagster = str(Path(sys.executable).with_name("dagster"))
    os.execv(dagster, [dagster, "dev", "-w", location, "-h", "127.0.0.1", "-p", str(port)])  # noqa: S606


MODEL_OPTION = click.option("--model", required=True, metavar="VERSION", help="SHA-256 of a bundle, or its beginning.")


@main.command()
@click.option("--model", metavar="VERSION", help="SHA-256 of a bundle, or its beginning.")
@click.option("--request", metavar="ID", help="Id of a served request, as its answer had it in X-Request-Id.")
@click.option("--pipeline", help="Whose request it is; absent: every pipeline's log is looked into.")
@JSON_OPTION
@DATA_OPTION
def explain(model: str | None, request: str | None, pipeline: str | None, as_json: bool, data: Path | None) -> None:
    """Tell what a model is and what it learnt from, or what was answered to a request and why.

    Of a model: features, validated rows, raw rows, source files and hashes. Of a request: the features as used and
    their age, the prediction and what moved it, shadows, the label, the model with its training window, data and
    decision.

    \b
    Example:
      ml-assets explain --model 1f3a9c
      ml-assets explain --request 0192f0c1d3aa4e1b9c55d2a7f0e6b811
    """
    use(data)
    if (model is None) == (request is None):
        raise click.UsageError("one of --model and --request is needed, and not both")
    if request is not None:
        from ml_assets.explain_request import explain_request

        explain_request(request, pipeline, as_json=as_json)
        return
    from ml_assets.explain import explain as run_explain

    run_explain(str(model), as_json=as_json)


@main.command()
@MODEL_OPTION
@click.option(
    "--to",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write the partitions into this folder and leave the store as it is.",
)
@JSON_OPTION
@DATA_OPTION
def restore(model: str, to: Path | None, as_json: bool, data: Path | None) -> None:
    """Bring back the exact partitions a model learnt from, verified by hash.

    What they replace in the store is versioned first. Until the next run of the data side, the store holds the past.

    \b
    Example:
      ml-assets restore --model 1f3a9c
      ml-assets restore --model 1f3a9c --to /tmp/training-data
    """
    use(data)
    from ml_assets.restore import restore as run_restore

    run_restore(model, to=to, as_json=as_json)


@main.command()
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder to write into.")
@click.option("--months", required=True, metavar="A..B", help="Months, e.g. 2018-01..2018-06, or one month.")
@click.option("--rows", default=10_000, show_default=True, type=click.IntRange(min=1), help="Rows a month.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0), help="Seed; same seed, same trips.")
def simulate(out: Path, months: str, rows: int, seed: int) -> None:
    """Write simulated trips as Parquet files, named and shaped like the TLC's.

    \b
    Example:
      ml-assets simulate --out /tmp/trips --months 2018-01..2018-06 --rows 100000
    """
    from tqdm import tqdm

    from ml_assets.resources.sources.simulated import months_between, write_tlc_files

    first, _, last = months.partition("..")
    wanted = months_between(first, last or first)
    for path in tqdm(write_tlc_files(out, wanted, rows, seed), total=len(wanted), unit="month"):
        tqdm.write(str(path))


@main.command("catch-up")
@DATA_OPTION
def catch_up(data: Path | None) -> None:
    """Deliver what waits for trackers that were down; exit code 1 if something still waits.

    \b
    Example:
      ml-assets catch-up
    """
    use(data)
    from ml_assets.catch_up import catch_up as run_catch_up

    run_catch_up()


def _read_from(source: str) -> None:
    folder = Path(source).expanduser()
    if source != "simulated" and not folder.is_dir():
        raise click.BadParameter(
            f"{source!r} is no folder; expected `simulated` or a folder of files", param_hint="--source"
        )
    # In full, since `ml-assets dev` changes the working folder.
    os.environ["ML_ASSETS_SOURCE"] = source if source == "simulated" else str(folder.resolve())


for command in (*cli_ledger.COMMANDS, *cli_serving.COMMANDS, *cli_rollout.COMMANDS, *cli_traffic.COMMANDS):
    main.add_command(command)


if __name__ == "__main__":
    main()
