"""What one guardrail says of a candidate; which there are is in `guardrails` and `differences`."""

from dataclasses import dataclass, field
from typing import Any

from ml_assets.core.sequential import Number


@dataclass(frozen=True)
class Finding:
    """What one guardrail says.

    Args:
        guardrail: its name.
        broken: whether the candidate is surely beyond the limit.
        limit: of the guardrail.
        rows: requests or labels it rests on.
        estimate: what is limited, as far as seen.
        words: all of it; empty where many looks are judged at once.
    """

    guardrail: str
    broken: Any
    limit: float
    rows: Number
    estimate: Number
    words: str = ""
    numbers: dict[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "guardrail": self.guardrail, "broken": bool(self.broken), "limit": self.limit, "rows": int(self.rows),
            "estimate": float(self.estimate), "words": self.words, **self.numbers,
        }  # fmt: skip
