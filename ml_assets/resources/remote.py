"""Whether a root is on a local disk or in an object store; how files are written there is in `storage`."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from upath import UPath


def is_remote(path: "UPath") -> bool:
    """Whether a path is in an object store rather than on a local disk."""
    return path.protocol not in ("", "file", "local")
