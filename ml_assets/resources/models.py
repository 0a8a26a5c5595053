"""Bundles as a resource of assets; where they are kept is in `model_folder`."""

from typing import TYPE_CHECKING

import dagster as dg

from ml_assets.resources.model_folder import ModelFolder, forget

if TYPE_CHECKING:
    from ml_assets.core.bundle import Bundle


class Models(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Save and load bundles under `root/<sha256>/`; see `ModelFolder`, which says what goes wrong."""

    root: str

    @property
    def folder(self) -> ModelFolder:
        """The same bundles, for who does without Dagster."""
        return ModelFolder(self.root)

    def save(self, bundle: "Bundle") -> str:
        """Keep a bundle; its SHA-256 is its address. Saving the same one again changes nothing."""
        return self.folder.save(bundle)

    def named(self, version: str) -> "Bundle":
        """The bundle whose SHA-256 starts so, verified."""
        return self.load(self.folder.full_name(version))

    def load_anew(self, sha256: str) -> "Bundle":
        """As `load`, from where it is kept and not from memory: what is on disk may have been changed since."""
        forget()
        return self.load(sha256)

    def load(self, sha256: str) -> "Bundle":
        """The bundle of that hash, verified; kept in memory, since a hash never changes its meaning."""
        return self.folder.load(sha256)
