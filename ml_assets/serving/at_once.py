"""Connections whose usual requests are answered without uvicorn's ways, once a round of the event loop.

uvicorn gives every request a task, two messages and two writes, so that an application may take its time. What arrives
whole, or as a head and then a body, at a path that says so, is read in the callback that received it, answered at the
end of the round (see `rounds`), and written by one write. A head that was read before, with whatever ids, is not parsed
again where the body comes with it. Everything else (a body in pieces, a pipeline, HTTP/1.0, a client that does not
read, too many connections) goes uvicorn's way. Time limits are in `connections`, paths in `app`.
"""

from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from ml_assets.serving.connections import PatientProtocol
from ml_assets.serving.head import Head
from ml_assets.serving.http import Reply
from ml_assets.serving.rounds import AtOnce, Begun, Read, Rounds

LONGEST_KEPT = 2_048
"""Bytes of a head that is remembered; longer ones are parsed each time."""

_STATUS_LINES = {s.value: f"HTTP/1.1 {s.value} {s.phrase}\r\n".encode() for s in HTTPStatus}
_END = b"\r\n\r\n"


class AtOnceProtocol(PatientProtocol):
    """uvicorn's protocol with a short way for some paths, that of the application's attribute `at_once`."""

    _rounds: Rounds
    _waits = False
    _unwritten: bytes | None = None
    _closes = False
    _answer: AtOnce | None = None
    _body = b""
    _raw = b""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._rounds = getattr(self.app, "at_once", None) or Rounds()

    def data_received(self, data: bytes) -> None:
        """Answer what is whole; of the rest, begin uvicorn's way."""
        self._rounds.polling.heard(self)
        if self._waits:
            self._rounds.end()
        between = self.is_between_requests
        if between:
            end = data.find(_END) + len(_END)
            read = self._rounds.read_before(data[:end])
            if read is not None and len(data) == end + read.length and self._is_free():
                begun = read.answer(read.head, data[end:])
                if begun is not None:
                    self._unset_keepalive_if_required()
                    self._wait(begun)
                    return
        self._raw = data if between else self._raw + data if self._answer is not None else b""
        super().data_received(data)
        # Many clients send a head, and then the whole body; one that comes in more pieces may take its time.
        if self._body and self._answer is not None and not self.transport.is_closing():
            self._go_on()

    def shutdown(self) -> None:
        """End when what is answered is out, and what has begun to arrive is answered."""
        self._rounds.end()
        if self._answer is not None:
            self._go_on()
        super().shutdown()

    def on_message_begin(self) -> None:
        """Take a request, without what only an application needs to know of it."""
        if self._waits:
            self._rounds.end()
        self.url, self.headers, self.expect_100_continue = b"", [], False
        self.request_begins()

    def on_headers_complete(self) -> None:
        """Wait for the body, where it may be answered at once."""
        self.head_is_whole()
        found = self._rounds.paths.get(self.url)
        self._answer, self._body = found if found is not None and self._may_be_answered_at_once() else None, b""
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
            head = Head(self.headers)
            begun = self._answer(head, self._body)
            if begun is not None:
                self._remember(self._answer, head, len(self._body))
                self._answer, self._body = None, b""
                self._wait(begun)
                return
            self._go_on()
        super().on_message_complete()

    def _may_be_answered_at_once(self) -> bool:
        parser = self.parser
        return (
            self._is_free()
            and not self.expect_100_continue
            and parser.get_method() == b"POST"
            and parser.get_http_version() == "1.1"
            and parser.should_keep_alive()
            and not parser.should_upgrade()
        )

    def _is_free(self) -> bool:
        """Whether nothing but this request is under way, and no answer waits for its client to read."""
        most = self.limit_concurrency
        return (
            (self.cycle is None or self.cycle.response_complete)
            and not self.pipeline
            and not self.flow.write_paused
            and (most is None or max(len(self.connections), len(self.tasks)) < most)
        )

    def _remember(self, answer: AtOnce, head: Head, length: int) -> None:
        """Keep the head of a request that came alone, in one piece, and whose length it says itself."""
        raw, self._raw = self._raw, b""
        end = len(raw) - length
        if (
            0 < end <= LONGEST_KEPT
            and raw.find(_END) + len(_END) == end
            and head.header(b"transfer-encoding") is None
            and head.header(b"content-length") == str(length)
        ):
            self._rounds.remember(raw[:end], Read(answer, head, length))

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

    def _wait(self, begun: Begun) -> None:
        """Be answered at the end of this round; the request is there as a whole."""
        self.is_whole()
        self._waits = True
        self._rounds.add(self, begun, self.loop.call_soon, alone=len(self.connections) <= 1)

    def is_answered(self, reply: Reply) -> None:
        """Take the reply to the request that waits."""
        head = [
            _STATUS_LINES[reply.status], b"content-type: ", reply.content_type,
            b"\r\ncontent-length: %d\r\n" % len(reply.body),
        ]  # fmt: skip
        closes = False
        for name, value in (*self.server_state.default_headers, *reply.headers):
            head += (name, b": ", value, b"\r\n")
            closes = closes or (name, value) == (b"connection", b"close")
        self._unwritten, self._closes, self._waits = b"".join((*head, b"\r\n", reply.body)), closes, False
        self.server_state.total_requests += 1
        self.is_idle()

    def write(self) -> None:
        """Write the reply, if there still is a client."""
        answer, self._unwritten = self._unwritten, None
        if answer is None or self.transport.is_closing():
            return
        self.transport.write(answer)
        if self._closes:
            self.transport.close()

    def _refuse(self, status: int, found: str, expected: str) -> None:
        self._rounds.end()
        super()._refuse(status, found, expected)
