"""Files behind URLs, through fsspec: object stores, HTTP servers; downloaded before they are read."""

import hashlib
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from ml_assets.core.errors import SourceError, SourceNotFound, SourceUnreadable
from ml_assets.resources.sources.locating import Files, LocalCopy
from ml_assets.resources.sources.masking import mask_url, scrub

EXTRAS = {
    "s3": "ml-assets[s3]",
    "s3a": "ml-assets[s3]",
    "http": "ml-assets[http]",
    "https": "ml-assets[http]",
}
STAMPS = (
    "ETag",
    "etag",
    "LastModified",
    "last_modified",
    "mtime",
    "updated",
    "modified",
    "created",
    "generation",
)

_Result = TypeVar("_Result")


class RemoteFiles(Files):
    """The files below one URL.

    Args:
        url: any URL of the place, to tell the kind of file system from.

    Raises:
        SourceNotFound: no such kind of URL, or its client is not installed.
    """

    def __init__(self, url: str) -> None:
        import fsspec

        protocol = url.partition("://")[0]
        try:
            self.system, _ = fsspec.core.url_to_fs(url)
        except ImportError as error:
            extra = EXTRAS.get(protocol, f"fsspec[{protocol}]")
            raise SourceNotFound(
                f"source {mask_url(url)}",
                found=f"no client for {protocol}:// is installed ({error})",
                expected=f"the extra {extra}",
                cure=f"pip install '{extra}'",
            ) from error
        except ValueError as error:
            raise SourceNotFound(
                f"source {mask_url(url)}",
                found=scrub(str(error), []),
                expected="a URL fsspec knows, e.g. s3://, https://",
                cure="correct source.path",
            ) from error

    def find(self, pattern: str) -> list[str]:
        """Names of the files that a URL or glob stands for, sorted."""
        return self._asked(pattern, lambda: self._find(pattern))

    def _find(self, pattern: str) -> list[str]:
        self.system.invalidate_cache()
        path = str(self.system._strip_protocol(pattern))
        if self.system.isfile(path):
            return [pattern]
        if "*" not in path:
            return []
        return sorted(self.system.unstrip_protocol(found) for found in self.system.glob(path))

    def reach(self, pattern: str) -> None:
        """Nothing to ask: a server that does not answer is no place without files, and `find` says so."""

    def stamp(self, name: str) -> str:
        """What the server says without sending the file: size, and ETag or time of change if it tells."""
        info = self._asked(name, lambda: self.system.info(self.system._strip_protocol(name)))
        return ", ".join(f"{key} {info[key]}" for key in ("size", *STAMPS) if info.get(key) is not None)

    @contextmanager
    def local(self, name: str, scratch: Path, *, thing: str) -> Iterator[LocalCopy]:
        """The file, downloaded.

        Raises:
            SourceUnreadable: the download broke off, or is shorter than the server said.
            SourceNotFound: the server does not answer, or not with this file.
        """
        copy = scratch / f".download-{uuid.uuid4().hex}"
        try:
            digest = self._asked(name, lambda: self._download(name, copy))
            said = self._asked(name, lambda: self.system.info(self.system._strip_protocol(name))).get("size")
            got = copy.stat().st_size
            if said is not None and said != got:
                raise SourceUnreadable(
                    thing,
                    found=f"{got:,} bytes of {mask_url(name)}",
                    expected=f"{said:,}, as the server says",
                    cure="materialize again; the download was cut off or the file changed meanwhile",
                )
            yield LocalCopy(copy, mask_url(name).partition("?")[0].rpartition("/")[2], digest, got)
        finally:
            copy.unlink(missing_ok=True)

    def _download(self, name: str, copy: Path) -> str:
        self.system.get_file(self.system._strip_protocol(name), str(copy))
        with copy.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def advice(self, pattern: str) -> str:
        """The URL that has nothing behind it."""
        return f"nothing at {mask_url(pattern)}"

    def _asked(self, name: str, ask: Callable[[], _Result]) -> _Result:
        try:
            return ask()
        except SourceError:
            raise
        except Exception as error:  # every client raises errors of its own; none of them is passed over
            raise SourceNotFound(
                f"source {mask_url(name)}",
                found=scrub(f"{type(error).__name__}: {error}", []),
                expected="a server that answers with the file",
                cure="correct source.path, its credentials (in the environment, as the client reads "
                "them) or the network",
            ) from None


def is_remote(path: str) -> bool:
    """Whether a path is a URL of something else than the local disk."""
    return "://" in path and not path.startswith("file://")
