"""Connections whose usual requests are answered in the callback that received them, by one write.

uvicorn gives every request a task, two messages and two writes, so that an application may take its time. A row is
scored before a task would have begun: what arrives whole, at a path that says so, is answered on the spot. Everything
else (a body in pieces, a pipeline, HTTP/1.0, a client that does not read, too many connections) goes uvicorn's way.
Time limits are in `connections`, paths in `app`.
"""

from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from ml_assets.serving.connections import PatientProtocol
from ml_assets.serving.http import Reply

AtOnce = Callable[[Sequence[tuple[bytes, bytes]], bytes], Reply | None]
"""Headers and body to the reply; None: it takes a while, ask again by way of ASGI."""

_STATUS_LINES = {s.value: f"HTTP/1.1 {s.value} {s.phrase}\r\n".encode() for s in HTTPStatus}


class AtOnceProtocol(PatientProtocol):
    """uvicorn's protocol with a short way for some paths, those of the application's attribute `at_once`."""

    _paths: Mapping[bytes, AtOnce]
    _answer: AtOnce | None = None
    _body = b""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._paths = getattr(self.app, "at_once", {})

    def data_received(self, data: bytes) -> None:
        """Answer what is whole; of the rest, begin uvicorn's way."""
        super().data_received(data)
        if self._answer is not None and not self.transport.is_closing():
            self._go_on()

    def on_message_begin(self) -> None:
        """Take a request, without what only an application needs to know of it."""
        self.url, self.headers, self.expect_100_continue = b"", [], False
        self.request_begins()

    def on_headers_complete(self) -> None:
        """Wait for the body, where it may be answered at once."""
        self.head_is_whole()
        found = self._paths.get(self.url)
        self._answer, self._body = found if found is not None and self._is_free() else None, b""
        if self._answer is None:
            self._begin()

    def on_body(self, body: bytes) -> None:
        """Keep it until the end."""
        if self._answer is None:
            super().on_body(body)
        elif self._body:
            self._go_on()
            super().on_body(body)
        else:
            self._body = body

    def on_message_complete(self) -> None:
        """Answer."""
        if self._answer is not None:
            reply = self._answer(self.headers, self._body)
            if reply is not None:
                self._answer, self._body = None, b""
                self._is_answered(reply)
                return
            self._go_on()
        super().on_message_complete()

    def _is_free(self) -> bool:
        """Whether nothing but this request is under way, and no answer waits for its client."""
        parser, most = self.parser, self.limit_concurrency
        return (
            (self.cycle is None or self.cycle.response_complete)
            and not self.pipeline
            and not self.flow.write_paused
            and not self.expect_100_continue
            and parser.get_method() == b"POST"
            and parser.get_http_version() == "1.1"
            and parser.should_keep_alive()
            and not parser.should_upgrade()
            and (most is None or max(len(self.connections), len(self.tasks)) < most)
        )

    def _go_on(self) -> None:
        """Begin a request as uvicorn does, with what is there of its body."""
        body, self._answer, self._body = self._body, None, b""
        self._begin()
        if body:
            super().on_body(body)

    def _begin(self) -> None:
        """Begin a request whose head is there as uvicorn does; its time goes on."""
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        HttpToolsProtocol.on_message_begin(self)
        self.url, self.expect_100_continue = url, expects
        self.headers += headers
        super().on_headers_complete()

    def _is_answered(self, reply: Reply) -> None:
        head = [
            _STATUS_LINES[reply.status], b"content-type: ", reply.content_type,
            b"\r\ncontent-length: %d\r\n" % len(reply.body),
        ]  # fmt: skip
        closes = False
        for name, value in (*self.server_state.default_headers, *reply.headers):
            head += (name, b": ", value, b"\r\n")
            closes = closes or (name, value) == (b"connection", b"close")
        self.transport.write(b"".join((*head, b"\r\n", reply.body)))
        self.server_state.total_requests += 1
        self.is_whole()
        if closes:
            self.transport.close()
        else:
            self.is_idle()
