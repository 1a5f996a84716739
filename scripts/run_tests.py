"""Run the whole suite: files side by side, one process a core, then what must have the machine to itself.

Two runs of pytest, so two closing counts; the exit status is that of the first that failed. Arguments go to both.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MOST = 4
"""Processes at most: each starts servers and loads models of its own."""
NO_TESTS = 5
"""What pytest exits with where nothing was selected."""


def main(arguments: list[str]) -> int:
    """Return the exit status."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    workers = min(cores, MOST)
    together = ["-n", str(workers), "--dist", "loadfile"] if workers > 1 else []
    status = 0
    for selection in (["-m", "not alone", *together], ["-m", "alone"]):
        command = [sys.executable, "-m", "pytest", "-q", *selection, *arguments]
        done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL).returncode
        status = status or (0 if done == NO_TESTS else done)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
