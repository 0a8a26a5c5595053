"""`ml-assets demo`: a replay with progress for people, and its summary and report at the end."""

import os
import shlex
import sys
import time
from pathlib import Path

import click
from filelock import FileLock, Timeout
from tqdm import tqdm

from ml_assets.core.errors import MLAssetsError
from ml_assets.project import pipeline_named
from ml_assets.replay import Replay
from ml_assets.replay_in_words import in_words
from ml_assets.resources.home import instance
from ml_assets.resources.settings import REPOSITORY, settings


class DataInUse(MLAssetsError):
    """Another replay works on the same data folder."""


def demo(pipeline_name: str, *, first: str | None, last: str | None, json_file: Path | None) -> None:
    """Replay, then write `summary.json` and `report.html`."""
    started = time.perf_counter()
    data = settings().data
    data.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(data / ".demo.lock", timeout=0):
            _demo(pipeline_name, first, last, json_file, started)
    except Timeout as e:
        raise DataInUse(
            f"data folder {data}", found="another `ml-assets demo` that is working on it", expected="one at a time",
            cure="wait until it has ended, or name another folder with --data",
        ) from e  # fmt: skip


def _demo(pipeline_name: str, first: str | None, last: str | None, json_file: Path | None, started: float) -> None:
    from ml_assets.core.report import headline, render
    from ml_assets.definitions import defs
    from ml_assets.summarize import summarize

    pipeline = pipeline_named(pipeline_name)
    definitions = defs()
    with instance() as shared:
        replay = Replay(pipeline, definitions, shared, first, last)
        click.echo(
            f"{pipeline.name}: {len(replay.windows)} partitions, {replay.windows[0].key} to {replay.windows[-1].key}"
        )
        if killed := replay.end_what_was_killed():
            click.echo(f"{killed} run of a replay that was killed is marked as failed; going on from there")
        done = 0
        with tqdm(total=len(replay.windows), unit="partition", disable=not sys.stderr.isatty()) as bar:
            for step in replay.steps():
                done += 1
                bar.update(max(0, replay.position(step.partition) - bar.n))
                with tqdm.external_write_mode():
                    click.echo(in_words(replay, step))  # flushes, so that progress shows in a pipe, too
    summary = summarize(replay, time.perf_counter() - started)
    text = summary.to_json()
    reports = (definitions.resources or {})["reports"]
    where = reports.page(pipeline.name, "summary.json", text.encode())
    page = reports.page(pipeline.name, "report.html", render(summary, graph_url_hint=ui_command()).encode())
    if json_file is not None:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        json_file.write_text(text)
    if not summary.trainings:
        click.echo(
            f"Nothing was trained: {len(replay.windows)} partitions are there, the first model is trained after "
            f"{pipeline.config.model.window} (model.window)."
        )
    if not done:
        click.echo("Nothing new: every partition is up to date.")
    click.echo(headline(summary))
    click.echo(f"Summary: {where}\nReport:  {page}\nThe same graph in the Dagster UI: {ui_command()}")


def ui_command(workspace: Path | None = None) -> str:
    """What to type to see this data in the Dagster UI; with another workspace file than this project's, if given."""
    data, source = settings().data, os.environ.get("ML_ASSETS_SOURCE", "simulated")
    options = [] if data == REPOSITORY / "data" else ["--data", str(data)]
    options += [] if source == "simulated" else ["--source", source]
    options += [] if workspace is None else ["--workspace", str(workspace)]
    return shlex.join(["ml-assets", "dev", *options]) if options else "make dev"
