"""What a look at a rollout costs as its prediction log grows: `python -m benchmarks --only looks`.

    python -m benchmarks.looks DATA HOW      looks once, and prints the CPU seconds, requests and labels as JSON

Requests are answered by the champion, scored beside by the candidate, and half of them labelled at once; they come at
an even pace, and each server writes a segment every hundred seconds. What the looks decide is no part of it.
"""

import json
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from benchmarks.measure import Run, run

if TYPE_CHECKING:
    import polars as pl

    from ml_assets.core.rollout.observed import Leg
    from ml_assets.core.rollout.recorded import Rollout
    from ml_assets.resources.prediction_log import PredictionLogs

PACE_MS = 70
"""Between two requests: 1,234,000 a day."""
A_MINUTE = 60_000 // PACE_MS
OF_A_SEGMENT = 1_430
CHAMPION, CANDIDATE = "a" * 64, "b" * 64
BEGUN = datetime(2024, 4, 9, tzinfo=UTC)
FEATURES = 25
HOWS = ("as one table", "the first look", "the next one", "after a minute's traffic")


def main(requests: int) -> str:
    """Look at logs of a tenth of so many requests, and of all; returns a table."""
    rows = []
    for many in (requests // 10, requests):
        with tempfile.TemporaryDirectory(prefix="ml_assets_bench_") as scratch:
            data = Path(scratch)
            write(data, 0, many)
            for how in HOWS:
                if how == HOWS[-1]:
                    write(data, many, A_MINUTE)
                done = run(["-m", "benchmarks.looks", scratch, how])
                rows.append(_line(many, how, done))
    head = (
        "| requests logged | a look | CPU s | peak MB | requests counted | labels compared |\n|---|---|---|---|---|---|"
    )
    text = (
        "One process each; CPU seconds without starting Python and importing. *As one table*: all rows are read, "
        "joined with their labels and summed up in memory. The first look has read nothing before."
    )
    return "\n".join([text, "", head, *rows])


def _line(many: int, how: str, done: Run) -> str:
    cpu, tried, labels = json.loads(done.printed.splitlines()[-1])
    return f"| {many:,} | {how} | {cpu:.2f} | {done.peak_mb:.0f} | {tried:,} | {labels:,} |"


def write(data: Path, start: int, many: int) -> None:
    """Log some requests, from one of a number on."""
    import numpy as np
    import polars as pl

    from ml_assets.core.prediction_log import ANSWERED, LABEL, SHADOW, packed
    from ml_assets.resources.log_files import SegmentWriter

    rng = np.random.default_rng(start)
    server, beside, labels = (SegmentWriter(str(data / "log"), "p", f"{who}.{start}") for who in "abc")
    values = pl.Series([packed(tuple(rng.random(FEATURES).tolist())) for _ in range(200)], dtype=pl.Binary)
    for at in range(start, start + many, OF_A_SEGMENT):
        number = np.arange(at, min(at + OF_A_SEGMENT, start + many))
        lots, truth = rng.integers(0, 2**62, number.size), rng.gamma(4, 4, number.size)
        answer = truth + rng.normal(0, 3, number.size)
        asked = pl.DataFrame(
            {
                "request_id": [f"{i:012x}{lot:020x}" for i, lot in zip(number, lots, strict=True)],
                "at": pl.Series(number * PACE_MS * 1000).cast(pl.Duration("us")) + BEGUN.replace(tzinfo=None),
                "values": values.gather(rng.integers(0, len(values), number.size)),
                "latency_us": rng.integers(300, 900, number.size),
                "answer": answer,
                "beside": answer + rng.normal(0, 0.5, number.size),
                "truth": truth,
            }
        )
        for _, day in asked.group_by(pl.col("at").dt.date(), maintain_order=True):
            server.write("requests", _entries(day, ANSWERED, CHAMPION, "answer"))
            beside.write("requests", _entries(day, SHADOW, CANDIDATE, "beside"))
            labels.write("labels", _entries(day[::2].with_columns(values=None), LABEL, "", "truth"))


def _entries(asked: "pl.DataFrame", role: str, bundle: str, prediction: str) -> "pl.DataFrame":
    import polars as pl

    from ml_assets.core.prediction_log import SCHEMA

    told = {"role": role, "bundle": bundle, "variant": "champion", "unit": "", "row": 0}
    made = asked.with_columns(
        pl.concat_list(prediction).alias("prediction"), *(pl.lit(value).alias(name) for name, value in told.items())
    )
    missing = [pl.lit(None).alias(name) for name in SCHEMA if name not in made.columns]
    return made.with_columns(missing).select(SCHEMA.names()).cast(dict(SCHEMA))


def look(data: Path, how: str) -> "list[Leg]":
    """What is seen of the rollout."""
    from ml_assets.assets.rollout_log import seen_of
    from ml_assets.resources.prediction_log import PredictionLogs

    logs = PredictionLogs(root=str(data / "log"), read=str(data / "read"))
    if how == HOWS[0]:
        return as_one_table(logs, rollout())
    told = SimpleNamespace(metric="mae", model=SimpleNamespace(threads=1))
    pipeline: Any = SimpleNamespace(name="p", natural_key=(), alpha=None, config=told)
    nothing: Any = None
    return seen_of(pipeline, rollout(), nothing, nothing, logs)


def as_one_table(logs: "PredictionLogs", told: "Rollout") -> "list[Leg]":
    """The same, from all rows at once."""
    import polars as pl

    from ml_assets.core.metrics import losses
    from ml_assets.core.prediction_log import joined_by_request
    from ml_assets.core.rollout.reading import legs_of

    unread = ["values", "key", "unit", "feature_age_s"]
    rows = logs.rows("p", "requests", without=unread)
    rows = rows.cast(dict.fromkeys(["variant", "role", "bundle"], pl.Categorical))
    known = joined_by_request(rows, logs.rows("p", "labels", without=[*unread, "variant", "bundle", "error"]))
    return legs_of(told, known, lambda label, prediction: losses("mae", label, prediction))


def rollout() -> "Rollout":
    """One in its shadow step, without estimated losses."""
    from ml_assets.core.releases import GENESIS, Event
    from ml_assets.core.rollout.recorded import Rollout
    from ml_assets.core.rollout.rules import Guardrails, Rules
    from ml_assets.core.rollout.state import State

    state = State("shadow", 0, 0, BEGUN, BEGUN)
    begun = Event("p", 1, "rollout_begun", {"to": state.to_json(), "at": BEGUN.isoformat()}, GENESIS, "")
    rules = Rules(guardrails=Guardrails(estimated_loss=None)).to_json()
    return Rollout("r", CHAMPION, CANDIDATE, "2024-03", None, "canary", rules, state, (begun,))


if __name__ == "__main__":
    import ml_assets.assets.rollout_log
    import ml_assets.core.rollout.pieces  # noqa: F401

    before = time.process_time()
    [leg] = look(Path(sys.argv[1]), sys.argv[2])
    sys.stdout.write(json.dumps([time.process_time() - before, int(leg.champion.tried), int(leg.losses.rows)]) + "\n")
