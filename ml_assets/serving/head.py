"""What a request's head says to every protocol: its headers, and among them whose request it is and who is to answer.

A head is kept where clients send it again and again (see `at_once`), so that what it says is worked out once; ids that
differ from request to request are kept apart.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from ml_assets.core.errors import InputRefused

LONGEST_TOKEN = 200
UNIT, REQUEST_ID, VARIANT = b"x-unit-id", b"x-request-id", b"x-variant"
_OURS = frozenset((UNIT, REQUEST_ID, VARIANT))
IDS = frozenset((REQUEST_ID, b"traceparent"))


_IDS = re.compile(rb"(\r\n(?:x-request-id|traceparent): ?)([!-~]{1,200})(?=\r\n)", re.IGNORECASE)
"""Headers of their own of each request, with values that are surely whole: visible ASCII letters (RFC 9110, 5.5)."""


def apart(head: bytes) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
    """What stands around the values of ids in a head, and these values in their order.

    >>> apart(b"POST / HTTP/1.1\\r\\nX-Request-Id: 17\\r\\n\\r\\n")
    ((b'POST / HTTP/1.1', b'\\r\\nX-Request-Id: ', b'\\r\\n\\r\\n'), (b'17',))
    """
    parts = _IDS.split(head)
    values = tuple(parts[2::3])
    del parts[2::3]
    return tuple(parts), values


class Said(NamedTuple):
    """What our own headers say; None where they don't.

    Attributes:
        unit: what the arm is drawn by.
        request_id: the client's.
        variant: the arm that is to answer, for tests.
    """

    unit: str | None
    request_id: str | None
    variant: str | None


class Head:
    """The headers of a request.

    Args:
        headers: names in lower case, and values.
        query: what stands behind the path's question mark.
    """

    __slots__ = ("_found", "_is_plain", "_said", "headers", "query")

    def __init__(self, headers: Sequence[tuple[bytes, bytes]], query: bytes = b"") -> None:
        self.headers, self.query = headers, query
        self._found: dict[bytes, bytes] | None = None
        self._said: Said | None = None
        self._is_plain: bool | None = None

    def header(self, name: bytes) -> str | None:
        """A header's value, the first of several; `name` in lower case."""
        if self._found is None:
            self._found = dict(reversed(self.headers))
        value = self._found.get(name)
        return None if value is None else value.decode("latin-1")

    @property
    def ids(self) -> tuple[bytes, ...]:
        """Values of headers that every request may have its own of."""
        return tuple([value for name, value in self.headers if name in IDS])

    def with_ids(self, values: Sequence[bytes]) -> "Head":
        """This head with other values in place of `ids`."""
        told = iter(values)
        return Head([(n, next(told)) if n in IDS else (n, v) for n, v in self.headers], self.query)

    @property
    def is_plain(self) -> bool:
        """Whether the body is sent as it is, not compressed."""
        if self._is_plain is None:
            self._is_plain = self.header(b"content-encoding") in (None, "identity")
        return self._is_plain

    @property
    def said(self) -> Said:
        """What our own headers say, the first of each.

        Raises:
            InputRefused: one is not what it must be, see `token`.
        """
        if self._said is None:
            found: dict[bytes, str | None] = {}
            for name, value in self.headers:
                if name in _OURS:
                    told = token(name.decode(), value.decode("latin-1"))
                    found[name] = found.get(name) or told
            self._said = Said(found.get(UNIT), found.get(REQUEST_ID), found.get(VARIANT))
        return self._said


def token(name: str, text: str | None) -> str | None:
    """An id that goes into answers and logs as it is; None where it is empty.

    Raises:
        InputRefused: it is too long, or holds other than printable ASCII letters.
    """
    if text and (len(text) > LONGEST_TOKEN or not text.isprintable() or not text.isascii()):
        raise InputRefused(
            name, found=f"{len(text)} letters, {text[:40]!a}",
            expected=f"at most {LONGEST_TOKEN} printable ASCII letters", cure="shorten it, or leave it out",
        )  # fmt: skip
    return text or None
