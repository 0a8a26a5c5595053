"""The type of the tables that move between assets, without importing Polars when the code location loads."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from polars import LazyFrame
else:
    LazyFrame = Any

__all__ = ["LazyFrame"]
