"""Load one bundle and end: what `loading` runs in a process of its own. Exit code 0 if it loads, 1 and why if not."""

import sys

from ml_assets.core.errors import MLAssetsError
from ml_assets.resources.model_folder import ModelFolder


def main(root: str, sha256: str) -> int:
    """Load a bundle; golden rows are scored in doing so.

    Args:
        root: where bundles are kept.
        sha256: the bundle's.

    Returns:
        The exit code.
    """
    try:
        ModelFolder(root).read(sha256)
    except MLAssetsError as e:
        sys.stderr.write(f"{e}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
