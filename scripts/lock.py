"""Write the lock files: what pip resolves today for the ranges in pyproject.toml. `make lock` runs it."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping

from scripts import wheel_key
from scripts.setup_venv import LOCK, LOCK_DEV, ROOT, VENV

# pip reports versions, not markers; these packages exist for some systems only.
_MARKERS = {"uvloop": "sys_platform != 'win32'"}


def main() -> int:
    """Resolve twice: what runs, then what tests and checks need on top."""
    runtime = _resolve(".")
    LOCK.write_text(text(runtime))
    everything = _resolve(".[dev]", "--constraint", str(LOCK))
    more = {name: version for name, version in everything.items() if name not in runtime}
    LOCK_DEV.write_text(text(more))
    print(f"{LOCK.name}: {len(runtime)} packages; {LOCK_DEV.name}: {len(more)} more")
    return 0


def _resolve(*requirements: str) -> dict[str, str]:
    """Name to version of everything that pip would install into an empty environment."""
    compiled = [f"--find-links={folder}" for folder in wheel_key.cache_folder(os.environ).glob("*/")]
    command = [str(VENV / "bin" / "python"), "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet"]
    done = subprocess.run(
        [*command, *compiled, "--report", "-", *requirements], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True
    )
    installed = [item["metadata"] for item in json.loads(done.stdout)["install"]]
    return {_normal(item["name"]): item["version"] for item in installed if item["name"] != "arriero"}


def _normal(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")


def text(versions: Mapping[str, str]) -> str:
    """A lock file: exact versions, sorted, with the markers that pip does not report."""
    lines = [
        f"{name}=={version}" + (f"; {_MARKERS[name]}" if name in _MARKERS else "")
        for name, version in sorted(versions.items())
    ]
    header = f"# Written by `make lock` on Python {platform.python_version()}; edit pyproject.toml instead."
    return "\n".join([header, *lines]) + "\n"


if __name__ == "__main__":
    sys.exit(main())
