"""Try many bodies on each API's routes, on all cores, and keep the counts beside the machine they were taken on.

`ARRIERO_FUZZ_EXAMPLES` says how many bodies each API gets.
"""

from __future__ import annotations

import os
import sys
from collections import Counter

from scripts.kept_run import Outcome, run_and_keep

TEST = "tests/unit/backends/test_request_fuzz.py"
COUNTED = ("bodies", "reached_the_runner", "internal_errors")


def main() -> int:
    """Run it; pytest's exit status."""
    examples = os.environ.setdefault("ARRIERO_FUZZ_EXAMPLES", "100000")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    options = ["-o", "timeout=0", "-n", str(cores), "--dist", "worksteal", TEST]
    return run_and_keep("fuzz", options, lambda found: {"examples": int(examples), "apis": sums(found)})


def sums(parts: list[Outcome]) -> dict[str, dict[str, object]]:
    """What the parts of each API's test counted, together."""
    counts: dict[str, Counter[str]] = {}
    statuses: dict[str, Counter[str]] = {}
    for part in parts:
        api = str(part.get("api", "unknown"))  # a part that broke off tells nothing but that
        total = counts.setdefault(api, Counter())
        total["failed_parts"] += part["outcome"] != "passed"
        for name in COUNTED:
            total[name] += int(str(part.get(name, 0)))
        for pair in str(part.get("statuses", "")).split():
            status, _, number = pair.partition(":")
            statuses.setdefault(api, Counter())[status] += int(number)
    return {
        api: {**total, "statuses": dict(sorted(statuses.get(api, Counter()).items()))}
        for api, total in sorted(counts.items())
    }


if __name__ == "__main__":
    sys.exit(main())
