"""Where bundles are kept: content-addressed, never overwritten, on disk or in a bucket.

What a bundle is, is in `ml_assets.core.bundle`; its folder and how its hash is checked in `bundle_files`.
"""

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

        from ml_assets.core.bundle import MANIFEST
        from ml_assets.resources.bundle_files import load, save

        base = UPath(self.root)
        if not is_remote(base):
            return save(bundle, Path(self.root)).name
        with suppress(BundleError):
            return load(base, bundle.sha256).sha256
        folder = base / bundle.sha256
        folder.mkdir(parents=True, exist_ok=True)
        # The manifest comes last: what was cut short has none, and is not taken for a bundle.
        for name, content in {**bundle.files, MANIFEST: bundle.manifest}.items():
            folder.fs.pipe_file((folder / name).path, content)
        return bundle.sha256

    def named(self, version: str) -> "Bundle":
        """The bundle whose SHA-256 starts so, verified.

        Raises:
            BundleError: there is none, or several; or it is damaged.
        """
        from upath import UPath

        from ml_assets.core.bundle import MANIFEST

        base = UPath(self.root)
        kept = sorted(p.name for p in base.iterdir() if len(p.name) == DIGITS) if base.exists() else []
        found = [s for s in kept if s.startswith(version.lower()) and (base / s / MANIFEST).exists()]
        if len(found) != 1 or len(version) < SHORTEST_PREFIX:
            raise BundleError(
                f"model {version!r}",
                found=[f"{len(found)} bundles in {self.root} whose SHA-256 starts so", *found[:5]],
                expected=f"at least {SHORTEST_PREFIX} characters with which one of them starts",
                cure="copy the version from the champion's or the candidate's page, or from report.html",
            )
        return self.load(found[0])

    def load_anew(self, sha256: str) -> "Bundle":
        """As `load`, from where it is kept and not from memory: what is on disk may have been changed since.

        Raises:
            BundleError: it is missing or damaged.
        """
        _load.cache_clear()
        return self.load(sha256)

    def load(self, sha256: str) -> "Bundle":
        """The bundle of that hash, verified; kept in memory, since a hash never changes its meaning.

        Raises:
            BundleError: it is missing or damaged.
        """
        return _load(self.root, sha256)


@lru_cache(maxsize=8)
def _load(root: str, sha256: str) -> "Bundle":
    from upath import UPath

    from ml_assets.resources.bundle_files import load

    base = UPath(root)
    return load(base if is_remote(base) else Path(root), sha256)
