"""Who answers a request: arms with weights in basis points, and the sticky assignment of a unit to one of them.

Which arms there are follows from the ledger, see `core.rollout.routes`; what an arm does with a request is served in
`ml_assets.serving`. Hashes of columns of rows are in `stable_hash`.
"""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from math import log

from ml_assets.core.errors import RoutingError
from ml_assets.core.rollout.breaker import Breaker

WHOLE = 10_000
"""All of the traffic, in basis points."""
MOST_ARMS = 8
CHAMPION, CANDIDATE = "champion", "candidate"
_BYTES = 8
_HALF, _RANGE = 0.5, 2.0**64


@dataclass(frozen=True)
class Arm:
    """A model that answers a share of the requests.

    Args:
        variant: `champion`, `candidate`: the name in answers, metrics and logs.
        bundle: its SHA-256.
        weight: share of the units that it answers, in basis points.
    """

    variant: str
    bundle: str
    weight: int


@dataclass(frozen=True)
class Routing:
    """Who answers, who is scored beside, who is kept warm.

    Args:
        champion: SHA-256 of the bundle that answers by default.
        arms: the first is the champion's; their weights sum to 10,000.
        salt: the rollout's id, so that each rollout draws its units anew.
        shadows: bundles that are scored beside, on every request that they don't answer themselves.
        standby: bundles that are kept warm and do nothing: the previous champion.
        breaker: what makes a server take the traffic back from the candidate at once; None: nothing.

    Raises:
        RoutingError: the arms are none that could share the traffic; lists all that is wrong.
    """

    champion: str
    arms: tuple[Arm, ...]
    salt: str = ""
    shadows: tuple[str, ...] = ()
    standby: tuple[str, ...] = ()
    breaker: Breaker | None = None

    def __post_init__(self) -> None:
        total, names = sum(a.weight for a in self.arms), [a.variant for a in self.arms]
        wrong = [f"arm {a.variant}: weight {a.weight}" for a in self.arms if not 0 <= a.weight <= WHOLE]
        wrong += [f"weights that sum to {total}"] if total != WHOLE else []
        wrong += [f"arm {n}: {names.count(n)} times" for n in dict.fromkeys(names) if names.count(n) > 1]
        wrong += [f"{len(names)} arms"] if len(names) > MOST_ARMS else []
        if not self.arms or (self.arms[0].variant, self.arms[0].bundle) != (CHAMPION, self.champion):
            wrong.append(f"a first arm {names[0] if names else 'none'} that is not the champion's")
        if wrong:
            raise RoutingError(
                f"routing of champion {self.champion[:12]}",
                found=wrong,
                expected=f"1 to {MOST_ARMS} arms, the champion's first, with weights from 0 that sum to {WHOLE}",
                cure="correct the weights in basis points: 500 is 5 %",
            )

    @property
    def bundles(self) -> tuple[str, ...]:
        """Everything that is to be loaded, the champion first, each once."""
        return tuple(dict.fromkeys([self.champion, *(a.bundle for a in self.arms), *self.shadows, *self.standby]))

    def arm(self, variant: str) -> Arm | None:
        """An arm by its name, whatever its weight; None where there is none."""
        return next((a for a in self.arms if a.variant == variant), None)

    @cached_property
    def _taking(self) -> tuple[tuple[int, Arm], ...]:
        return tuple((i, a) for i, a in enumerate(self.arms) if a.weight)

    def assign(self, unit: str) -> Arm:
        """The arm of a unit: the same for the same unit, salt and weights, on any machine.

        Weighted rendezvous hashing (Thaler and Ravishankar 1998; with weights: Schindelhauer and Schomaker 2005):
        each arm draws an exponential with its weight as the rate from 64 bits of BLAKE2b, the shortest wins, which
        is arm `i` with probability weight / 10,000. When an arm's weight rises and no other's does, no unit leaves it.
        """
        taking = self._taking
        if len(taking) == 1:
            return taking[0][1]
        text = f"{len(self.salt)}:{self.salt}{unit}".encode("utf-8", "surrogatepass")
        bits = hashlib.blake2b(text, digest_size=_BYTES * MOST_ARMS).digest()
        return min(
            taking,
            key=lambda t: (
                -log((int.from_bytes(bits[_BYTES * t[0] : _BYTES * (t[0] + 1)], "big") + _HALF) / _RANGE) / t[1].weight
            ),
        )[1]


def alone(champion: str, standby: tuple[str, ...] = ()) -> Routing:
    """The routing of a champion that answers everything."""
    return Routing(champion, (Arm(CHAMPION, champion, WHOLE),), standby=standby)
