"""Processes of this machine: whether the one that somebody wrote down still runs.

What is done where it does not is decided elsewhere.
"""

import os
from pathlib import Path

PROC = Path("/proc")
OVER = ("Z", "X")
"""States of a process that has ended and was not asked for its exit code yet."""
ROUNDED_SECONDS = 2.0
"""Start times are told in hundredths of seconds since a start of the machine that is told in whole seconds."""


def is_running(pid: int, at: float) -> bool:
    """Whether the process that had this id at a time still runs; another one that was given the id later is not it.

    Where processes can't be looked up in `/proc`, whoever has the id counts as it.

    Args:
        pid: its id.
        at: when it was seen, in seconds since 1970.
    """
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # somebody else's
    try:
        # The name of the program, in brackets, may hold anything.
        told = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
        booted = next(line for line in (PROC / "stat").read_text().splitlines() if line.startswith("btime "))
    except FileNotFoundError:
        return not (PROC / "self").exists()
    started = int(booted.split()[1]) + int(told[19]) / os.sysconf("SC_CLK_TCK")
    return told[0] not in OVER and started <= at + ROUNDED_SECONDS
