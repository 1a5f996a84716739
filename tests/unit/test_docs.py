"""The reference names everything there is, and the README's tree is the real one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from arriero.observe.engine_stats import COUNTERS, GAUGES, PREFIX
from arriero.observe.metrics import Metrics
from arriero.protocols.ollama_options import OPTIONS
from arriero.server.asgi import routes
from arriero.server.routes import Context

ROOT = Path(__file__).parents[2]
REFERENCE = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_route_is_documented() -> None:
    paths = {route.path.replace(":path}", "}") for route in routes(Context(None, "0", None))}  # type: ignore[arg-type]
    assert sorted(path for path in paths if f"{path}`" not in REFERENCE) == []


def test_every_variable_is_documented() -> None:
    found: set[str] = set()
    for path in (ROOT / "src").rglob("*.py"):
        found |= set(re.findall(r"[\"']((?:ARRIERO|OLLAMA)_[A-Z_]+)[\"']", path.read_text(encoding="utf-8")))
    assert "ARRIERO_HOME" in found
    assert sorted(name for name in found if f"`{name}`" not in REFERENCE) == []


def test_every_metric_is_documented() -> None:
    names = {PREFIX + name for name in (*COUNTERS, *GAUGES)}
    exposed = re.findall(r"^# TYPE (arriero_\w+) ", Metrics().render().decode(), re.MULTILINE)
    names |= {name.removesuffix("_total") for name in exposed if name not in names}
    documented = {name for name in names if f"`{name}`" in REFERENCE or name.startswith(f"{PREFIX}runner_")}
    assert sorted(names - documented - {name for name in names if name.endswith("_created")}) == []


def test_every_option_is_documented() -> None:
    assert [name for name in OPTIONS if f"`{name}`" not in REFERENCE] == []


def test_every_command_and_its_options_are_documented() -> None:
    typer_testing = pytest.importorskip("typer.main")
    from arriero.cli.commands import app

    group = typer_testing.get_command(app)
    assert [name for name in group.commands if f"`arriero {name}" not in REFERENCE] == []
    shown = [
        option
        for parameter in group.commands["serve"].params
        if not getattr(parameter, "hidden", False)
        for option in parameter.opts
        if option.startswith("--") and option != "--help"
    ]
    assert [option for option in shown if f"`{option}" not in REFERENCE] == []


def test_the_readmes_tree_is_the_real_one() -> None:
    tree = README.split("```text\nsrc/arriero/", 1)[1].split("```", 1)[0]
    inside = {line.split()[0] for line in tree.splitlines() if line.startswith("  ")}
    package = ROOT / "src" / "arriero"
    real = {f"{path.name}/" for path in package.iterdir() if path.is_dir() and path.name[0] not in "_."}
    real |= {path.name for path in package.glob("*.py") if not path.name.startswith("__")}
    assert inside == real
    outside = {line.split()[0] for line in tree.splitlines() if line and not line.startswith(" ")}
    assert [name for name in outside if not (ROOT / name).is_dir()] == []


def test_links_lead_somewhere() -> None:
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    links = [(page, target) for page in pages for target in LINK.findall(page.read_text(encoding="utf-8"))]
    assert len(links) > 5
    assert [(page.name, target) for page, target in links if not (page.parent / target).exists()] == []
