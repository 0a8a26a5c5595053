"""Options of the command line that several commands share. The commands are in `cli` and `cli_ledger`."""

import os
from pathlib import Path

import click

DATA_OPTION = click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for everything that is stored (default: $ML_ASSETS_DATA, else `data` in the repository).",
)
JSON_OPTION = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


def use(data: Path | None) -> None:
    """Point this process to a data folder."""
    if data is not None:
        os.environ["ML_ASSETS_DATA"] = str(data.expanduser().resolve())
