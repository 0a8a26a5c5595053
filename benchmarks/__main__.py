"""Run every benchmark and print its table."""

import sys

from benchmarks import data_path, loading

for module in (loading, data_path):
    title, _, _ = (module.__doc__ or "").partition("\n")
    sys.stdout.write(f"## {title}\n\n{module.main()}\n\n")
    sys.stdout.flush()
