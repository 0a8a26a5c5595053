"""When a server takes the traffic back from a candidate at once: a coarse rule for what can't wait for a test.

Which requests it saw, and what it does then, is in `ml_assets.serving.breaker`; the tests are in `guardrails`.
"""

from dataclasses import dataclass
from math import ceil


@dataclass(frozen=True)
class Breaker:
    """When a server takes the traffic back at once.

    Args:
        window: last requests of the candidate that are looked at.
        errors: share of the window that failed.
        slow: how many times the champion's 99th percentile of latency is slow; half of the window may be.
    """

    window: int = 50
    errors: float = 0.2
    slow: float = 5.0

    def failures(self) -> int:
        """How many failures in a window are too many."""
        return max(1, ceil(self.errors * self.window))

    def why(self, failed: int, slow: int, champion_failed: float) -> str | None:
        """Why to go back, in words; None where there is no reason.

        Args:
            failed, slow: of the candidate's last `window` requests.
            champion_failed: share of the champion's last requests that failed: what hits both is no reason.
        """
        if failed >= self.failures() and failed / self.window > 2 * champion_failed:
            return f"{failed} of the last {self.window} requests failed, {champion_failed:.0%} of the champion's"
        if slow >= ceil(self.window / 2):
            return f"{slow} of the last {self.window} requests took over {self.slow:g} times the champion's p99"
        return None
