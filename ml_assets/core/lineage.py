"""What a model learnt from, back to the source: which content of which partition was made from which, and in words.

Where this is known from, is in `ml_assets.resources.lineage`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

UNKNOWN = "not in the event log"
SHOWN = 12


@dataclass(frozen=True)
class Content:
    """One partition of an asset in one content.

    Args:
        asset: its key, as in `trips/validated`.
        partition: its partition.
        sha256: of the stored file.
        known: whether the event log has a materialization with this content.
        run_id: the run that made it.
        rows: how many.
        source: where its rows came from, for the first of the chain: a path, URL or query, and its SHA-256.
        made_from: what it was made from.
    """

    asset: str
    partition: str
    sha256: str
    known: bool = True
    run_id: str | None = None
    rows: int | None = None
    source: Mapping[str, Any] | None = None
    made_from: Sequence["Content"] = field(default_factory=tuple)

    def to_json(self) -> dict[str, Any]:
        """As JSON, the whole chain in it."""
        return {
            "asset": self.asset,
            "partition": self.partition,
            "sha256": self.sha256,
            "known": self.known,
            "run_id": self.run_id,
            "rows": self.rows,
            "source": None if self.source is None else dict(self.source),
            "made_from": [one.to_json() for one in self.made_from],
        }

    def in_words(self, indent: str = "") -> Iterator[str]:
        """A line for each link of the chain, the source last."""
        rows = "" if self.rows is None else f", {self.rows:,} rows"
        unknown = "" if self.known else f" ({UNKNOWN})"
        yield f"{indent}{self.asset} {self.partition}  {self.sha256[:SHOWN]}{rows}{unknown}"
        if self.source is not None:
            yield f"{indent}  {self.source['source']}  SHA-256 {self.source['sha256']}"
        for one in self.made_from:
            yield from one.in_words(indent + "  ")

    def as_link(self) -> str:
        """A link to its page in the Dagster UI, as Markdown."""
        return f"[{self.partition} `{self.sha256[:SHOWN]}`](/assets/{self.asset}?partition={self.partition})"


def as_markdown(chains: Sequence[Content]) -> str:
    """A table with a row for each way from a training partition to a source: links, and the source's SHA-256."""
    lines = ["| learnt from | made from | read from | source | SHA-256 |", "|---|---|---|---|---|"]
    for chain in chains:
        for way in _ways(chain):
            end = way[-1]
            between = ", ".join(one.as_link() for one in way[1:-1])
            read = end.as_link() if len(way) > 1 else ""
            source = [str(end.source["source"]), f"`{end.source['sha256']}`"] if end.source else [UNKNOWN, ""]
            cells = [chain.as_link(), between, read, *source]
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)


def _ways(content: Content) -> Iterator[list[Content]]:
    """Every path from a content to what was made from nothing."""
    if not content.made_from:
        yield [content]
    for one in content.made_from:
        for way in _ways(one):
            yield [content, *way]
