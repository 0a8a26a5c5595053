"""Where bundles are kept: content-addressed, never overwritten, on disk or in a bucket.

What a bundle is, is in `ml_assets.core.bundle`; its folder and how its hash is checked in `bundle_files`. Assets are
given it as the resource `models`; the server, which does without Dagster, takes it as it is here.
"""

from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from ml_assets.core.errors import BundleError
from ml_assets.resources.remote import is_remote

if TYPE_CHECKING:
    from ml_assets.core.bundle import Bundle


DIGITS = 64
"""Of a SHA-256 in hexadecimal."""

SHORTEST_PREFIX = 6


@dataclass(frozen=True)
class ModelFolder:
    """Save and load bundles under `root/<sha256>/`.

    Args:
        root: a path or an fsspec URL.
    """

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
        return self.load(self.full_name(version))

    def full_name(self, version: str) -> str:
        """The SHA-256 of the one kept bundle whose SHA-256 starts so.

        Raises:
            BundleError: there is none, or several.
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
        return found[0]

    def load_anew(self, sha256: str) -> "Bundle":
        """As `load`, from where it is kept and not from memory: what is on disk may have been changed since.

        Raises:
            BundleError: it is missing or damaged.
        """
        forget()
        return self.load(sha256)

    def read(self, sha256: str) -> "Bundle":
        """As `load`, from where it is kept, and not kept in memory: for who keeps it.

        Raises:
            BundleError: it is missing or damaged.
        """
        return _load.__wrapped__(self.root, sha256)

    def load(self, sha256: str) -> "Bundle":
        """The bundle of that hash, verified; kept in memory, since a hash never changes its meaning.

        Raises:
            BundleError: it is missing or damaged.
        """
        return _load(self.root, sha256)


def forget() -> None:
    """Drop the bundles that are kept in memory."""
    _load.cache_clear()


@lru_cache(maxsize=8)
def _load(root: str, sha256: str) -> "Bundle":
    from upath import UPath

    from ml_assets.resources.bundle_files import load

    base = UPath(root)
    return load(base if is_remote(base) else Path(root), sha256)
