"""Connections that are given up after a time, also where the server takes what it is asked and never answers.

A frozen machine, a stopped process, a network that drops packets: the connection stands, and PostgreSQL's own limits
(`statement_timeout`, `connect_timeout`) don't help, as those are the server's, and of the time before. What ends the
waiting is the socket, shut down from a thread's timer.
"""

import socket
import threading
from contextlib import suppress
from dataclasses import dataclass
from os import dup
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import sqlalchemy as sa

_LINE, _TIMER, _IS_NEW, _GIVEN_UP = "line", "timer", "is new", "given up"
"""What is remembered of a connection, in SQLAlchemy's `info`."""


def give_up_after(engine: "sa.Engine", seconds: float) -> None:
    """Bound how long a connection of this engine is used at once, from its making or its check-out on.

    A connection of the pool that does not answer any more is replaced by a new one.

    Args:
        engine: of psycopg2, without `pool_pre_ping`, which waits without end.
        seconds: after them whoever waits gets a TimeoutError.
    """
    import sqlalchemy as sa

    bound = _Bound(seconds, engine.dialect.loaded_dbapi.Error)
    # Before SQLAlchemy's own, which asks a first connection about the server.
    sa.event.listen(engine, "connect", bound.connected, insert=True)
    for name, then in (("checkout", bound.checked_out), ("checkin", bound.checked_in), ("close", bound.closed)):
        sa.event.listen(engine, name, then)
    sa.event.listen(engine, "handle_error", bound.failed)


@dataclass(frozen=True)
class _Bound:
    """What SQLAlchemy tells of an engine's connections, and what is done about it.

    Args:
        seconds: how long one is used at once.
        error: what the driver raises.
    """

    seconds: float
    error: type[Exception]

    def connected(self, connection: Any, record: Any) -> None:
        """There is a new one."""
        record.info.update({_LINE: _Line(connection.fileno()), _IS_NEW: True})
        self._begin(record.info)

    def checked_out(self, connection: Any, record: Any, _: Any) -> None:
        """It is used from now on, if it answers."""
        import sqlalchemy as sa

        self._begin(record.info)
        if not record.info.pop(_IS_NEW, False) and not self._answers(connection):
            _stop(record.info)
            raise sa.exc.DisconnectionError("it does not answer any more")

    def checked_in(self, _: Any, record: Any) -> None:
        """It is used no more."""
        _stop(record.info)

    def closed(self, _: Any, record: Any) -> None:
        """It is about to be closed."""
        _stop(record.info)
        if (line := record.info.pop(_LINE, None)) is not None:
            line.close()

    def failed(self, context: "sa.engine.ExceptionContext") -> None:
        """Tell what the driver can't know: that it was we who ended it."""
        if context.connection is not None and context.connection.info.get(_GIVEN_UP):
            raise TimeoutError(f"it took what it was asked, and gave no answer within {self.seconds:g} s")

    def _begin(self, info: dict[Any, Any]) -> None:
        _stop(info)
        info[_TIMER] = timer = threading.Timer(self.seconds, _give_up, (info, info[_LINE]))
        timer.daemon = True
        timer.start()

    def _answers(self, connection: Any) -> bool:
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")
            connection.autocommit = False
        except self.error:
            return False
        return True


class _Line:
    """A hold of our own on a connection's socket, whose number stays this socket's after the connection is closed."""

    def __init__(self, fileno: int) -> None:
        self._socket = socket.socket(fileno=dup(fileno))

    def cut(self) -> None:
        """Whoever waits on the connection waits no more."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Let go."""
        self._socket.close()

    __del__ = close


def _give_up(info: dict[Any, Any], line: _Line) -> None:
    info[_GIVEN_UP] = True
    line.cut()


def _stop(info: dict[Any, Any]) -> None:
    if (timer := info.pop(_TIMER, None)) is not None:
        timer.cancel()
