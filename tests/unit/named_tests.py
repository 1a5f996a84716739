"""The tests that the tables of the documents name: a row counts only if its test runs."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
DOCS = TESTS.parent / "docs"


def runs(test: str) -> bool:
    """Whether `path::name` exists below tests/, and no mark skips it or expects it to fail."""
    path, _, name = test.partition("::")
    file = TESTS / path
    source = file.read_text(encoding="utf-8") if file.is_file() else ""
    found = re.search(rf"((?:^@.*\n(?:[ )\]].*\n)*)*)^(?:async )?def {name}\(", source, re.MULTILINE)
    return found is not None and not re.search(r"mark\.(skip|xfail)", found.group(1))
