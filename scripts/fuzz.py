"""Try many bodies on each API's routes, on all cores, and keep the counts beside the machine they were taken on.

`ARRIERO_FUZZ_EXAMPLES` says how many bodies each API gets.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from arriero.observe.machine import machine_card
from scripts.soak import RESULTS, ROOT, outcomes

TEST = "tests/unit/backends/test_request_fuzz.py"
COUNTED = ("bodies", "reached_the_runner", "internal_errors")


def main() -> int:
    """Run it; pytest's exit status."""
    examples = os.environ.setdefault("ARRIERO_FUZZ_EXAMPLES", "100000")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with tempfile.TemporaryDirectory() as folder:
        junit = Path(folder) / "junit.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-o", "timeout=0", "-n", str(cores), "--dist", "worksteal"]
        done = subprocess.run([*command, f"--junitxml={junit}", TEST], cwd=ROOT, stdin=subprocess.DEVNULL)
        if not junit.exists():
            return done.returncode
        found = outcomes(junit.read_text())
    result = {
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "examples": int(examples),
        "machine": machine_card(),
        "apis": sums(found),
        "passed": done.returncode == 0,
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    file = RESULTS / f"fuzz-{time.strftime('%Y-%m-%d', time.gmtime())}.json"
    file.write_text(json.dumps(result, indent=2) + "\n")
    print(f"Written: {file.relative_to(ROOT)}")
    return done.returncode


def sums(parts: list[dict[str, object]]) -> dict[str, dict[str, object]]:
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
