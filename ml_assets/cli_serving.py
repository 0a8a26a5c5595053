"""The command `serve`: the model server. What it does is in `ml_assets.serving`; nothing here may load Dagster."""

import os
from functools import partial
from pathlib import Path

import click

from ml_assets.cli_options import DATA_OPTION, use


@click.command()
@click.option("--pipeline", "pipelines", multiple=True, help="Serve this one; may be repeated (default: all).")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at; 0.0.0.0 is every one.")
@click.option("--port", type=click.IntRange(0, 65_535), help="Port of HTTP.  [default: 8080]")
@click.option("--grpc-port", type=click.IntRange(0, 65_535), help="Port of gRPC (default: none).")
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1, 64), help="Processes on that port.")
@click.option(
    "--drain-seconds", default=3.0, show_default=True, type=click.FloatRange(0, 600),
    help="How long it goes on answering after a SIGTERM.",
)  # fmt: skip
@click.option("--max-rows", default=10_000, show_default=True, type=click.IntRange(1), help="Rows of one request.")
@click.option("--max-bytes", default=10_000_000, show_default=True, type=click.IntRange(1), help="Bytes of a body.")
@click.option("--log/--no-log", "logged", default=True, show_default=True, help="Keep answers in data/predictions.")
@click.option(
    "--raw-fields/--features-only", default=True, show_default=True,
    help="Answer /predict, which takes the table's fields and computes features; needs the pipeline's folder in defs.",
)  # fmt: skip
@click.option("--traces", is_flag=True, help="Send OpenTelemetry's traces; needs the extra `otel`.")
@click.option("--json", "as_json", is_flag=True, help="Its own log as JSON, a line each.")
@DATA_OPTION
def serve(
    pipelines: tuple[str, ...], host: str, port: int | None, grpc_port: int | None, workers: int, drain_seconds: float,
    max_rows: int, max_bytes: int, logged: bool, raw_fields: bool, traces: bool, as_json: bool, data: Path | None,
) -> None:  # fmt: skip
    """Answer predictions of the live models over HTTP; what the ledger says takes effect within a second.

    There is no authentication: listen at other addresses than 127.0.0.1 only behind a gateway that has it.

    \b
    Example:
      ml-assets serve --pipeline trip_duration --port 8080
      ml-assets serve --workers 4 --json --grpc-port 8081
    """
    use(data)
    from ml_assets.resources.ledger_database import LedgerDatabase
    from ml_assets.resources.settings import settings
    from ml_assets.served import raw_fields_of
    from ml_assets.serving.building import Options, served_pipelines
    from ml_assets.serving.limits import Limits
    from ml_assets.serving.protocols import vertex
    from ml_assets.serving.server import serve as run

    roots = settings()
    platform = {name: value for name, value in os.environ.items() if name.startswith("AIP_")}
    run(
        Options(
            pipelines=served_pipelines(LedgerDatabase(roots.ledger), pipelines),
            models=roots.models,
            ledger=roots.ledger,
            local=roots.serving,
            predictions=roots.predictions if logged else None,
            host=host,
            port=port if port is not None else vertex.port(platform) or 8080,
            grpc_port=grpc_port,
            workers=workers,
            drain_seconds=drain_seconds,
            as_json=as_json,
            traces=traces,
            limits=Limits(body_bytes=max_bytes, rows=max_rows),
            environment=tuple(sorted(platform.items())),
            store=roots.store,
            raw_fields=partial(raw_fields_of, apart=True) if raw_fields else None,
        )
    )


COMMANDS = (serve,)
