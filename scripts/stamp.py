"""What a finished `.venv` says about itself: written last, so that a half-made one has none."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path

NAME = "arriero-stamp.json"


class Plan(Enum):
    """What to do with `.venv`."""

    READY = "ready"
    UPDATE = "update"  # the environment is good, what is installed in it is not
    REMAKE = "remake"


@dataclass(frozen=True)
class Stamp:
    """Where a `.venv` was made, by which Python, and what was installed."""

    checkout: str  # absolute: scripts in a .venv name it, so a moved one is broken
    python: str  # version and place of the Python below it
    packages: str  # hash of the lock files and of what pyproject.toml installs
    wheel: str  # key of the compiled llama.cpp
    dev: bool  # the tools for tests and checks are there too


def current(checkout: Path, wheel: str, dev: bool, installed: str) -> Stamp:
    """The stamp that a `.venv` made now, by this Python, would get; `installed` says what goes into it."""
    python = f"{sys.version.split()[0]} {os.path.realpath(sys.base_prefix)}"
    return Stamp(str(checkout), python, hashlib.sha256(installed.encode()).hexdigest(), wheel, dev)


def plan(venv: Path, wanted: Stamp) -> Plan:
    """Compare what is there with what is wanted. A `.venv` that has the tools too serves who does not need them."""
    found = read(venv)
    if found is None or (found.checkout, found.python) != (wanted.checkout, wanted.python):
        return Plan.REMAKE
    if not (os.access(venv / "bin" / "python", os.X_OK) and os.access(venv / "bin" / "pip", os.X_OK)):
        return Plan.REMAKE
    same = (found.packages, found.wheel) == (wanted.packages, wanted.wheel)
    if not same or (wanted.dev and not found.dev) or not os.access(venv / "bin" / "arriero", os.X_OK):
        return Plan.UPDATE
    return Plan.READY


def read(venv: Path) -> Stamp | None:
    """The stamp of a `.venv`, or None where it is absent or not ours to understand."""
    try:
        return Stamp(**json.loads((venv / NAME).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def write(venv: Path, stamp: Stamp) -> None:
    """Declare a `.venv` finished."""
    (venv / NAME).write_text(json.dumps(asdict(stamp), indent=2) + "\n")


def erase(venv: Path) -> None:
    """Declare it unfinished, before anything in it changes."""
    (venv / NAME).unlink(missing_ok=True)
