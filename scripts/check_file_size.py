"""Source and test files hold one idea: at most 400 lines, unless pyproject.toml lists the file with a reason."""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path

LIMIT = 400
_FOLDERS = ("src", "tests")


def main(root: Path = Path()) -> int:
    """Print what breaks the rule; the exit status."""
    settings = tomllib.loads((root / "pyproject.toml").read_text())
    listed = settings.get("tool", {}).get("arriero", {}).get("file-size", {})
    found = complaints(line_counts(root), listed)
    for complaint in found:
        print(complaint)
    return 1 if found else 0


def line_counts(root: Path) -> dict[str, int]:
    """Lines of every Python file under the folders that the rule covers."""
    return {
        path.relative_to(root).as_posix(): len(path.read_text(encoding="utf-8").splitlines())
        for folder in _FOLDERS
        for path in sorted((root / folder).rglob("*.py"))
    }


def complaints(counts: Mapping[str, int], listed: Mapping[str, str]) -> list[str]:
    """Files that are too long without a reason, and reasons that are no longer needed."""
    too_long = [
        f"{name}: {count} lines, over {LIMIT}: split it along a noun, or list it with a reason in pyproject.toml"
        for name, count in counts.items()
        if count > LIMIT and not str(listed.get(name, "")).strip()
    ]
    stale = [
        f"{name}: listed in pyproject.toml, but not over {LIMIT} lines"
        for name in listed
        if counts.get(name, 0) <= LIMIT
    ]
    return too_long + stale


if __name__ == "__main__":
    sys.exit(main())
