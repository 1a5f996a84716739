"""The reference names everything there is, and the README's tree is the real one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from arriero.observe.engine_stats import COUNTERS, GAUGES, PREFIX
from arriero.observe.metrics import Metrics
from arriero.protocols.ollama.options import OPTIONS
from arriero.server.asgi import routes
from arriero.server.routes.context import Context
from tests.unit.named_tests import runs

ROOT = Path(__file__).parents[2]
REFERENCE = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")
README = (ROOT / "README.md").read_text(encoding="utf-8")


def served_paths() -> set[str]:
    """Every route as the documents write it."""
    nobody: Any = None
    return {route.path.replace(":path}", "}") for route in routes(Context(nobody, "0"))}


def test_every_route_is_documented() -> None:
    paths = served_paths()
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
    runner = REFERENCE.partition(f"`{PREFIX}runner_*`")[2].partition("\n")[0]
    documented = {
        name for name in names if f"`{name}`" in REFERENCE or f"`{name.removeprefix(PREFIX + 'runner_')}`" in runner
    }
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


def test_the_architecture_names_what_is_there() -> None:
    named = set(re.findall(r"`([^`\n]+)`", (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")))
    paths = [path for folder in ("src", "tests", "benchmarks") for path in (ROOT / folder).rglob("*")]
    ends = [f"/{path.relative_to(ROOT)}{'/' if path.is_dir() else ''}" for path in paths]
    places = {name for name in named if re.fullmatch(r"[\w/]+(\.py|/)", name)}
    assert len(places) > 80
    assert sorted(name for name in places if not any(end.endswith(f"/{name}") for end in ends)) == []
    words = {word for path in (ROOT / "src").rglob("*.py") for word in re.findall(r"\w+", path.read_text("utf-8"))}
    members = {name for name in named if re.fullmatch(r"[A-Z]\w+(\.\w+)?", name)}
    assert len(members) > 20
    assert sorted(name for name in members if not words.issuperset(name.split("."))) == []


def test_the_readmes_tree_is_the_real_one() -> None:
    tree = README.split("```text\nsrc/arriero/", 1)[1].split("```", 1)[0]
    inside = {line.split()[0] for line in tree.splitlines() if line.startswith("  ")}
    package = ROOT / "src" / "arriero"
    real = {f"{path.name}/" for path in package.iterdir() if path.is_dir() and path.name[0] not in "_."}
    real |= {path.name for path in package.glob("*.py") if not path.name.startswith("__")}
    assert inside == real
    outside = {line.split()[0] for line in tree.splitlines() if line and not line.startswith(" ")}
    holds = {f"{path.parent.name}/" for path in (*ROOT.glob("[!.]*/*.py"), *ROOT.glob("[!.]*/*.md"))}
    assert outside == holds


def test_links_lead_somewhere() -> None:
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    links = [(page, target) for page in pages for target in LINK.findall(page.read_text(encoding="utf-8"))]
    assert len(links) > 5
    assert [(page.name, target) for page, target in links if not (page.parent / target).exists()] == []


COMPATIBILITY = (ROOT / "docs" / "ollama-compatibility.md").read_text(encoding="utf-8")
VERDICTS = ("same", "better", "differs", "not yet", "out of scope")


def _rows() -> list[tuple[str, str, list[str]]]:
    """What, how and the named tests of each row of the compatibility tables."""
    lines = [line for line in COMPATIBILITY.splitlines() if line.startswith("|") and not line.startswith("|---")]
    cells = [
        [cell.strip() for cell in line.strip("|").split(" | ")] for line in lines if line != "| what | how | test |"
    ]
    assert all(len(row) in (2, 3) for row in cells), [row for row in cells if len(row) not in (2, 3)]
    return [(row[0], row[1].rstrip("| "), re.findall(r"`([^`]+)`", row[2]) if len(row) == 3 else []) for row in cells]


def test_every_row_of_the_compatibility_tables_names_tests_that_run() -> None:
    rows = _rows()
    assert len(rows) > 60
    assert [what for what, how, _ in rows if not how.startswith(VERDICTS)] == []
    assert [what for what, how, tests in rows if not tests and not how.startswith(("not yet", "out of scope"))] == []
    assert [test for _, _, tests in rows for test in tests if not runs(test)] == []


def test_every_section_and_route_has_a_row() -> None:
    sections = re.findall(r"^## (\d+)\.", COMPATIBILITY, re.MULTILINE)
    assert sections == [str(number) for number in range(1, 12)]
    paths = served_paths()
    ollamas = {path for path in paths if path.startswith(("/api/", "/v1/"))}
    assert sorted(path for path in ollamas if f"`{path}`" not in COMPATIBILITY) == []
