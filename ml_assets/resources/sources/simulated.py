"""Partitions that are made up: the adapter over `core.simulation`, and such trips as files like the TLC's."""

import hashlib
import json
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from ml_assets.core.errors import ConfigError, SourceNotFound
from ml_assets.core.windows import Window
from ml_assets.resources.sources.config import SimulatedSourceConfig
from ml_assets.resources.sources.conforming import Conformer
from ml_assets.resources.sources.injections import InjectionConfig
from ml_assets.resources.sources.interface import Provenance, Source
from ml_assets.resources.sources.templates import month_after, names_of, render
from ml_assets.resources.sources.windowing import Block

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

    from ml_assets.core.simulation.calibration import Calibration

FILE_NAME = "yellow_tripdata_{year}-{month}.parquet"
"""How the TLC names its files."""

EVENT_TIME = "tpep_pickup_datetime"
CALIBRATION = Path(__file__).resolve().parents[3] / "data/reference/taxi_calibration.json"


class SimulatedSource(Source):
    """Trips of New York's yellow taxis that never took place.

    A fingerprint sees everything they depend on: the arguments and the calibration file.
    """

    def __init__(self, config: SimulatedSourceConfig, base_dir: Path) -> None:
        self.config = config
        self._calibration_file = CALIBRATION if config.calibration is None else base_dir / config.calibration

    def partitions(self, windows: Sequence[Window]) -> list[str]:
        """Keys of the windows all of whose months are calibrated."""
        calibrated = set(self._calibration.months)
        return [w.key for w in windows if calibrated.issuperset(_months_of(w))]

    def fingerprint(self, window: Window) -> str:
        """SHA-256 of the arguments, the window and the calibration file."""
        arguments = {
            "start": str(window.start),
            "end": str(window.end),
            "rows": self.config.rows,
            "seed": self.config.seed,
            "injections": [one.model_dump(mode="json") for one in self.config.injections],
            "calibration": self._calibration_sha256,
        }
        return hashlib.sha256(json.dumps(arguments, sort_keys=True).encode()).hexdigest()

    def fetch(
        self,
        window: Window,
        target: Path,
        expected: "Mapping[str, pl.DataType]",
        optional: Collection[str] = (),
    ) -> Provenance:
        """Make the trips of a window; see `Source.fetch`.

        A window of whole months also holds the few trips with a wrong date outside it, as the real files do.
        """
        from ml_assets.core.simulation.records import SCHEMA

        thing = f"source simulated, partition {window.key}"
        months = _months_of(window)
        unknown = [month for month in months if month not in self._calibration.months]
        if unknown:
            raise SourceNotFound(
                thing,
                found=f"no calibrated figures of {', '.join(unknown)}",
                expected=f"months from {self._calibration.months[0]} to {self._calibration.months[-1]}",
                cure="choose partitions among these months",
            )
        conformer = Conformer(thing, _arrow_schema(SCHEMA), expected, optional=optional)
        only = None if _whole_months(window) else window
        rows = conformer.write(lambda: self._blocks(months, only), target)
        return Provenance(
            source=f"simulated trips of {' and '.join(months)}: {self.config.rows:,} a month, seed "
            f"{self.config.seed}, "
            f"{len(self.config.injections)} injections, calibration {self._calibration_file.name}",
            sha256=self.fingerprint(window),
            bytes=None,
            rows=rows,
            columns=conformer.columns,
        )

    def _blocks(self, months: Sequence[str], window: Window | None) -> Iterator[Block]:
        from ml_assets.core.simulation.generate import simulate_batches

        injections = [one.build() for one in self.config.injections]
        for month in months:
            first = 0
            for frame in simulate_batches(
                self._calibration, month, rows=self.config.rows, seed=self.config.seed, injections=injections
            ):
                for batch in frame.to_arrow().combine_chunks().to_batches():
                    block = Block(batch, first)
                    first += len(batch)
                    if window is not None:
                        block = block.inside(batch.column(EVENT_TIME), window)
                    if len(block.batch):
                        yield block

    @cached_property
    def _calibration(self) -> "Calibration":
        from ml_assets.core.simulation.calibration import load_calibration

        return load_calibration(self._calibration_file)

    @cached_property
    def _calibration_sha256(self) -> str:
        try:
            return hashlib.sha256(self._calibration_file.read_bytes()).hexdigest()
        except OSError as error:
            raise ConfigError(
                f"calibration of the simulated source, {self._calibration_file}",
                found=str(error.strerror),
                expected="the table of measured figures",
                cure="correct source.calibration, or run from a checkout of the repository, which has the default one",
            ) from error


def months_between(first: str, last: str) -> list[str]:
    """Months from `first` through `last`, as `YYYY-MM`.

    Raises:
        ConfigError: not months, or in the wrong order.

    >>> months_between("2018-11", "2019-01")
    ['2018-11', '2018-12', '2019-01']
    """
    try:
        start, end = (datetime.strptime(month, "%Y-%m") for month in (first, last))
    except ValueError as error:
        raise ConfigError(
            "months",
            found=f"{first!r} to {last!r}",
            expected="YYYY-MM..YYYY-MM",
            cure="write e.g. 2018-01..2018-06",
        ) from error
    if end < start:
        raise ConfigError("months", found=f"{first} to {last}", expected="the earlier one first", cure="swap them")
    count = (end.year - start.year) * 12 + end.month - start.month
    return [f"{start.year + m // 12:04d}-{m % 12 + 1:02d}" for m in range(start.month - 1, start.month + count)]


def write_tlc_files(
    out: Path,
    months: Sequence[str],
    rows: int,
    seed: int,
    *,
    injections: Sequence[InjectionConfig] = (),
    calibration: Path = CALIBRATION,
) -> Iterator[Path]:
    """Write simulated months as files named and typed like the TLC's; yield the path of each when complete.

    Each is written under a temporary name and renamed, so that a reader sees a whole file or none.

    Args:
        out: the folder, made if it is not there.
        months: `YYYY-MM`, all of them calibrated.
        rows: trips a month.
        seed: same seed, same trips.
        injections: known drift to add.
        calibration: JSON of measured figures.

    Raises:
        SourceNotFound: a month that is not calibrated; those before it are written.
        ConfigError: the calibration is missing or malformed.
    """
    from ml_assets.core.simulation.records import SCHEMA

    config = SimulatedSourceConfig(
        kind="simulated",
        rows=rows,
        seed=seed,
        injections=tuple(injections),
        calibration=str(calibration.resolve()),
    )
    source = SimulatedSource(config, out)
    out.mkdir(parents=True, exist_ok=True)
    for month in months:
        start = datetime.strptime(month, "%Y-%m")
        path = out / render(FILE_NAME, start)
        scratch = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
        source.fetch(Window(month, start, month_after(start)), scratch, SCHEMA)
        scratch.replace(path)
        yield path


def _months_of(window: Window) -> list[str]:
    return names_of("{year}-{month}", window, rows_filtered=True)


def _whole_months(window: Window) -> bool:
    return all(
        time == time.replace(day=1, hour=0, minute=0, second=0, microsecond=0) for time in (window.start, window.end)
    )


def _arrow_schema(schema: "Mapping[str, pl.DataType]") -> "pa.Schema":
    import polars as pl

    return pl.DataFrame(schema=schema).to_arrow().schema
