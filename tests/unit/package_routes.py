"""The routes that an official package can ask, read from its source, and what a page of docs says of those not here."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType

from arriero.server.asgi import routes
from arriero.server.routes.context import Context
from arriero.server.routes.missing import MISSING
from tests.unit.server.fake import FakeService

_ASKED = re.compile(r'self\._(?:get|post|delete|patch|put|get_api_list)\(\s*(?:path_template\(\s*)?f?"(/[^"?]*)')


def plain(path: str) -> str:
    """A path with its parameters left nameless."""
    return re.sub(r"{[^}]*}", "{}", path)


def absent(package: ModuleType, prefix: str) -> set[str]:
    """The first words of the package's paths below `prefix` that lead nowhere here; whole paths where some do lead."""
    assert package.__file__ is not None
    sources = (Path(package.__file__).parent / "resources").rglob("*.py")
    theirs = {plain(path) for file in sources for path in _ASKED.findall(file.read_text(encoding="utf-8"))}
    assert len(theirs) > 50
    ours = {plain(route.path) for route in routes(Context(FakeService(), "0"))}
    ours -= {plain(path) for path, _ in MISSING}
    ours = {path.removeprefix(prefix) for path in ours if path.startswith(prefix)}
    words = {path.split("/")[1] for path in ours}
    missing = {path.removeprefix(prefix) for path in theirs} - ours
    return {path if path.split("/")[1] in words else path.split("/")[1] for path in missing}


def said(page: str) -> set[str]:
    """What the section of other routes names."""
    section = page.split("\n## Other routes\n", 1)[1].split("\n## ", 1)[0]
    rows = re.findall(r"^\| (`.+?) \| .+ \|$", section, re.MULTILINE)
    return {plain(name) for row in rows for name in re.findall(r"`([^`]+)`", row)}
