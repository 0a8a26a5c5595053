"""`ml-assets replay`: the rows of a stored partition sent to the model server as live traffic, labels when they mature.

Requests go out at their own time, whether or not earlier ones are answered: a slow server meets the same traffic.
When a row is due is decided in `core.traffic`; how it travels is in `resources.serving_client`.
"""

import asyncio
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import click
from tqdm import tqdm

from ml_assets.core.errors import MLAssetsError
from ml_assets.core.traffic import Due, Sent, schedule
from ml_assets.problem import Pipeline
from ml_assets.project import pipeline_named
from ml_assets.resources.serving_client import Answered, ServingClient, connected
from ml_assets.resources.settings import settings
from ml_assets.resources.storage import Store
from ml_assets.served import raw_fields_of

AT_ONCE = 256
"""Requests that may wait for an answer at the same time; what is due beyond waits here and is measured as waiting."""
LABELS_AT_ONCE, LABELS_EVERY_SECONDS = 200, 1.0
OK = 200
SHOWN = 5


class TrafficFailed(MLAssetsError):
    """Requests or labels of a replay went wrong."""


@dataclass(frozen=True)
class Traffic:
    """Rows to send, in the order stored.

    Args:
        pipeline: name of the pipeline.
        ids: a request id each: partition and row number, so that the same row has the same id whenever it is sent.
        fields: what a client knows when the event happens, JSON-able.
        event_at: when the events happened.
        known_at: when the labels were known; None where a row has none.
        labels: the labels, in the label's unit or the position of the class.
    """

    pipeline: str
    ids: Sequence[str]
    fields: Sequence[dict[str, Any]]
    event_at: Sequence[datetime]
    known_at: Sequence[datetime | None]
    labels: Sequence[float | None]


def replay(pipeline_name: str, partition: str, *, url: str, rate: float, rows: int | None, as_json: bool) -> None:
    """Send a partition, tell what became of it.

    Raises:
        PartitionMissing: the partition's validated rows or features are not stored.
        ServerUnreachable: nobody listens at the URL.
        TrafficFailed: requests or labels went wrong; says which and how often.
    """
    traffic = recorded(pipeline_named(pipeline_name), partition, rows)
    due = list(schedule(traffic.event_at, traffic.known_at, rate=rate))
    with tqdm(total=len(traffic.ids), unit="request", disable=not sys.stderr.isatty()) as bar:
        sent = asyncio.run(send(traffic, due, url=url, progress=bar.update))
    told = summary(sent)
    click.echo(json.dumps(told) if as_json else in_words(partition, sent))
    if sent.failures:
        listed = sorted(sent.failures.items(), key=lambda f: -f[1])[:SHOWN]
        raise TrafficFailed(
            f"replay of {partition} to {url}", found=[f"{n} × {why}" for why, n in listed],
            expected="an answer to every request", cure="read the server's log; `curl {url}/metrics` counts errors",
        )  # fmt: skip


def recorded(pipeline: Pipeline, partition: str, rows: int | None = None) -> Traffic:
    """The traffic that a stored partition was.

    Args:
        pipeline: whose features read the fields and whose label is delivered.
        partition: key of a partition with validated rows and features.
        rows: at most so many, evenly spread over the partition; None: all.

    Raises:
        PartitionMissing: one of them is not stored.
    """
    import polars as pl

    from ml_assets.core.features import EVENT_AT, LABEL, LABEL_KNOWN_AT, ROW_NUMBER

    store = Store(root=settings().store)
    validated = store.scan(pipeline.key("validated"), partition)
    learnt = store.scan(pipeline.key("features"), partition).select(ROW_NUMBER, EVENT_AT, LABEL, LABEL_KNOWN_AT)
    names = [c.name for c in raw_fields_of(pipeline.name).online.rules.fields]
    frame = (
        validated.with_columns(pl.col(ROW_NUMBER).cast(pl.UInt32))
        .join(learnt.rename({LABEL: "@label", EVENT_AT: "@event_at", LABEL_KNOWN_AT: "@known_at"}), on=ROW_NUMBER)
        .sort("@event_at", ROW_NUMBER)
        .collect()
    )
    if rows is not None and rows < frame.height:
        frame = frame.gather_every(max(1, frame.height // rows)).head(rows)
    has_label = pl.col("@label").is_not_null()
    return Traffic(
        pipeline=pipeline.name,
        ids=[f"{partition}-{n}" for n in frame[ROW_NUMBER]],
        fields=[{name: _json(value) for name, value in row.items()} for row in frame.select(names).to_dicts()],
        event_at=frame["@event_at"].to_list(),
        known_at=frame.select(pl.when(has_label).then("@known_at")).to_series().to_list(),
        labels=frame["@label"].to_list(),
    )


def _json(value: object) -> object:
    return value.isoformat() if isinstance(value, date) else str(value) if isinstance(value, timedelta) else value


async def send(traffic: Traffic, due: Sequence[Due], *, url: str, progress: Callable[[int], object]) -> Sent:
    """Send what is due when it is due; answers are waited for at the end.

    Args:
        traffic: the rows.
        due: see `core.traffic.schedule`.
        url: of the server.
        progress: called with 1 for each answer.
    """
    sent, labels = Sent(), Labels(traffic)
    async with connected(url, connections=AT_ONCE) as client:
        if not await client.is_ready(traffic.pipeline):
            raise TrafficFailed(
                f"server {url}", found=f"it is not ready to answer for {traffic.pipeline}",
                expected="a champion that is loaded", cure=f"release one, and serve --pipeline {traffic.pipeline}",
            )  # fmt: skip
        started, going = time.perf_counter(), set[asyncio.Task[None]]()
        for one in due:
            wait = started + one.at_s - time.perf_counter()
            if wait > 0:
                await asyncio.sleep(wait)
            if one.what == "label":
                labels.add(one.row)
            else:
                task = asyncio.create_task(_ask(client, traffic, one, started + one.at_s, sent, progress))
                going.add(task)
                task.add_done_callback(going.discard)
            if labels.are_due:
                await labels.deliver(client, sent)
        await asyncio.gather(*going)
        await labels.deliver(client, sent)
    return sent


async def _ask(
    client: ServingClient, traffic: Traffic, due: Due, due_at: float, sent: Sent, progress: Callable[[int], object]
) -> None:
    sent.requests += 1
    answer = await client.predict(traffic.pipeline, traffic.fields[due.row], request_id=traffic.ids[due.row])
    if answer.status == OK:
        sent.answered(answer.variant, time.perf_counter() - due_at)
    else:
        sent.failed(_why("request", answer))
    progress(1)


class Labels:
    """Labels that have matured, until they are delivered."""

    def __init__(self, traffic: Traffic) -> None:
        self._traffic = traffic
        self._mature: list[int] = []
        self._last = time.perf_counter()

    def add(self, row: int) -> None:
        """One more has matured."""
        self._mature.append(row)

    @property
    def are_due(self) -> bool:
        """Whether a message is full, or the last one was sent long enough ago."""
        return len(self._mature) >= LABELS_AT_ONCE or time.perf_counter() - self._last >= LABELS_EVERY_SECONDS

    async def deliver(self, client: ServingClient, sent: Sent) -> None:
        """Send all that have matured."""
        traffic, self._last = self._traffic, time.perf_counter()
        while self._mature:
            rows, self._mature = self._mature[:LABELS_AT_ONCE], self._mature[LABELS_AT_ONCE:]
            told = [{"request_id": traffic.ids[row], "label": traffic.labels[row]} for row in rows]
            answer = await client.deliver(traffic.pipeline, told)
            if answer.status == OK:
                sent.labels += len(rows)
            else:
                sent.failed(_why("label", answer))


def _why(what: str, answer: Answered) -> str:
    return f"{what}: {answer.status or 'no answer'} {answer.words}".strip()


def summary(sent: Sent) -> dict[str, Any]:
    """What became of the traffic, JSON-able; times in milliseconds."""
    return {
        "requests": sent.requests,
        "answered": sum(sent.by_variant.values()),
        "by_variant": sent.by_variant,
        "labels": sent.labels,
        "failures": sent.failures,
        "p50_ms": sent.quantile_ms(0.5),
        "p99_ms": sent.quantile_ms(0.99),
    }


def in_words(partition: str, sent: Sent) -> str:
    """The same for people, in a line."""
    shares = ", ".join(f"{n:,} by {variant}" for variant, n in sorted(sent.by_variant.items()))
    if not sent.seconds:
        return f"{partition}: {sent.requests:,} requests, none answered"
    return (
        f"{partition}: {sent.requests:,} requests answered ({shares}), {sent.labels:,} labels delivered; "
        f"p50 {sent.quantile_ms(0.5):.1f} ms, p99 {sent.quantile_ms(0.99):.1f} ms"
    )
