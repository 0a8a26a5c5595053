"""Measure the figures of the simulated source from a folder of TLC yellow-taxi files.

    python scripts/calibrate_simulation.py --tlc ../shared/data/tlc --out data/reference/taxi_calibration.json

The folder holds `yellow_tripdata_YYYY-MM.parquet`, any number of consecutive months. Same files, same table,
byte for byte. The measuring itself is in `ml_assets.core.simulation.fit_table`.
"""

import argparse
import json
import sys
from datetime import date
from pathlib import Path

import polars as pl

from ml_assets.core.errors import MLAssetsError, SourceNotFound
from ml_assets.core.simulation.calibration import load_calibration
from ml_assets.core.simulation.fit_table import fit_table, prepare
from ml_assets.core.simulation.records import SCHEMA

_PATTERN = "yellow_tripdata_????-??.parquet"


def read_folder(folder: Path, most_rows: int) -> dict[str, pl.DataFrame]:
    """Return the TLC frames of `folder` by month, thinned evenly to about `most_rows` each."""
    paths = sorted(folder.glob(_PATTERN))
    if not paths:
        raise SourceNotFound(
            str(folder), found="no such files", expected=_PATTERN, cure="name the folder of the TLC's files"
        )
    frames = {}
    for path in paths:
        lazy = pl.scan_parquet(path)
        step = max(1, lazy.select(pl.len()).collect().item() // most_rows)
        frames[path.stem[-7:]] = lazy.select(list(SCHEMA)).gather_every(step).collect().cast(SCHEMA)
    return frames


def main() -> int:
    """Write the table; exit code 0 only if it reads back."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tlc", type=Path, required=True, help="folder of yellow_tripdata_YYYY-MM.parquet")
    parser.add_argument("--out", type=Path, default=Path("data/reference/taxi_calibration.json"))
    parser.add_argument("--pandemic-from", type=date.fromisoformat, default=date(2020, 3, 16))
    parser.add_argument("--most-rows", type=int, default=10_000, help="rows used per month, evenly spread")
    parser.add_argument("--seed", type=int, default=20)
    arguments = parser.parse_args()
    try:
        files = read_folder(arguments.tlc, arguments.most_rows)
        trips = prepare(files, arguments.pandemic_from)
        table = fit_table(trips, arguments.pandemic_from, arguments.seed)
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        sections = (f'"{name}":{json.dumps(part, separators=(",", ":"))}' for name, part in table.items())
        arguments.out.write_text("{" + ",\n".join(sections) + "}\n", encoding="utf-8")
        load_calibration(arguments.out)
    except MLAssetsError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
