"""The verdict where a domain classifier is asked beside the columns: two tests, each at half the false-alarm rate.

Bonferroni: without drift one of them is wrong at no more than the rate that is configured, however they depend on each
other. Where the classifier can say nothing, its half goes back to the columns: whether it can is decided by numbers of
rows, never by values. The classifier is in `domain_classifier`, the columns are in `verdict`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ml_assets.core.drift.domain_classifier import DomainShift
from ml_assets.core.drift.policy import DriftPolicy
from ml_assets.core.drift.verdict import DriftReport

TESTS = 2
SHOWN_COLUMNS = 4


@dataclass(frozen=True)
class Joint:
    """What a domain classifier said of a partition.

    Args:
        shift: how well the partition was told from the reference; None where that was not tried.
        why_not: why not, in words; empty where it was.
        left_out: column -> why the classifier did not see it.
    """

    shift: DomainShift | None
    why_not: str
    left_out: Mapping[str, str]

    def for_columns(self, policy: DriftPolicy) -> DriftPolicy:
        """The policy by which columns are judged beside it."""
        return policy if self.shift is None else replace(policy, false_alarm_rate=policy.false_alarm_rate / TESTS)

    def drifted(self, policy: DriftPolicy) -> bool:
        """Whether the classifier alone calls the partition drifted."""
        return self.shift is not None and self.shift.p <= policy.false_alarm_rate / TESTS

    def beside(self, columns: DriftReport, policy: DriftPolicy) -> DriftReport:
        """The report of both tests.

        Its `p` is that of both together: twice the smaller one, and at most the false-alarm rate just where the
        verdict is `drifted`.

        Args:
            columns: of the columns, judged by `for_columns`.
            policy: of both.
        """
        if self.shift is None or columns.p is None:
            return replace(columns, policy=policy)
        verdict = "drifted" if self.drifted(policy) else columns.verdict
        return replace(columns, verdict=verdict, p=min(1.0, TESTS * min(columns.p, self.shift.p)), policy=policy)

    def words(self, policy: DriftPolicy) -> str:
        """What it says, with the numbers."""
        if self.shift is None:
            return f"how columns go together was not looked at: {self.why_not}"
        low, high = self.shift.chance
        told = (
            f"AUC {self.shift.auc:.3f} of a classifier, by chance {low:.3f} to {high:.3f}; chance of such an AUC "
            f"without drift {self.shift.p:.2g}, bound {policy.false_alarm_rate / TESTS:g}"
        )
        if not self.drifted(policy):
            return f"how columns go together is as ever ({told})"
        return f"drifted in how columns go together, most of all {', '.join(self._telling)} ({told})"

    @property
    def _telling(self) -> list[str]:
        return [] if self.shift is None else list(self.shift.telling)[:SHOWN_COLUMNS]

    def to_json(self, columns: DriftReport, policy: DriftPolicy) -> dict[str, Any]:
        """As JSON.

        `threshold` is the bound of `p`, `columns_p` the p-value of the columns beside it; all are None where the
        classifier said nothing, and `words` say why.

        Args:
            columns: of the columns alone.
            policy: of both.
        """
        asked = self.shift is not None
        return {
            **(
                dict.fromkeys(("auc", "chance", "p", "rows", "telling")) if self.shift is None else self.shift.to_json()
            ),
            "threshold": policy.false_alarm_rate / TESTS if asked else None,
            "columns_p": columns.p if asked else None,
            "drifted": self.drifted(policy) if asked else None,
            "left_out": dict(self.left_out),
            "words": self.words(policy),
        }
