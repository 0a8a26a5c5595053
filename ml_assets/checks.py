"""The checks of a table: four per partition, generated from its contract, every rule in the metadata of one of them.

They read what is stored and can be run again by themselves. When a verdict is what, is decided in
`ml_assets.core.quality`; the checks of a pipeline's assets stand beside those assets, whose inputs they share.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import dagster as dg

from ml_assets.assets.data import source_change
from ml_assets.assets.frames import LazyFrame
from ml_assets.assets.metadata import table_of
from ml_assets.assets.partitioned_checks import partitioned_check
from ml_assets.problem import TABLE_NOUNS, Table
from ml_assets.resources.materializations import Made, recent
from ml_assets.resources.storage import Store

if TYPE_CHECKING:
    from ml_assets.core.quality import Check, Limits, Verdict

SAMPLED_ROWS = 3
"""Rows shown of each rule that is broken."""

DESCRIPTIONS: "dict[Check, str]" = {
    "contract": "Columns and types: what changed in the source's columns, and which values do not fit their type.",
    "rows": "Missing values, ranges, membership, and rules across columns, rule by rule.",
    "keys": "Keys are unique, here and in the partitions around; events lie in their partition.",
    "volume": "As many rows as in recent partitions, all accounted for, and few of them in quarantine.",
}


def table_checks(table: Table) -> dg.AssetChecksDefinition:
    """`contract`, `rows`, `keys` and `volume` of `<table>/validated`, in one step."""
    specs = [
        partitioned_check(name, table.key("validated"), table.partitions, told, reads_too=[table.key("quarantine")])
        for name, told in DESCRIPTIONS.items()
    ]

    @dg.multi_asset_check(
        name=f"{table.name}__checks",
        specs=specs,
        can_subset=True,
        description=f"Whether a partition of {table.name} is fit to be used.",
    )
    def checks(context: dg.AssetCheckExecutionContext, store: Store) -> Iterator[dg.AssetCheckResult]:
        partition = PartitionOf(table, context.partition_key, store, context.instance)
        for key in sorted(context.selected_asset_check_keys, key=lambda k: list(DESCRIPTIONS).index(k.name)):
            yield partition.result(key)

    return checks


@dataclass(frozen=True)
class PartitionOf:
    """What the checks look at: one partition as it is stored, and the ones before it as the event log knows them."""

    table: Table
    partition: str
    store: Store
    instance: dg.DagsterInstance

    def result(self, key: dg.AssetCheckKey) -> dg.AssetCheckResult:
        """One check's verdict, with what it is founded on."""
        judge: dict[str, Callable[[], tuple[Verdict, dict[str, Any]]]] = {
            "contract": self._contract,
            "rows": self._rows,
            "keys": self._keys,
            "volume": self._volume,
        }
        verdict, told = judge[key.name]()
        return dg.AssetCheckResult(
            check_name=key.name,
            asset_key=key.asset_key,
            passed=verdict.passed,
            severity=dg.AssetCheckSeverity.ERROR if verdict.errors else dg.AssetCheckSeverity.WARN,
            description="; ".join(verdict.reasons) or None,
            metadata={"reasons": verdict.reasons, **told},
        )

    def _contract(self) -> "tuple[Verdict, dict[str, Any]]":
        from ml_assets.core.quality import contract_verdict

        change = source_change(self.table, self.store, self.partition)
        rules = self._rules["contract"]
        verdict = contract_verdict(change, rules, self.counts, self.raw, self.limits)
        return verdict, {**change.to_json(), **self._told("contract")}

    def _rows(self) -> "tuple[Verdict, dict[str, Any]]":
        from ml_assets.core.quality import rows_verdict

        verdict = rows_verdict(self._rules["rows"], self.counts, self.raw, self.limits)
        return verdict, {**self._told("rows"), "missing_values": self._missing_values()}

    def _keys(self) -> "tuple[Verdict, dict[str, Any]]":
        from ml_assets.core.quality import keys_verdict
        from ml_assets.core.repeated_keys import repeated_keys

        contract, event_time = self.table.contract, self.table.config.event_time
        around = self.table.keys_around(self.partition, self.table.config.quality.keys_across)
        # A key with the event's time in it lies in one partition only.
        keys = [key for key in contract.unique if event_time not in key]
        others = {p: self._scan("validated", p) for p in around if keys and self._path("validated", p).exists()}
        repeated = repeated_keys(self._scan("validated", self.partition), others, keys)
        verdict = keys_verdict(self._rules["keys"], self.counts, self.raw, repeated.counts, self.limits)
        shown = {"repeated_in_other_partitions": table_of(repeated.sample)} if repeated.sample else {}
        return verdict, {**self._told("keys"), "partitions_compared": list(others), **shown}

    def _volume(self) -> "tuple[Verdict, dict[str, Any]]":
        from ml_assets.core.quality import volume_verdict

        validated = self.store.rows(self.table.key("validated"), self.partition)
        quarantined = self.store.rows(self.table.key("quarantine"), self.partition)
        before = {p: rows_of(one) for p, one in self._recent["raw"].items()}
        bad = {p: rows_of(one) for p, one in self._recent["quarantine"].items()}
        verdict = volume_verdict(
            raw=self.raw,
            validated=validated,
            quarantined=quarantined,
            recent=list(before.values()),
            limits=self.limits,
        )
        trend = [{"partition": p, "rows": rows, "quarantined": bad.get(p)} for p, rows in before.items()]
        trend.append({"partition": self.partition, "rows": self.raw, "quarantined": quarantined})
        return verdict, {
            "rows_raw": self.raw,
            "rows_validated": validated,
            "rows_quarantined": quarantined,
            "share_quarantined": round(quarantined / max(self.raw, 1), 4),
            "trend": table_of(trend),
        }

    @cached_property
    def raw(self) -> int:
        """Rows of the source."""
        return self.store.rows(self.table.key("raw"), self.partition)

    @cached_property
    def counts(self) -> dict[str, int]:
        """Rule -> rows that break it."""
        from ml_assets.core.validation import rule_counts

        return rule_counts(self._scan("quarantine", self.partition))

    @cached_property
    def limits(self) -> "Limits":
        """What the table's YAML allows."""
        return self.table.config.quality.limits

    @cached_property
    def _rules(self) -> "dict[Check, list[str]]":
        from ml_assets.core.quality import rules_by_check

        return rules_by_check(self.table.contract, self.table.config.event_time)

    def _told(self, check: "Check") -> dict[str, Any]:
        """The rules of a check: how often each is broken, here and before, and by which rows."""
        rules = [r for r in self.table.contract.rules_for(self.table.config.event_time) if r.name in self._rules[check]]
        rules.sort(key=lambda r: -self.counts.get(r.name, 0))
        broken = [r for r in rules if self.counts.get(r.name)]
        told: dict[str, Any] = {
            "rules": table_of(
                [
                    {
                        "rule": r.name,
                        "meaning": r.description,
                        "rows": self.counts.get(r.name, 0),
                        "share": round(self.counts.get(r.name, 0) / max(self.raw, 1), 5),
                    }
                    for r in rules
                ]
            )
        }
        if broken:
            told["sample"] = table_of(list(self._sample(broken)))
            told["trend"] = table_of(list(self._trend([r.name for r in broken])))
        return told

    def _trend(self, rules: list[str]) -> Iterator[dict[str, Any]]:
        rows = {p: rows_of(one) for p, one in self._recent["raw"].items()}
        for partition, one in self._recent["quarantine"].items():
            counts = one.metadata.get("rows_by_rule") or {}
            yield {"partition": partition, "rows": rows.get(partition), **{r: counts.get(r, 0) for r in rules}}
        yield {"partition": self.partition, "rows": self.raw, **{r: self.counts[r] for r in rules}}

    def _sample(self, rules: list[Any]) -> Iterator[dict[str, Any]]:
        """Some rows of each rule, with the values of its columns: as the source gave them, where they don't convert."""
        import polars as pl

        from ml_assets.core.contract import BROKEN_RULES, ROW_NUMBER

        sources = {c.name: c.source for c in self.table.contract.columns}
        quarantine = self._scan("quarantine", self.partition)
        raw = self._scan("raw", self.partition)
        names = raw.collect_schema().names()
        for rule in rules:
            bad = quarantine.filter(pl.col(BROKEN_RULES).list.contains(rule.name)).head(SAMPLED_ROWS)
            for row in bad.select(ROW_NUMBER, *rule.columns).collect().iter_rows(named=True):
                number = row.pop(ROW_NUMBER)
                if rule.kind == "type" and sources[rule.columns[0]] in names:
                    [found] = raw.select(sources[rule.columns[0]]).slice(number, 1).collect().iter_rows(named=True)
                    row = found
                values = ", ".join(f"{name} = {value}" for name, value in row.items())
                yield {"rule": rule.name, "row_number": number, "values": values}

    def _missing_values(self) -> dg.MetadataValue:
        """Missing values of the validated rows per column, here and before."""
        made = self._recent["validated"] | recent(self.instance, self.table.key("validated"), [self.partition])
        asked = {p: one.metadata.get("missing_values") or {} for p, one in made.items()}
        columns = [c.name for c in self.table.contract.columns if any(c.name in of for of in asked.values())]
        return table_of([{"partition": p, **{c: of.get(c, 0) for c in columns}} for p, of in asked.items()])

    @cached_property
    def _recent(self) -> dict[str, dict[str, Made]]:
        """Noun -> the partitions before this one, as they were made last."""
        count = self.table.config.quality.recent
        before = [w.key for w in self.table.windows_before(self.partition, count)]
        return {noun: recent(self.instance, self.table.key(noun), before) for noun in TABLE_NOUNS}

    def _path(self, noun: str, partition: str) -> Any:
        return self.store.path(self.table.key(noun), partition)

    def _scan(self, noun: str, partition: str) -> LazyFrame:
        return self.store.scan(self.table.key(noun), partition)


def rows_of(made: Made) -> int:
    """Rows of a partition, as it told when it was made."""
    return int(made.metadata["dagster/row_count"])
