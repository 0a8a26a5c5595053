"""Where bundles are kept: content-addressed, never overwritten, on disk or in a bucket.

What a bundle is, is in `ml_assets.core.bundle`; its folder and how its hash is checked in `bundle_files`.
"""

import tempfile
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from ml_assets.core.errors import BundleError
from ml_assets.resources.storage import is_remote

if TYPE_CHECKING:
    from ml_assets.core.bundle import Bundle


DIGITS = 64
"""Of a SHA-256 in hexadecimal."""

SHORTEST_PREFIX = 6


class Models(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Save and load bundles under `root/<sha256>/`."""

    root: str

    def save(self, bundle: "Bundle") -> str:
        """Keep a bundle; its SHA-256 is its address. Saving the same one again changes nothing."""
        from upath import UPath

        from ml_assets.resources.bundle_files import save

        base = UPath(self.root)
        if not is_remote(base):
            return save(bundle, Path(self.root)).name
        with tempfile.TemporaryDirectory() as scratch:
            folder = save(bundle, Path(scratch))
            for file in sorted(folder.iterdir()):
                base.fs.put_file(str(file), (base / folder.name / file.name).path)
            return folder.name

    def named(self, version: str) -> "Bundle":
        """The bundle whose SHA-256 starts so, verified.

        Raises:
            BundleError: there is none, or several; or it is damaged.
        """
        from upath import UPath

        base = UPath(self.root)
        kept = sorted(p.name for p in base.iterdir() if len(p.name) == DIGITS) if base.exists() else []
        found = [sha256 for sha256 in kept if sha256.startswith(version.lower())]
        if len(found) != 1 or len(version) < SHORTEST_PREFIX:
            raise BundleError(
                f"model {version!r}",
                found=[f"{len(found)} bundles in {self.root} whose SHA-256 starts so", *found[:5]],
                expected=f"at least {SHORTEST_PREFIX} characters with which one of them starts",
                cure="copy the version from the champion's or the candidate's page, or from report.html",
            )
        return self.load(found[0])

    def load(self, sha256: str) -> "Bundle":
        """The bundle of that hash, verified; kept in memory, since a hash never changes its meaning.

        Raises:
            BundleError: it is missing or damaged.
        """
        return _load(self.root, sha256)


@lru_cache(maxsize=8)
def _load(root: str, sha256: str) -> "Bundle":
    from upath import UPath

    from ml_assets.resources.bundle_files import MANIFEST, MODEL, load

    base = UPath(root)
    if not is_remote(base):
        return load(Path(root), sha256)
    with tempfile.TemporaryDirectory() as scratch:
        target = Path(scratch) / sha256
        target.mkdir()
        for name in (MANIFEST, MODEL):
            # What is not there is missing in the copy as well, and `load` says so.
            with suppress(FileNotFoundError):
                base.fs.get_file((base / sha256 / name).path, str(target / name))
        return load(Path(scratch), sha256)
