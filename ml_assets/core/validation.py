"""Rows against their contract: which rules each breaks, and the split into valid rows and quarantine.

What the rules are is in `contract` and `rules`. Where the two halves are stored, and whether a table with
many broken rows may be used, is decided elsewhere.
"""

import numpy as np
import polars as pl

from ml_assets.core.contract import BROKEN_RULES, ROW_NUMBER, Contract
from ml_assets.core.conversion import Conversion, conversion
from ml_assets.core.errors import ContractError
from ml_assets.core.rules import Rule
from ml_assets.core.windows import Window

_HASH_SEED = 0
_NO_ROWS = pl.Series(ROW_NUMBER, [], dtype=pl.UInt32)


def judge(raw: pl.LazyFrame, contract: Contract, *, event_time: str, window: Window) -> pl.LazyFrame:
    """Each raw row under the contract's names and dtypes, and the rules it breaks.

    A value that can't be converted is null and breaks its column's `type` rule (not its `not_null` rule);
    columns that the contract doesn't name are dropped. Of rows that share a unique key, the first that keeps
    every other rule stays, or the first if none does; the others break `unique` (null equals null). So a trip
    whose voided record comes first is not lost.

    One pass that streams, unless a check needs a whole column at once. With a unique key the rows' hashes are
    read when this is called: 8 bytes a row, and the few rows whose hashes meet are compared value by value.

    Args:
        raw: one partition, source names, at least the columns of `contract.source_schema`.
        contract: what the rows are to keep.
        event_time: the contract's column that must lie in the window.
        window: the partition's half-open window, in the table's own clock.

    Returns:
        the contract's columns in their order, `row_number` (UInt32, position in `raw` from 0) and
        `broken_rules` (List(String), in the order of `contract.rules_for(event_time)`, empty for a row that
        keeps them all).

    Raises:
        ContractError: columns are missing or of a dtype that can't be converted; lists all.
        ConfigError: `event_time` is not a Datetime column of the contract that is never null.
    """
    rules = contract.rules_for(event_time)
    read, flags = _under_contract_names(raw, contract)
    keeps = {rule.name: _keeps(rule, flags, window) for rule in rules if rule.kind != "unique"}
    masks = {name: mask for name, mask in keeps.items() if mask is not None}
    for rule in rules:
        if rule.kind == "unique":
            repeats = _repeats(read, rule.columns, pl.all_horizontal(*masks.values()))
            if len(repeats):
                keeps[rule.name] = ~pl.col(ROW_NUMBER).is_in(repeats.implode())
    ordered = [mask.alias(rule.name) for rule in rules if (mask := keeps.get(rule.name)) is not None]
    broken = pl.struct(ordered).map_batches(_names_of_broken, return_dtype=pl.List(pl.String), is_elementwise=True)
    return read.select(*contract.schema.names(), ROW_NUMBER, broken.alias(BROKEN_RULES))


def split(judged: pl.LazyFrame) -> tuple[pl.LazyFrame, pl.LazyFrame]:
    """Rows that keep every rule, and the others; each judged row is in exactly one.

    Returns:
        valid: the contract's columns and `row_number`; quarantine: the same and `broken_rules`, never empty.
    """
    keeps_all = pl.col(BROKEN_RULES).list.len() == 0
    return judged.filter(keeps_all).drop(BROKEN_RULES), judged.filter(~keeps_all)


def rule_counts(quarantine: pl.LazyFrame | pl.DataFrame) -> dict[str, int]:
    """How many rows break each rule, most first; a row that breaks several counts for each."""
    counts = (
        quarantine.lazy()
        .select(pl.col(BROKEN_RULES).alias("rule"))
        .explode("rule")
        .drop_nulls()
        .group_by("rule")
        .len("rows")
        .sort("rows", "rule", descending=[True, False])
        .collect()
    )
    return dict(counts.iter_rows())


def _under_contract_names(raw: pl.LazyFrame, contract: Contract) -> tuple[pl.LazyFrame, dict[str, str]]:
    """The rows converted, and per column whose conversion may fail the name of its flag."""
    conversions = _conversions(raw.collect_schema(), contract)
    flags = {name: f"{name} was converted" for name, (_, one) in conversions.items() if one.can_fail}
    converted = [one.value.alias(name) for name, (_, one) in conversions.items()]
    converted += [
        (pl.col(source).is_null() | one.value.is_not_null()).alias(flags[name])
        for name, (source, one) in conversions.items()
        if name in flags
    ]
    optional = [
        pl.lit(None, c.dtype).alias(c.name) for c in contract.columns if c.derived is None and c.name not in conversions
    ]
    read = raw.with_row_index("row of raw")
    read = read.select(pl.col("row of raw").cast(pl.UInt32).alias(ROW_NUMBER), *converted, *optional)
    for column, derived in contract.in_order_of_derivation():
        read = read.with_columns(derived.cast(column.dtype).alias(column.name))
    return read, flags


def _conversions(found: pl.Schema, contract: Contract) -> dict[str, tuple[str, Conversion]]:
    conversions, faults = {}, []
    for column in contract.columns:
        if column.source is None:
            continue
        if column.source not in found:
            if column.required:
                faults.append(f"no column {column.source}")
            continue
        one = conversion(column.source, found[column.source], column.dtype)
        if one is None:
            faults.append(f"{column.source} is {found[column.source]}, which can't be read as {column.dtype}")
        else:
            conversions[column.name] = (column.source, one)
    if faults:
        raise ContractError(
            f"raw rows of {contract.name}",
            found=faults,
            expected=", ".join(f"{name}: {dtype}" for name, dtype in contract.source_schema.items()),
            cure="repair the source, or change `source=` or the dtype in schema.py; a column that older "
            "partitions lack is `required=False, nullable=True`",
        )
    return conversions


def _keeps(rule: Rule, flags: dict[str, str], window: Window) -> pl.Expr | None:
    """The rule over a frame with flags; None if no row can break it."""
    column = rule.columns[0] if rule.columns else ""
    if rule.kind == "type":
        return pl.col(flags[column]) if column in flags else None
    if rule.kind == "in_partition":
        wall_clock = pl.col(column).dt.replace_time_zone(None)
        return wall_clock.is_between(window.start, window.end, closed="left").fill_null(True)
    if rule.kind == "not_null" and rule.keeps is not None and column in flags:
        return rule.keeps | ~pl.col(flags[column])
    return rule.keeps


def _repeats(read: pl.LazyFrame, key: tuple[str, ...], keeps_others: pl.Expr) -> pl.Series:
    """Row numbers (UInt32) of all rows of a repeated key but the one that stays."""
    hashed = read.select(pl.struct(key).hash(_HASH_SEED).alias("hash"), keeps_others.alias("keeps others"))
    rows = hashed.collect(engine="streaming")
    ordered = rows["hash"].sort().to_numpy()
    met = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    if not met.size:
        return _NO_ROWS
    candidates = rows["hash"].is_in(pl.Series(met).implode()).arg_true()
    best_first = pl.DataFrame({ROW_NUMBER: candidates, "keeps others": rows["keeps others"].gather(candidates)})
    keys = (
        read.select(ROW_NUMBER, pl.struct(key).alias("key"))
        .filter(pl.col(ROW_NUMBER).is_in(candidates.implode()))
        .collect(engine="streaming")
    )
    return (
        best_first.join(keys, on=ROW_NUMBER, how="left")
        .sort("keeps others", ROW_NUMBER, descending=[True, False])
        .filter(~pl.col("key").is_first_distinct())[ROW_NUMBER]
        .sort()
    )


def _names_of_broken(masks: pl.Series) -> pl.Series:
    """Per row the names of the fields that are false: as List(String)."""
    # Rows break few different sets of rules: each set's list is built once, then repeated by position.
    sets: list[list[str]] = [[]]
    place = np.zeros(len(masks), dtype=np.uint32)
    failing = [mask for mask in masks.struct.unnest() if not mask.all()]
    if failing:
        marked = pl.DataFrame(failing).with_row_index("row of batch")
        bad = marked.filter(~pl.all_horizontal(pl.exclude("row of batch")))
        names = [mask.name for mask in failing]
        for group in bad.group_by(names, maintain_order=True).agg("row of batch").iter_rows():
            *kept, rows = group
            place[rows] = len(sets)
            sets.append([name for name, keeps in zip(names, kept, strict=True) if not keeps])
    return pl.Series(BROKEN_RULES, sets, dtype=pl.List(pl.String)).gather(place)
