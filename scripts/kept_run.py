"""Runs part of the suite and keeps what its tests counted: a JSON file under benchmarks/results, with a machine card.

What a test counts it says with pytest's `record_property`; the numbers land beside its outcome.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from arriero.observe.machine import machine_card

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"

Outcome = dict[str, object]


def run_and_keep(
    name: str, pytest_options: Sequence[str], result: Callable[[list[Outcome]], Mapping[str, object]]
) -> int:
    """Run pytest; write `name`-DATE.json with what `result` makes of the outcomes. Returns pytest's exit status."""
    with tempfile.TemporaryDirectory() as folder:
        junit = Path(folder) / "junit.xml"
        command = [sys.executable, "-m", "pytest", "-q", f"--junitxml={junit}", *pytest_options]
        done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL)
        if not junit.exists():
            return done.returncode
        found = outcomes(junit.read_text())
    kept = {
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": machine_card(),
        **result(found),
        "passed": done.returncode == 0,
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    file = RESULTS / f"{name}-{time.strftime('%Y-%m-%d', time.gmtime())}.json"
    file.write_text(json.dumps(kept, indent=2) + "\n")
    print(f"Written: {file.relative_to(ROOT)}")
    return done.returncode


def outcomes(junit: str) -> list[Outcome]:
    """Each test's name, outcome, seconds and properties, from pytest's JUnit report."""
    found: list[Outcome] = []
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
