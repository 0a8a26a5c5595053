"""Pictures and pages for people: files under the reports' root, a small preview in the event."""

import base64
from pathlib import Path

import dagster as dg

from ml_assets.resources.durable import writing

PREVIEW_BYTES = 60_000


class Reports(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Keep pictures and pages under `root/<first part of the asset key>/`."""

    root: str

    def page(self, owner: str, name: str, content: bytes) -> str:
        """Write `root/<owner>/<name>`, whole or not at all; returns where it is.

        Raises:
            StorageError: the disk is full, or may not be written to.
        """
        from upath import UPath

        path = UPath(self.root) / owner / name
        scratch = path.with_name(f".{path.name}.part")
        with writing(Path(str(path)), len(content)):
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                scratch.write_bytes(content)
                scratch.replace(path) if isinstance(path, Path) else scratch.rename(path)
            except BaseException:
                scratch.unlink(missing_ok=True)
                raise
        return str(path)

    def picture(self, key: dg.AssetKey, partition: str, name: str, png: bytes) -> dict[str, dg.MetadataValue]:
        """Metadata of a picture: a preview in the event, and the path of the file.

        Pictures above `PREVIEW_BYTES` are linked only: the event log would grow by them at every run.
        """
        path = self.page(key.path[0], f"pictures/{key.path[-1]}/{partition}/{name}.png", png)
        metadata: dict[str, dg.MetadataValue] = {f"{name}_file": dg.MetadataValue.path(path)}
        if len(png) <= PREVIEW_BYTES:
            text = base64.b64encode(png).decode()
            metadata[name] = dg.MetadataValue.md(f"![{name}](data:image/png;base64,{text})")
        return metadata
