"""What a contender has written, as figures that can be compared: all must have found the same rows.

Read from the files, after the contender's process ended: it costs none of them anything, and none can just say so.
The order of rows is free, and so are dtypes: pandas keeps whole numbers with gaps as floats.
"""

import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from benchmarks.files import QUARANTINE

ROW_NUMBER, BROKEN_RULES = "row_number", "broken_rules"
_TOLERANCE = 1e-8
"""Relative; sums of floats depend on the order of adding."""


@dataclass(frozen=True)
class Written:
    """One written file.

    Args:
        rows: how many.
        row_numbers: SHA-256 of the sorted row numbers; empty if the file has none.
        rule_counts: of a quarantine, rows that break each rule.
        rules: of a quarantine, SHA-256 of each row number with its rules.
        nulls: missing values per column.
        sums: per column, of its values times a weight that depends on the row number, so that values that changed
            places show; text is read as numbers.
    """

    rows: int
    row_numbers: str
    rule_counts: dict[str, int]
    rules: str
    nulls: dict[str, int]
    sums: dict[str, float]


def read(file: Path) -> Written:
    """The figures of a file."""
    lazy = pl.scan_parquet(file)
    schema = lazy.collect_schema()
    numbers = lazy.select(pl.col(ROW_NUMBER).cast(pl.UInt32)).collect() if ROW_NUMBER in schema else pl.DataFrame()
    weight = (pl.col(ROW_NUMBER) % 9973 + 1).cast(pl.Float64) if ROW_NUMBER in schema else pl.lit(1.0)
    values = {name: _number(name, dtype) for name, dtype in schema.items() if name not in (ROW_NUMBER, BROKEN_RULES)}
    found = lazy.select(
        *(v.null_count().alias(f"nulls {name}") for name, v in values.items()),
        *((v * weight).sum().alias(f"sum {name}") for name, v in values.items()),
        pl.len().alias("rows"),
    )
    figures = found.collect(engine="streaming").row(0, named=True)
    return Written(
        rows=figures["rows"],
        row_numbers=_digest(numbers.to_series().sort().to_numpy().tobytes()) if numbers.width else "",
        **_rules(lazy) if BROKEN_RULES in schema else {"rule_counts": {}, "rules": ""},
        nulls={name: figures[f"nulls {name}"] for name in values},
        sums={name: figures[f"sum {name}"] for name in values},
    )


def differences(expected: Written, found: Written) -> list[str]:
    """What is not the same, in words."""
    if expected.sums.keys() != found.sums.keys():
        return [f"columns {sorted(found.sums)} in place of {sorted(expected.sums)}"]
    said = [
        f"{what}: {getattr(found, what)} in place of {getattr(expected, what)}"
        for what in ("rows", "row_numbers", "rule_counts", "rules")
        if getattr(found, what) != getattr(expected, what)
    ]
    for name in expected.sums:
        if expected.nulls[name] != found.nulls[name]:
            said.append(f"{name}: {found.nulls[name]} missing in place of {expected.nulls[name]}")
        elif not math.isclose(expected.sums[name], found.sums[name], rel_tol=_TOLERANCE, abs_tol=1e-3):
            said.append(f"{name}: weighted sum {found.sums[name]} in place of {expected.sums[name]}")
    return said


def in_words(written: dict[str, Written]) -> str:
    """Rows of each file, and the rules that were broken."""
    said = [f"{one.rows:,} rows in {name}" for name, one in written.items()]
    if QUARANTINE in written:
        counts = written[QUARANTINE].rule_counts
        said.append("broken: " + ", ".join(f"{rule} {n:,}" for rule, n in counts.items()))
    return "; ".join(said)


def _number(name: str, dtype: pl.DataType) -> pl.Expr:
    value = pl.col(name)
    if dtype.is_temporal():
        return value.cast(pl.Datetime("us")).to_physical().cast(pl.Float64) / 1e6 - 1.5e9
    if isinstance(dtype, pl.String | pl.Categorical | pl.Enum):
        # a flag may be left as the text it was published as
        return value.cast(pl.String).replace({"Y": "1", "N": "0"}).cast(pl.Float64, strict=False)
    return value.cast(pl.Float64).fill_nan(None)


def _rules(lazy: pl.LazyFrame) -> dict[str, object]:
    rows = lazy.select(pl.col(ROW_NUMBER).cast(pl.UInt32), pl.col(BROKEN_RULES).list.sort()).collect()
    counts = rows[BROKEN_RULES].explode(empty_as_null=False).value_counts(sort=False).sort("count", BROKEN_RULES)
    listed = rows.sort(ROW_NUMBER).select(ROW_NUMBER, pl.col(BROKEN_RULES).list.join(" "))
    return {"rule_counts": dict(counts.reverse().iter_rows()), "rules": _digest(json.dumps(listed.rows()).encode())}


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
