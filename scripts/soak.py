"""Run the long tests and keep what they found: one JSON file under benchmarks/results, with the machine it ran on.

A soak test says what it counted with pytest's `record_property`; the numbers land beside its outcome.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from arriero.observe.machine import machine_card

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
_SLACK_SECONDS = 300  # start, load and stop around the measured time


def main() -> int:
    """Run them; pytest's exit status."""
    seconds = int(os.environ.get("ARRIERO_SOAK_SECONDS", "600"))
    with tempfile.TemporaryDirectory() as folder:
        junit = Path(folder) / "junit.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-m", "soak", "-o", f"timeout={seconds + _SLACK_SECONDS}"]
        done = subprocess.run(
            [*command, f"--junitxml={junit}", str(ROOT / "tests")], cwd=ROOT, stdin=subprocess.DEVNULL
        )
        if not junit.exists():
            return done.returncode
        found = outcomes(junit.read_text())
    result = {
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "seconds": seconds,
        "machine": machine_card(),
        "tests": found,
        "passed": done.returncode == 0,
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    file = RESULTS / f"soak-{time.strftime('%Y-%m-%d', time.gmtime())}.json"
    file.write_text(json.dumps(result, indent=2) + "\n")
    print(f"Written: {file.relative_to(ROOT)}")
    return done.returncode


def outcomes(junit: str) -> list[dict[str, object]]:
    """Each test's name, outcome, seconds and properties, from pytest's JUnit report."""
    found: list[dict[str, object]] = []
    for case in ElementTree.fromstring(junit).iter("testcase"):
        failed = case.find("failure") is not None or case.find("error") is not None
        skipped = case.find("skipped") is not None
        properties = {item.get("name", ""): _number(item.get("value", "")) for item in case.iter("property")}
        found.append(
            {
                "test": f"{case.get('classname')}::{case.get('name')}",
                "outcome": "failed" if failed else "skipped" if skipped else "passed",
                "seconds": round(float(case.get("time", 0)), 1),
                **properties,
            }
        )
    return found


def _number(text: str) -> float | int | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


if __name__ == "__main__":
    sys.exit(main())
