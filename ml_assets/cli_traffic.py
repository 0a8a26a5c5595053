"""The commands that send recorded rows as live traffic. What they do is in `traffic`."""

from pathlib import Path

import click

from ml_assets.cli_options import DATA_OPTION, JSON_OPTION, use


@click.command()
@click.option("--pipeline", default="trip_duration", show_default=True, help="Pipeline that is asked.")
@click.option("--partition", required=True, metavar="KEY", help="Stored partition whose rows are sent, e.g. 2020-04.")
@click.option("--rate", default="50/s", show_default=True, metavar="N/s", help="Requests per s, min or h, evenly.")
@click.option("--rows", type=click.IntRange(min=1), help="At most so many, spread over the partition (default: all).")
@click.option("--url", default="http://127.0.0.1:8080", show_default=True, help="Of the model server.")
@JSON_OPTION
@DATA_OPTION
def replay(
    pipeline: str, partition: str, rate: str, rows: int | None, url: str, as_json: bool, data: Path | None
) -> None:
    """Send the rows of a partition to the model server as live traffic, in the order of their events.

    Labels are delivered when event time reaches their maturity. Exit code 1 unless every request was answered.

    \b
    Example:
      ml-assets replay --partition 2020-04 --rate 200/s
    """
    use(data)
    from ml_assets.core.traffic import rate_per_second
    from ml_assets.traffic import replay as run_replay

    run_replay(pipeline, partition, url=url, rate=rate_per_second(rate), rows=rows, as_json=as_json)


@click.command("demo-live")
@click.option("--pipeline", default="trip_duration", show_default=True, help="Pipeline to show.")
@click.option("--first", default="2020-04", show_default=True, metavar="KEY",
              help="First partition that comes as live traffic; those before it are replayed as history.")  # fmt: skip
@click.option("--rows", default=2_000, show_default=True, type=click.IntRange(min=100), help="Requests a partition.")
@click.option("--rate", default="100/s", show_default=True, metavar="N/s", help="Requests per s, min or h.")
@click.option("--port", default=8080, show_default=True, help="Of the model server on 127.0.0.1.")
@DATA_OPTION
def demo_live(pipeline: str, first: str, rows: int, rate: str, port: int, data: Path | None) -> None:
    """Show everything that happens to a model in live traffic: drift, training, rollout, a bad model, the way back.

    Where defs.yaml has no section `rollout`, a canary in fast motion is taken.

    \b
    Example:
      ml-assets demo-live --data data/live
    """
    use(data)
    from ml_assets.core.traffic import rate_per_second
    from ml_assets.demo_live import demo_live as run_demo_live

    run_demo_live(pipeline, first=first, rows=rows, rate=rate_per_second(rate), port=port)


COMMANDS = (replay, demo_live)
