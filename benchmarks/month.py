"""The month that the benchmarks work on: a folder with the published file, what our own code makes of it, the rules."""

from pathlib import Path

from benchmarks import files, rules
from benchmarks.contenders import ours
from ml_assets.defs.trips.schema import Trip
from ml_assets.resources.sources.simulated import write_tlc_files


def make(folder: Path, rows: int) -> None:
    """Fill the folder with `rows` simulated trips as published, the rules, and the stored partitions that later
    steps begin with.
    """
    list(write_tlc_files(folder, [files.MONTH], rows, 0))
    rules.write_rules(ours.TABLE.contract, Trip.to_schema(), (ours.WINDOW.start, ours.WINDOW.end), folder / files.RULES)
    ours.ingest(folder, folder)
    ours.path(folder, folder)


def described() -> str:
    """What is special about it."""
    return f"{files.MONTH}: 5 % broken rows, trips recorded twice, 8 % without passengers"
