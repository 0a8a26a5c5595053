"""What every protocol says of a request that is not of its form, and how a JSON body is read.

What a model can't score although it is well-formed is refused by the data plane; how a refusal looks on the wire is
each protocol's own.
"""

import json
from collections.abc import Iterable
from typing import Any, TypeVar

import msgspec

from ml_assets.core.errors import InputRefused, RequestRefused

T = TypeVar("T")

_CURE = "send a request of this form"
_SHOWN, _LONGEST = 10, 40
_FORM = "the protocol's JSON"


class UnsupportedMediaType(RequestRefused):
    """A body in a form that the protocol does not read."""

    status = 415


def malformed(thing: str, found: str, expected: str) -> InputRefused:
    """The error of a request, or of a part of it, that is not of its protocol's form."""
    return InputRefused(thing, found=found, expected=expected, cure=_CURE)


def shown(names: Iterable[str]) -> str:
    """Names that a client sent, for an error: not all of very many, and not all of a very long one.

    >>> shown(["miles", "x" * 99, *map(str, range(99))])
    'miles, xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx..., 0, 1, 2, 3, 4, 5, 6, 7 and 91 more'
    """
    listed = list(names)
    told = [n if len(n) <= _LONGEST else f"{n[: _LONGEST - 3]}..." for n in listed[:_SHOWN]]
    return ", ".join(told) + (f" and {len(listed) - _SHOWN} more" if len(listed) > _SHOWN else "")


def decode(decoder: "msgspec.json.Decoder[T]", body: bytes | memoryview) -> T:
    """A JSON body as the decoder's type; NaN, which Python's clients write although JSON has none, is null.

    Raises:
        InputRefused: it is no JSON, or not of the type; says where.
    """
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise malformed("body", str(error), _FORM) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        strict = str(error)
    except RecursionError:
        raise malformed("body", "JSON nested too deeply", _FORM) from None
    if b"NaN" not in bytes(body):
        raise malformed("body", strict, _FORM)
    return _lenient(decoder, bytes(body))


def _lenient(decoder: "msgspec.json.Decoder[T]", body: bytes) -> T:
    try:
        read: Any = json.loads(body, parse_constant=_null)
    except (ValueError, RecursionError) as error:
        raise malformed("body", str(error), _FORM) from None
    converted: T = as_type(read, decoder.type)
    return converted


def as_type(read: Any, kind: type[T]) -> T:
    """What was read from JSON as a type of msgspec's.

    Raises:
        InputRefused: it is not of the type; says where.
    """
    try:
        return msgspec.convert(read, kind)
    except msgspec.ValidationError as error:
        raise malformed("body", str(error), _FORM) from None


def _null(constant: str) -> None:
    if constant != "NaN":
        raise ValueError(f"{constant}: no number that a model takes")
