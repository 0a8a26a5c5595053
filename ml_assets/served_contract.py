"""Read one `schema.py` and write its contract to standard output: what `served` runs in a process of its own.

Exit code 0 and the contract as `core.contract_bytes` packs it; 1 where it can't be packed.
"""

import sys
from pathlib import Path

from ml_assets.user_code import Reference


def main(folder: str, reference: str) -> int:
    """Read and write a contract.

    Args:
        folder: of the table's `defs.yaml`.
        reference: its `schema`, as `schema:Trip`.

    Returns:
        The exit code.
    """
    from ml_assets.core.contract import Contract
    from ml_assets.core.contract_bytes import packed

    content = packed(Contract.from_model(Reference(Path(folder), reference).load()))
    if content is None:
        return 1
    sys.stdout.buffer.write(content)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
