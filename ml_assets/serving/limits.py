"""What one request may take of the server, and all together: bytes, rows, nesting. How long, is in `connections`."""

from collections.abc import Sequence
from dataclasses import dataclass

from ml_assets.core.errors import Busy, InputRefused, TooLarge


@dataclass(frozen=True)
class Limits:
    """What one request may take.

    Args:
        body_bytes: of its body, however it arrives.
        rows: to score.
        depth: of nested JSON.
        all_bodies_bytes: of the bodies of all requests that are being answered.
        rows_at_once: rows that are scored at once; more are scored beside other requests.
    """

    body_bytes: int = 10_000_000
    rows: int = 10_000
    depth: int = 16
    all_bodies_bytes: int = 200_000_000
    rows_at_once: int = 64


class Bodies:
    """Bytes of bodies that are in memory, of all requests together; those of one packet are not counted.

    Args:
        most: bytes.
    """

    def __init__(self, most: int) -> None:
        self.most, self.held = most, 0

    def take(self, size: int) -> None:
        """Count so many more.

        Raises:
            Busy: there would be too many.
        """
        if self.held + size > self.most:
            raise Busy(
                "body", found=f"{self.held:,} bytes of other bodies in memory", expected=f"at most {self.most:,}",
                cure="send it again later, or fewer rows at once",
            )  # fmt: skip
        self.held += size

    def give(self, size: int) -> None:
        """Count so many less."""
        self.held -= size


def require_depth(body: bytes, most: int) -> None:
    """Raise an InputRefused if JSON is nested more deeply than that; brackets in text count as well, so be generous.

    >>> require_depth(b'{"a": [1, 2]}', 2)
    """
    if body.count(b"[") + body.count(b"{") <= most:
        return
    depth = deepest = 0
    for sign in _brackets(body):
        depth += 1 if sign in b"[{" else -1
        deepest = max(deepest, depth)
    if deepest > most:
        raise InputRefused("body", found=f"JSON nested {deepest} deep", expected=f"at most {most}", cure="flatten it")


def _brackets(body: bytes) -> Sequence[int]:
    return bytes(body.translate(None, _NO_BRACKETS))


_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


def too_large(found: str, limits: Limits) -> TooLarge:
    """The error of a body that is longer than allowed."""
    return TooLarge(
        "body", found=found, expected=f"at most {limits.body_bytes:,} bytes", cure="send fewer rows at once"
    )
