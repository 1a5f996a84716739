"""Run the long tests, `ARRIERO_SOAK_SECONDS` each, and keep what they counted."""

from __future__ import annotations

import os
import sys

from scripts.kept_run import run_and_keep

_SLACK_SECONDS = 300  # start, load and stop around the measured time


def main() -> int:
    """Run them; pytest's exit status."""
    seconds = int(os.environ.get("ARRIERO_SOAK_SECONDS", "600"))
    options = ["-m", "soak", "-o", f"timeout={seconds + _SLACK_SECONDS}", "tests"]
    return run_and_keep("soak", options, lambda found: {"seconds": seconds, "tests": found})


if __name__ == "__main__":
    sys.exit(main())
