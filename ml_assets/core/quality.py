"""Whether a partition of a table is fit to be used: the verdicts behind the four checks of a table.

Which row breaks which rule is decided in `validation`; here counts are held against limits. Nothing is read here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

from ml_assets.core.contract import Contract
from ml_assets.core.rules import Kind
from ml_assets.core.schema_change import SchemaChange

Check = Literal["contract", "rows", "keys", "volume"]
Policy = Literal["ignore", "refuse"]
Counts = Mapping[str, int]

CHECK_OF: dict[Kind, Check] = {
    "type": "contract",
    "not_null": "rows",
    "finite": "rows",
    "check": "rows",
    "unique": "keys",
    "in_partition": "keys",
}
"""Kind of a rule -> the check that tells of it; every rule is in exactly one."""


@dataclass(frozen=True)
class Limits:
    """What a partition may look like; see `quality` in `defs.yaml`.

    Args:
        max_quarantined: largest share of its rows in quarantine.
        max_broken: largest share of its rows that may break any one rule.
        min_rows: fewest rows.
        max_row_change: how many times more, or fewer, rows than the median of recent partitions.
        new_columns, missing_columns, changed_types: what to do when the source's columns change.
    """

    max_quarantined: float
    max_broken: float
    min_rows: int
    max_row_change: float
    new_columns: Policy
    missing_columns: Policy
    changed_types: Policy


@dataclass(frozen=True)
class Verdict:
    """The outcome of one check.

    Args:
        errors: why the partition should not be used; empty: nothing speaks against it.
        warnings: what somebody should look at.
    """

    errors: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Neither errors nor warnings."""
        return not self.errors and not self.warnings

    @property
    def reasons(self) -> list[str]:
        """All of them, errors first."""
        return [*self.errors, *self.warnings]


def rules_by_check(contract: Contract, event_time: str) -> dict[Check, list[str]]:
    """Check -> names of its rules; `volume` has none."""
    found: dict[Check, list[str]] = {"contract": [], "rows": [], "keys": [], "volume": []}
    for rule in contract.rules_for(event_time):
        found[CHECK_OF[rule.kind]].append(rule.name)
    return found


def refusals(change: SchemaChange, limits: Limits) -> list[str]:
    """The changes of a source's columns that the limits do not tolerate, in words."""
    told = [
        (limits.new_columns, "new_columns", [f"{c} appeared ({kind})" for c, kind in change.appeared.items()]),
        (limits.missing_columns, "missing_columns", [f"{c} disappeared" for c in change.disappeared]),
        (limits.changed_types, "changed_types", [f"{c}: {a} became {b}" for c, (a, b) in change.retyped.items()]),
    ]
    return [f"{text} (quality.{name}: refuse)" for policy, name, texts in told if policy == "refuse" for text in texts]


def broken_too_often(rules: Sequence[str], counts: Counts, rows: int, limits: Limits) -> list[str]:
    """Rules that more rows break than the limits allow, in words, with counts and shares."""
    return [
        f"{rule}: {counts[rule]:,} of {rows:,} rows ({counts[rule] / rows:.1%}), at most {limits.max_broken:.1%} "
        "(quality.max_broken)"
        for rule in rules
        if rows and counts.get(rule, 0) > limits.max_broken * rows
    ]


def contract_verdict(change: SchemaChange, rules: Sequence[str], counts: Counts, rows: int, limits: Limits) -> Verdict:
    """Columns and types: a change that is refused is an error, values that don't fit their type a warning."""
    return Verdict(tuple(refusals(change, limits)), tuple(broken_too_often(rules, counts, rows, limits)))


def rows_verdict(rules: Sequence[str], counts: Counts, rows: int, limits: Limits) -> Verdict:
    """Missing values, ranges, membership, rules across columns."""
    return Verdict(warnings=tuple(broken_too_often(rules, counts, rows, limits)))


def keys_verdict(rules: Sequence[str], counts: Counts, rows: int, repeated_in: Counts, limits: Limits) -> Verdict:
    """Keys and times: repeated within the partition or events outside of it, and keys that another one has, too.

    Args:
        rules, counts, rows, limits: as of the other checks.
        repeated_in: other partition -> keys that it shares with this one.
    """
    errors = [f"{n:,} keys are in {partition}, too" for partition, n in repeated_in.items() if n]
    return Verdict(tuple(errors), tuple(broken_too_often(rules, counts, rows, limits)))


def volume_verdict(*, raw: int, validated: int, quarantined: int, recent: Sequence[int], limits: Limits) -> Verdict:
    """How many rows there are, and how many of them may be used.

    Args:
        raw, validated, quarantined: rows of the partition.
        recent: raw rows of the partitions before it; empty: there is nothing to compare with.
        limits: what is allowed.
    """
    errors, warnings = [], []
    if validated + quarantined != raw:
        errors.append(f"{raw:,} rows are raw, {validated:,} validated and {quarantined:,} quarantined: some are lost")
    if raw < limits.min_rows:
        errors.append(f"{raw:,} rows, at least {limits.min_rows:,} (quality.min_rows)")
    if quarantined > limits.max_quarantined * raw:
        errors.append(
            f"{quarantined:,} of {raw:,} rows are quarantined ({quarantined / raw:.1%}), at most "
            f"{limits.max_quarantined:.1%} (quality.max_quarantined)"
        )
    usual = median(recent) if recent else 0
    if usual and not usual / limits.max_row_change <= raw <= usual * limits.max_row_change:
        warnings.append(
            f"{raw:,} rows, where {usual:,.0f} are usual: more than {limits.max_row_change:g} times more or fewer "
            "(quality.max_row_change)"
        )
    return Verdict(tuple(errors), tuple(warnings))
