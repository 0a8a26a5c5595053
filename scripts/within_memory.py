"""Run a command, and fail if it, or a process that it waits for, needs more memory than it may.

python scripts/within_memory.py 1500 ml-assets demo        at most 1,500 MB
"""

import resource
import subprocess
import sys

KB_OF_A_MB = 1024


def main(most_mb: int, command: list[str]) -> int:
    """Run the command; its exit code, or 1 where it needed more than `most_mb` MB."""
    code = subprocess.call(command)  # noqa: S603 - whoever calls this says what
    peak_mb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / KB_OF_A_MB
    if peak_mb > most_mb:
        sys.stderr.write(f"{' '.join(command)}: {peak_mb:,.0f} MB at its peak, {most_mb:,} are allowed\n")
        return code or 1
    return code


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
