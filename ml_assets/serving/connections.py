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
    _timer: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None
    _in_head, _head_size = True, 0

    def connection_made(self, transport: Any) -> None:
        """Give the first request its time."""
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clocks."""
        for timer in (self._timer, self._unread):
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
        self._in_head, self._head_size = True, 0
        self._wait()

    def on_headers_complete(self) -> None:
        """The head is there."""
        self._in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The request is there."""
        if self._timer is not None:
            self._timer.cancel()
        super().on_message_complete()

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

    def _wait(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.loop.call_later(self.request_seconds, self._too_late)

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
