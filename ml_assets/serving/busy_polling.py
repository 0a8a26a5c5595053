"""Busy polling: a client that asks again as soon as it is answered is looked out for, not slept until.

A core that goes to sleep takes about as long to wake up as a model takes to answer, and the work of sleeping is as much
as that of looking. It is done for one client only that takes turns with the server, none of which was late; who looks
in vain has lost `LOOK_SECONDS`, and sleeps for the next turns. Who wants the core meanwhile, such as a model that is
scored beside, is the caller's to know.
"""

import time
from collections.abc import Callable

ENOUGH_TURNS = 8
"""So many in a row are no chance: of requests that come at random, at half of this pace, one in 1,700."""
LOOK_SECONDS = 200e-6
"""Longer than a client on the same machine or in the same rack takes to ask again; shorter than anybody notices."""

Soon = Callable[[Callable[[], None]], object]


class BusyPolling:
    """Looks out for the next request of whoever takes turns with an event loop.

    Args:
        now: a clock, in seconds.
    """

    def __init__(self, now: Callable[[], float] = time.perf_counter) -> None:
        self._now = now
        self._client: object = None
        self._until, self._turns = 0.0, 0
        self._looking = False
        self._soon: Soon

    def heard(self, client: object) -> None:
        """Somebody sends something."""
        if client is self._client and self._now() <= self._until:
            self._turns += 1
        else:
            self._turns = 0
        self._client = None

    def answered(self, client: object, soon: Soon) -> None:
        """Whoever was heard last is answered, and nobody else waits.

        Args:
            client: who.
            soon: calls a function when the loop has looked once for whatever has arrived.
        """
        self._client, self._soon, self._until = client, soon, self._now() + LOOK_SECONDS
        if not self._looking:
            self._look()

    def _look(self) -> None:
        """Have the loop look once more, if somebody takes turns and is not late."""
        self._looking = self._client is not None and self._turns >= ENOUGH_TURNS and self._now() <= self._until
        if self._looking:
            self._soon(self._look)
