"""Requests held to a table's contract: rows that arrive as JSON, one or a few at a time, before they are scored.

Conversions and rules are those that `validation` holds a partition to; what only a partition can tell (unique keys,
the partition's window) is not asked. How requests travel, and what answers a faulty one, is decided elsewhere.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from ml_assets.core.contract import ROW_NUMBER, Contract, ContractColumn
from ml_assets.core.conversion import Conversion
from ml_assets.core.errors import ConfigError, ContractError
from ml_assets.core.json_values import JSON_DTYPES, by_type, cleaned, column_of, conversions, in_words, shown
from ml_assets.core.row_by_row import why_not_row_by_row
from ml_assets.core.rules import Rule

NOT_AN_OBJECT = "not_an_object"
UNKNOWN_FIELD = "unknown_field"
MISSING_FIELD = "missing_field"

_TOLD = 5
_SHOWN = 60


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong with a record.

    Args:
        rule: the rule it breaks, as `broken_rules` of a quarantined row names it; or `not_an_object`,
            `unknown_field`, `missing_field`.
        column: the field; several, as `a, b`, where a rule reads several; empty for a record that is no object.
        found: the value as JSON text, shortened; of a computed column, what was computed.
        expected: what would have been right, in words.
    """

    rule: str
    column: str
    found: str
    expected: str


@dataclass(frozen=True, eq=False)
class Judged:
    """Records after judging.

    Args:
        faults: of each record: of its shape first, then in the contract's order of rules; empty where all is well.
        rows: each record under the contract's dtypes, computed columns included, in the order given; what was
            missing or can't be converted is null.
    """

    faults: list[list[Fault]]
    rows: pl.DataFrame


@dataclass(frozen=True, eq=False)
class RequestRules:
    """The part of a contract that a request can be held to. Made by `of`, once; everything is prepared there.

    Args:
        fields: what a record brings: columns of the contract that are not computed.
        computed: columns computed from these, each after those it is computed from.
        rules: the rules whose columns are all there, in the contract's order.
    """

    fields: tuple[ContractColumn, ...]
    computed: tuple[tuple[ContractColumn, pl.Expr], ...]
    rules: tuple[Rule, ...]
    _read: dict[str, dict[type, Conversion]] = field(repr=False)
    _expected: dict[str, str] = field(repr=False)
    _together: tuple[pl.Expr, ...] = field(repr=False)
    _alone: tuple[pl.Expr, ...] = field(repr=False)

    @classmethod
    def of(cls, contract: Contract, columns: Iterable[str], *, event_time: str) -> "RequestRules":
        """Rules for requests that bring these columns.

        Args:
            contract: of the table that the model has learnt from.
            columns: what the features read, under the contract's names. For a computed one, a record brings what
                it is computed from; one that can be computed from what is there is held to its rules, too.
            event_time: the column that says when the event happens.

        Raises:
            ConfigError: a column is not in the contract, not known at the event's time, or can't be given in JSON.
        """
        wanted = _with_inputs(contract, columns)
        late = contract.known_after(event_time)
        there = {c.name for c in contract.columns}
        fields = tuple(c for c in contract.columns if c.name in wanted and c.derived is None)
        read = {c.name: conversions(c.name, c.dtype) for c in fields}
        found = [] if wanted else ["no columns"]
        found += [f"{name} is no column of {contract.name}" for name in sorted(wanted - there)]
        found += [f"{name} is known at {at}, after the event" for name, at in late.items() if name in wanted]
        found += [f"{c.name} is {c.dtype}, which no JSON value can be read as" for c in fields if not read[c.name]]
        if found:
            raise ConfigError(
                f"requests under the contract {contract.name}",
                found=found,
                expected="columns of the contract that are known at the event's time and fit in JSON",
                cure="correct the features that read them, or known_at in schema.py",
            )
        computed = []
        for c, derived in contract.in_order_of_derivation():
            if c.name in wanted or (c.name not in late and set(derived.meta.root_names()) <= wanted):
                computed.append((c, derived))
                wanted.add(c.name)
        asked = ("type", "not_null", "finite", "check")
        rules = tuple(rule for rule in contract.rules if rule.kind in asked and wanted.issuperset(rule.columns))
        together, alone = _masks(rules)
        expected = {c.name: in_words(c) for c in fields}
        return cls(fields, tuple(computed), rules, read, expected, together, alone)

    def judge(self, records: Sequence[Mapping[str, Any]]) -> Judged:
        """The faults of each record, and its values under the contract's dtypes.

        Each record is judged as if it were alone, so its faults never depend on the others. Whatever JSON can hold
        is answered by faults, never by an exception. A field that the source need not have may be left out, others
        are null or there.
        """
        objects = [record if isinstance(record, Mapping) else {} for record in records]
        rows = self._rows(objects)
        broken = _rows_that_break(rows, self._together)
        if self._alone:
            for i in range(rows.height):
                for name in _rows_that_break(rows[i : i + 1], self._alone):
                    broken.setdefault(name, set()).add(i)
        null = {c.name: _where(rows[c.name].is_null(), True) for c in self.fields if rows[c.name].null_count()}
        suspects = set().union(*broken.values(), *null.values())
        names = {c.name for c in self.fields}
        faults: list[list[Fault]] = []
        for i, (record, given) in enumerate(zip(records, objects, strict=True)):
            if given is not record:
                wanted = f"a JSON object with {', '.join(self._expected)}"
                faults.append([Fault(NOT_AN_OBJECT, "", shown(record), wanted)])
                continue
            found = [] if given.keys() == names else self._faults_of_shape(given)
            if i in suspects:
                at_fault = {name for name, of in broken.items() if i in of}
                unfit = {name for name, of in null.items() if i in of and given.get(name) is not None}
                found += self._faults_of_values(given, rows[i : i + 1], at_fault, unfit)
            faults.append(found)
        return Judged(faults, rows)

    def conversions_of(self, name: str) -> Mapping[type, Conversion]:
        """How a field's values of each JSON type become the contract's dtype."""
        return self._read[name]

    def faults(self, records: Sequence[Mapping[str, Any]]) -> list[list[Fault]]:
        """The faults of each record; see `judge`."""
        return self.judge(records).faults

    def frame(self, records: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
        """The records as rows under the contract's dtypes, computed columns included.

        Raises:
            ContractError: some records have faults; names the first ones.
        """
        judged = self.judge(records)
        found = [
            f"record {i}: {fault.rule}: {fault.column} is {fault.found}, expected {fault.expected}"
            for i, faults in enumerate(judged.faults)
            for fault in faults
        ]
        if found:
            more = [f"{len(found) - _TOLD} more"] if len(found) > _TOLD else []
            raise ContractError(
                "records of a request",
                found=found[:_TOLD] + more,
                expected="records without faults",
                cure="correct these fields; `faults` lists all that is wrong",
            )
        return judged.rows

    def _rows(self, records: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
        columns = [pl.Series(ROW_NUMBER, range(len(records)), dtype=pl.UInt32)]
        values: list[pl.Expr] = []
        for c in self.fields:
            read = []
            for kind, part in by_type([record.get(c.name) for record in records]).items():
                one = self._read[c.name].get(kind)
                if one is not None:
                    columns.append(pl.Series(column_of(c.name, kind), part, dtype=JSON_DTYPES[kind]))
                    read.append(one.value)
            value = read[0] if len(read) == 1 else pl.coalesce(*read, pl.lit(None, c.dtype))
            values.append(value.alias(c.name))
        rows = pl.DataFrame(columns).select_seq(ROW_NUMBER, *values).drop(ROW_NUMBER)
        for c, derived in self.computed:
            rows = rows.with_columns(derived.cast(c.dtype).alias(c.name))
        return rows

    def _faults_of_shape(self, record: Mapping[str, Any]) -> list[Fault]:
        wanted = f"one of the fields {', '.join(self._expected)}"
        unknown = [
            Fault(UNKNOWN_FIELD, cleaned(str(name)[:_SHOWN]), shown(value), wanted)
            for name, value in record.items()
            if name not in self._expected
        ]
        return unknown + [
            Fault(MISSING_FIELD, c.name, "nothing", self._expected[c.name])
            for c in self.fields
            if c.required and c.name not in record
        ]

    def _faults_of_values(
        self, record: Mapping[str, Any], row: pl.DataFrame, broken: set[str], unfit: set[str]
    ) -> list[Fault]:
        absent = {name for name in self._expected if name not in record}
        faults = []
        for rule in self.rules:
            column = rule.columns[0] if rule.columns else ""
            if rule.kind == "type":
                breaks = column in unfit
            else:
                # null because it is no value of the type, or not given: that is said by another fault
                breaks = rule.name in broken and not (rule.kind == "not_null" and column in unfit | absent)
            if breaks:
                values = [
                    shown(record.get(name) if name in self._expected else _computed(row[name])) for name in rule.columns
                ]
                named = [f"{name}: {value}" for name, value in zip(rule.columns, values, strict=True)]
                found = values[0] if len(values) == 1 else ", ".join(named)
                own = self._expected.get(column) if rule.kind in ("type", "not_null") else None
                faults.append(Fault(rule.name, ", ".join(rule.columns), found, own or rule.description))
        return faults


def _computed(value: pl.Series) -> Any:
    # Times beyond the year 9999 are none to Python.
    return value.cast(pl.String)[0] if value.dtype.is_temporal() else value[0]


def _with_inputs(contract: Contract, columns: Iterable[str]) -> set[str]:
    """These columns, and what computed ones among them are computed from."""
    wanted = set(columns)
    for c, derived in reversed(contract.in_order_of_derivation()):
        if c.name in wanted:
            wanted.update(derived.meta.root_names())
    return wanted


def _masks(rules: Iterable[Rule]) -> tuple[tuple[pl.Expr, ...], tuple[pl.Expr, ...]]:
    """Rules that can be evaluated over all records at once, and those to be asked record by record."""
    together: list[pl.Expr] = []
    alone: list[pl.Expr] = []
    for rule in rules:
        if rule.keeps is not None:
            by_row = bool(rule.columns) and why_not_row_by_row(rule.keeps) is None
            (together if by_row else alone).append(rule.keeps.alias(rule.name))
    return tuple(together), tuple(alone)


def _rows_that_break(rows: pl.DataFrame, masks: Sequence[pl.Expr]) -> dict[str, set[int]]:
    """Rule -> rows that break it; without rules that all keep."""
    broken: dict[str, set[int]] = {}
    # Few rows: other threads cost more than they save, and Python's values a tenth of asking polars by column.
    for i, kept in enumerate(rows.select_seq(masks).rows()):
        if not all(kept):
            for mask, keeps in zip(masks, kept, strict=True):
                if not keeps:
                    broken.setdefault(mask.meta.output_name(), set()).add(i)
    return broken


def _where(mask: pl.Series, wanted: bool) -> set[int]:
    # Few rows: a list costs a tenth of what polars takes to look.
    return {i for i, found in enumerate(mask.to_list()) if found is wanted}
