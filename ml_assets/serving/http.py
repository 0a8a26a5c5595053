"""What all protocols have in common on HTTP: the request with its limits, the reply, and how a refusal is told.

A protocol's handler is given a `Call` and gives a `Reply`; it neither knows ASGI nor models. Paths are put together
in `app`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from types import coroutine
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from ml_assets.core.errors import InputRefused, RequestRefused, TooLarge, TooSlow
from ml_assets.core.models.row_values import Columns
from ml_assets.serving.head import Head, token
from ml_assets.serving.limits import Bodies, Limits, require_depth, too_large
from ml_assets.serving.scoring import tried

if TYPE_CHECKING:
    from ml_assets.serving.data_plane import Answer, DataPlane
    from ml_assets.serving.scoring import Asked, Keys, Tried

JSON = b"application/json"
Headers = tuple[tuple[bytes, bytes], ...]


class Reply(NamedTuple):
    """What is sent back.

    Attributes:
        body: all of it.
        status: HTTP's.
        content_type: of the body.
        headers: further ones; `answered` gives those of an answer.
    """

    body: bytes
    status: int = 200
    content_type: bytes = JSON
    headers: Headers = ()


def answered(answer: "Answer", body: bytes, content_type: bytes = JSON) -> Reply:
    """A reply with the headers that every answer carries."""
    headers = (
        (b"x-request-id", answer.request_id.encode()),
        (b"x-model-version", answer.version.encode()),
        (b"x-variant", answer.variant.encode()),
    )
    return Reply(body, 200, content_type, headers)


class NotAtOnce(Exception):
    """A request takes too long to be answered at once: it is to be asked again as a task of its own."""


class Call:
    """One HTTP request, as a protocol's handler sees it.

    Args:
        head: its headers and query.
        receive: ASGI's.
        plane: what answers.
        limits: what it may take.
        path: the values of the path's parameters.
        bodies: what all requests hold.
        whole: its body, where that is there and nothing may be waited for, see `at_once`; None: it is received.

    Attributes:
        held: bytes of its body that are counted there; whoever made the call gives them back.
    """

    __slots__ = ("_bodies", "_receive", "_whole", "head", "held", "limits", "path", "plane")

    def __init__(
        self, head: Head, receive: Callable[[], Awaitable[Any]], plane: "DataPlane", limits: Limits,
        path: Mapping[str, str], bodies: Bodies, whole: bytes | None = None,
    ) -> None:  # fmt: skip
        self.head, self._receive, self.plane, self.limits, self.path = head, receive, plane, limits, path
        self._bodies, self.held, self._whole = bodies, 0, whole

    def header(self, name: bytes) -> str | None:
        """A header's value, the first of several; `name` in lower case."""
        return self.head.header(name)

    async def body(self) -> bytes:
        """The whole body.

        Raises:
            TooLarge: it is longer than allowed, as soon as that is known.
            TooSlow: it did not arrive in time, see `connections`, or the client went away.
            Busy: other requests hold too much.
            InputRefused: it is compressed.
        """
        limits, whole = self.limits, self._whole
        if not self.head.is_plain:
            raise InputRefused(
                "body", found=f"content-encoding {self.header(b'content-encoding')!r}", expected="none",
                cure="send the body as it is, not compressed",
            )  # fmt: skip
        if whole is not None and len(whole) <= limits.body_bytes:
            return whole
        declared = self.header(b"content-length")
        if declared is not None and declared.isdigit() and int(declared) > limits.body_bytes:
            raise too_large(f"{int(declared):,} bytes", limits)
        message = await self._received() if whole is None else {"body": whole}
        body: bytes = message.get("body", b"")
        if not message.get("more_body"):
            if len(body) > limits.body_bytes:
                raise too_large(f"more than {limits.body_bytes:,} bytes", limits)
            return body
        parts, size = [body], len(body)
        self._hold(size)
        while message.get("more_body"):
            if size > limits.body_bytes:
                raise too_large(f"more than {limits.body_bytes:,} bytes", limits)
            message = await self._received()
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            self._hold(len(parts[-1]))
        if size > limits.body_bytes:
            raise too_large(f"more than {limits.body_bytes:,} bytes", limits)
        return b"".join(parts)

    def _hold(self, size: int) -> None:
        self._bodies.take(size)
        self.held += size

    async def _received(self) -> Any:
        message = await self._receive()
        if message["type"] != "http.request":
            raise TooSlow(
                "body",
                found="a body that stopped before its end",
                expected="all of it, in time",
                cure="send it in one go, or fewer rows at once",
            )
        return message

    async def json(self, decoder: msgspec.json.Decoder[Any] | None = None) -> Any:
        """The body, read as JSON.

        Args:
            decoder: of a type; None: of anything.

        Raises:
            InputRefused: it is no JSON, nested too deeply, or not of the decoder's type.
            TooLarge, TooSlow: see `body`.
        """
        body = await self.body()
        require_depth(body, self.limits.depth)
        try:
            return (decoder or _ANY).decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as e:
            raise InputRefused(
                "body", found=f"{e}"[:300], expected="JSON as the protocol describes it, without NaN or Infinity",
                cure="correct the body; a missing value is null",
            ) from e  # fmt: skip

    def require_time(self) -> None:
        """Raise a NotAtOnce where nothing may be waited for; to be called before anything is done."""
        if self._whole is not None:
            raise NotAtOnce

    async def infer(
        self, pipeline: str, columns: Columns, rows: int, *, version: str | None = None, unit: str | None = None,
        request_id: str | None = None, features_at: float | None = None, keys: "Keys | None" = None,
        events_us: Sequence[int | None] | None = None,
    ) -> "Answer":  # fmt: skip
        """The answer of the data plane; see `infer`.

        Raises:
            NotAtOnce: the rows are scored in a thread, and nothing may be waited for.
        """
        begin = (
            self.plane, self.limits, self.head, pipeline, columns, rows, version, unit, request_id, features_at, keys,
            events_us,
        )  # fmt: skip
        if rows > self.limits.rows_at_once:
            self.require_time()
            return await asyncio.to_thread(infer, *begin)
        if self._whole is None:
            return infer(*begin)
        asked = begun(*begin)
        return self.plane.end(asked, await scored_in_a_round(asked))


@coroutine
def scored_in_a_round(asked: "Asked") -> "Generator[Asked, Tried, Tried]":
    """What became of a request, which is scored by whoever drives this coroutine: see `rounds`."""
    return (yield asked)


def begun(
    plane: "DataPlane", limits: Limits, head: Head, pipeline: str, columns: Columns, rows: int,
    version: str | None = None, unit: str | None = None, request_id: str | None = None,
    features_at: float | None = None, keys: "Keys | None" = None, events_us: Sequence[int | None] | None = None,
) -> "Asked":  # fmt: skip
    """`DataPlane.begin` with unit, request id and variant from the headers, and within the limits.

    Args:
        plane: what answers.
        limits: what one request may take.
        head: of the request.
        pipeline, columns, rows, version, features_at, keys, events_us: as in `DataPlane.begin`.
        unit, request_id: as the protocol itself says them, where it does; else the headers' count.

    Raises:
        TooLarge: more rows than allowed.
        InputRefused: no row; a header or an id is not what it must be; and as `DataPlane.begin`.
        NotServed, NotReady: as `DataPlane.begin`.
    """
    if not 0 < rows <= limits.rows:
        kind, cure = (TooLarge, "send them in several requests") if rows else (InputRefused, "send at least one row")
        raise kind("rows to score", found=f"{rows:,}", expected=f"1 to {limits.rows:,} in one request", cure=cure)
    said = head.said
    return plane.begin(
        pipeline, columns, rows, version=version, unit=token("unit", unit) or said.unit,
        request_id=token("id", request_id) or said.request_id, variant=said.variant, features_at=features_at,
        keys=keys, events_us=events_us,
    )  # fmt: skip


def infer(plane: "DataPlane", *begin: Any, **more: Any) -> "Answer":
    """The answer to what `begun` begins, of the same arguments; raises what that and `DataPlane.end` do."""
    asked = begun(plane, *begin, **more)
    return plane.end(asked, tried(asked.model, asked.columns, asked.rows))


Handle = Callable[[Call], Awaitable[Reply]]
Refusal = Callable[[RequestRefused], bytes]


def refusal(error: RequestRefused) -> bytes:
    """A refusal as JSON: `error` in words, and its parts."""
    return msgspec.json.encode(
        {
            "error": str(error),
            "thing": error.thing,
            "found": error.found,
            "expected": error.expected,
            "cure": error.cure,
        }
    )


class Exposed(NamedTuple):
    """A path that a protocol answers.

    Attributes:
        method: `GET` or `POST`.
        path: as Starlette writes them: `/v2/models/{model}/infer`.
        handle: what answers.
        protocol: its name in metrics.
        told: how a refusal is told, where a protocol has a form of its own.
        at_once: whether the handler waits for nothing but its body and `Call.infer`.
    """

    method: str
    path: str
    handle: Handle
    protocol: str
    told: Refusal = refusal
    at_once: bool = False


_ANY: msgspec.json.Decoder[Any] = msgspec.json.Decoder()
