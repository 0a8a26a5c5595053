"""Requests that arrive in one round of the event loop: scored together, answered in their order, written at its end.

A client that sleeps is woken once for all its answers, which takes as long as a third of a request, and the trees of a
model are gone through by one call. Nobody waits for a round to fill: it is what the system had at hand, and where that
is several, what came while they were read. Who receives requests and writes answers is in `at_once`, how a request is
read and its answer told, in `app` and `protocols`.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from ml_assets.serving.busy_polling import BusyPolling, Soon
from ml_assets.serving.head import Head, apart
from ml_assets.serving.http import Reply
from ml_assets.serving.scoring import Asked, Tried, tried_together

MOST_OF_A_ROUND = 32
"""Requests that wait for one another; of more, the first would wait for longer than a client takes to wake up."""
HEADS_KEPT = 512
"""Heads that are remembered; others are parsed each time."""


class Begun(NamedTuple):
    """A request that is there as a whole, as far as it gets without a score.

    Attributes:
        asked: what is to be scored; None: nothing.
        end: from what became of that, or None, to the reply; never raises.
    """

    asked: Asked | None
    end: Callable[[Tried | None], Reply]


AtOnce = Callable[[Head, bytes], Begun | None]
"""Head and body to a request that is begun; None: it takes a while, ask again by way of ASGI."""


class Connection(Protocol):
    """Whose requests they are."""

    def is_answered(self, reply: Reply) -> None:
        """Take a reply, to be written by `write`."""

    def write(self) -> None:
        """Write what was taken."""


class Read(NamedTuple):
    """What a head says that was read before, and the length of the body behind it."""

    answer: AtOnce
    head: Head
    length: int


class Rounds:
    """What the connections of an application share.

    Attributes:
        paths: path -> what answers there at once.
        polling: is told of whatever arrives.
    """

    def __init__(self) -> None:
        self.paths: dict[bytes, AtOnce] = {}
        self.polling = BusyPolling()
        self._heads: dict[bytes | tuple[bytes, ...], Read] = {}
        self._waiting: list[tuple[Connection, Begun]] = []
        self._soon: Soon
        self._looked_again = False

    def read_before(self, head: bytes) -> Read | None:
        """What a head says, its empty line included, if it was read before, be it with other ids."""
        read = self._heads.get(head)
        if read is not None:
            return read
        around, ids = apart(head)
        if ids and (read := self._heads.get(around)) is not None:
            return read._replace(head=read.head.with_ids(ids))
        return None

    def remember(self, head: bytes, read: Read) -> None:
        """Keep what a head says, in place of the oldest where there are many."""
        if len(self._heads) >= HEADS_KEPT:
            del self._heads[next(iter(self._heads))]
        around, ids = apart(head)
        # Where the parser has read other ids than stand there, it knows something of the head that `apart` does not.
        self._heads[around if ids and ids == read.head.ids else head] = read

    def add(self, connection: Connection, begun: Begun, soon: Soon, *, alone: bool) -> None:
        """Answer a request at the end of this round.

        Args:
            connection: whose; it adds no other one before this one is answered.
            begun: the request.
            soon: calls a function when all that has arrived by now is received.
            alone: whether nobody else is there.
        """
        waiting = self._waiting
        if not waiting:
            self._soon = soon
            if not alone:
                soon(self._all_have_come)
        waiting.append((connection, begun))
        if alone or len(waiting) >= MOST_OF_A_ROUND:
            self.end()

    def _all_have_come(self) -> None:
        """End the round; where several have come, others often came while they were read."""
        if len(self._waiting) > 1 and not self._looked_again:
            self._looked_again = True
            self._soon(self._all_have_come)
        else:
            self.end()

    def end(self) -> None:
        """Answer what waits, in its order, and write it."""
        waiting, self._waiting, self._looked_again = self._waiting, [], False
        for (connection, _), reply in zip(waiting, replies([begun for _, begun in waiting]), strict=True):
            connection.is_answered(reply)
        for connection, _ in waiting:
            connection.write()
        if len(waiting) == 1:
            [(connection, begun)] = waiting
            # What is scored beside gets what this process leaves of a core.
            if begun.asked is not None and begun.asked.picture.is_alone:
                self.polling.answered(connection, self._soon)


def replies(requests: Sequence[Begun]) -> list[Reply]:
    """The reply to each of some requests."""
    scored = iter(tried_together([one.asked for one in requests if one.asked is not None]))
    return [one.end(None if one.asked is None else next(scored)) for one in requests]
