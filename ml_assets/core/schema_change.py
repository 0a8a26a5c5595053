"""What changed in a source's columns from one partition to the next.

What a table's columns must be is in `contract`; whether a change is tolerated is decided in `quality`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

EMPTY = "empty"
"""The type of a column that has no value in a whole partition: what it holds can't be told, it is as good as gone."""


@dataclass(frozen=True)
class SchemaChange:
    """Columns of a source against those of the partition before.

    Args:
        since: key of the partition before; None: there is none to compare with.
        appeared: column -> its type now; it was not there before, or had no value in the whole partition.
        disappeared: column -> its type before.
        retyped: column -> its type before and now.
    """

    since: str | None
    appeared: Mapping[str, str]
    disappeared: Mapping[str, str]
    retyped: Mapping[str, tuple[str, str]]

    @property
    def verdict(self) -> str:
        """`first`, `unchanged` or `schema_changed`."""
        if self.since is None:
            return "first"
        return "schema_changed" if self.appeared or self.disappeared or self.retyped else "unchanged"

    def in_words(self) -> list[str]:
        """One line per column that changed."""
        return [
            *(f"{name} appeared: {now}" for name, now in self.appeared.items()),
            *(f"{name} disappeared: it was {before}" for name, before in self.disappeared.items()),
            *(f"{name} changed its type: {before} became {now}" for name, (before, now) in self.retyped.items()),
        ]

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return {"verdict": self.verdict, "since": self.since, "changes": self.in_words()}


def schema_change(now: Mapping[str, str], before: Mapping[str, str] | None, since: str | None) -> SchemaChange:
    """What changed between two partitions.

    Args:
        now: column -> type in the source's own words, `empty` for a column without a value.
        before: the same of the partition before; None where there is none.
        since: its key.
    """
    if before is None:
        return SchemaChange(None, {}, {}, {})
    there = {name: kind for name, kind in now.items() if kind != EMPTY}
    was = {name: kind for name, kind in before.items() if kind != EMPTY}
    return SchemaChange(
        since,
        appeared={name: kind for name, kind in there.items() if name not in was},
        disappeared={name: kind for name, kind in was.items() if name not in there},
        retyped={name: (was[name], kind) for name, kind in there.items() if name in was and was[name] != kind},
    )
