"""A request's body is read whole, whether it is there already or comes in pieces, and in bounds."""

import asyncio

import pytest

from ml_assets.core.errors import TooLarge, TooSlow
from ml_assets.serving.head import Head
from ml_assets.serving.http import Call
from ml_assets.serving.limits import Bodies, Limits

LIMITS = Limits(body_bytes=10)


def read(receive) -> bytes:
    return asyncio.run(Call(Head([]), receive, None, LIMITS, {}, Bodies(100)).body())


def receiving(*pieces: bytes, wait: float | None = None):
    """ASGI's `receive` of a body in pieces, each after a wait; None: it is there already."""
    left = list(pieces)

    async def receive():
        if wait is not None:
            await asyncio.sleep(wait)
        return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

    return receive


@pytest.mark.parametrize("wait", [None, 0, 0.001])
def test_pieces_are_joined(wait):
    assert read(receiving(b"abc", wait=wait)) == b"abc"
    assert read(receiving(b"abc", b"", b"de", wait=wait)) == b"abcde"


@pytest.mark.parametrize("wait", [None, 0])
def test_a_client_that_goes_away_is_told_from_one_that_is_done(wait):
    async def receive():
        if wait is not None:
            await asyncio.sleep(wait)
        return {"type": "http.disconnect"}

    with pytest.raises(TooSlow):
        read(receive)


@pytest.mark.parametrize("wait", [None, 0])
def test_what_receiving_raises_is_raised(wait):
    async def receive():
        if wait is not None:
            await asyncio.sleep(wait)
        raise ConnectionError("gone")

    with pytest.raises(ConnectionError, match="gone"):
        read(receive)


@pytest.mark.parametrize("wait", [None, 0])
def test_too_long_a_body_is_refused(wait):
    with pytest.raises(TooLarge):
        read(receiving(b"x" * 6, b"x" * 6, wait=wait))
