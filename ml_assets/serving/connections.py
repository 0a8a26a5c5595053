"""Connections of slow and hostile clients: requests, and answers that nobody reads, have a time limit, heads a size.

uvicorn bounds idle connections by itself, but not how long a request takes to arrive, how large its head is, or how
long an answer waits for a client that does not read it. How large a body may be is in `http`.
"""

import asyncio
from typing import Any

import msgspec
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

REQUEST_SECONDS = 15.0
HEAD_BYTES = 65_536
UNREAD_SECONDS = 20.0


class PatientProtocol(HttpToolsProtocol):
    """uvicorn's protocol with these limits."""

    request_seconds, head_bytes, unread_seconds = REQUEST_SECONDS, HEAD_BYTES, UNREAD_SECONDS
    _clock: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None
    _whole_by: float | None = None
    _idle_until: float | None = None
    _in_head, _head_size = True, 0
    is_between_requests = True
    """Whether no byte of a request is there that has not arrived as a whole."""

    def connection_made(self, transport: Any) -> None:
        """Give the first request its time."""
        super().connection_made(transport)
        self._whole_by = self.loop.time() + self.request_seconds
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clocks."""
        for timer in (self._clock, self._unread):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse, and refuse a head that grows beyond its size."""
        super().data_received(data)
        if self._in_head and not self.transport.is_closing():
            self._head_size += len(data)
            if self._head_size > self.head_bytes:
                self._refuse(431, f"a head of more than {self.head_bytes:,} bytes", "a shorter one")

    def on_message_begin(self) -> None:
        """Give a further request its time."""
        super().on_message_begin()
        self.request_begins()

    def on_headers_complete(self) -> None:
        """The head is there."""
        self.head_is_whole()
        super().on_headers_complete()

    def head_is_whole(self) -> None:
        """A request's head is there; what follows is not counted to its size."""
        self._in_head = False

    def on_message_complete(self) -> None:
        """The request is there."""
        self.is_whole()
        super().on_message_complete()

    def request_begins(self) -> None:
        """A request's first byte is there."""
        self._in_head, self._head_size, self._idle_until, self.is_between_requests = True, 0, None, False
        self._whole_by = self.loop.time() + self.request_seconds

    def is_whole(self) -> None:
        """A request arrived in time."""
        self._whole_by, self.is_between_requests = None, True

    def is_idle(self) -> None:
        """The connection waits for a further request, for as long as uvicorn lets it."""
        self._idle_until = self.loop.time() + self.timeout_keep_alive

    def pause_writing(self) -> None:
        """The client does not read: it is given some time to."""
        super().pause_writing()
        self._unread = self.loop.call_later(self.unread_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """The client reads."""
        if self._unread is not None:
            self._unread.cancel()
        super().resume_writing()

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection; one whose client never read its answer would not close by itself."""
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            super().timeout_keep_alive_handler()

    def send_400_response(self, msg: str) -> None:
        """Say what is no HTTP."""
        self._refuse(400, msg, "a request as RFC 9112 has it")

    def _look(self) -> None:
        """Look whether a time is over; a timer for each request would cost more than these looks."""
        now = self.loop.time()
        if self._whole_by is not None and now >= self._whole_by:
            self._whole_by = None
            self._too_late()
        elif self._idle_until is not None and now >= self._idle_until:
            self._idle_until = None
            self.timeout_keep_alive_handler()
        due = min(self._whole_by or now + self.request_seconds, self._idle_until or now + self.request_seconds)
        self._clock = self.loop.call_at(min(due, now + self.request_seconds), self._look)

    def _too_late(self) -> None:
        if self.transport.is_closing():
            return
        if self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete:
            self.transport.abort()
        else:
            self._refuse(408, f"no whole request within {self.request_seconds:g} s", "all of it at once")

    def _refuse(self, status: int, found: str, expected: str) -> None:
        phrase = {400: b"Bad Request", 408: b"Request Timeout", 431: b"Request Header Fields Too Large"}[status]
        told = {
            "error": f"request: {found}; expected: {expected}", "thing": "request", "found": [found],
            "expected": expected, "cure": "correct the client",
        }  # fmt: skip
        body = msgspec.json.encode(told)
        self.transport.write(
            b"HTTP/1.1 %d %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%b"
            % (status, phrase, len(body), body)
        )
        self.transport.close()
