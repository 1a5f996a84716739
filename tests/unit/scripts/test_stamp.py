"""A `.venv` that is half-made, moved or of another Python is remade; an unchanged one is left alone."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from scripts import stamp
from scripts.stamp import Plan, Stamp


@pytest.fixture
def wanted(tmp_path: Path) -> Stamp:
    return Stamp(checkout=str(tmp_path), python="3.11.7 /usr", packages="abc", wheel="0.3.36-cpu", dev=False)


@pytest.fixture
def venv(tmp_path: Path, wanted: Stamp) -> Path:
    """A finished one."""
    venv = tmp_path / ".venv"
    (venv / "bin").mkdir(parents=True)
    for name in ("python", "pip", "arriero"):
        (venv / "bin" / name).touch(mode=0o755)
    stamp.write(venv, wanted)
    return venv


def test_an_unchanged_one_is_ready(venv: Path, wanted: Stamp) -> None:
    assert stamp.plan(venv, wanted) is Plan.READY


def test_none_at_all_and_one_without_a_stamp_are_remade(tmp_path: Path, venv: Path, wanted: Stamp) -> None:
    assert stamp.plan(tmp_path / "nowhere", wanted) is Plan.REMAKE
    stamp.erase(venv)
    assert stamp.plan(venv, wanted) is Plan.REMAKE


@pytest.mark.parametrize("text", ["", "{", "[]", '{"checkout": "/x"}', '{"a": 1}', "null", "\xff"])
def test_a_stamp_that_cannot_be_read_counts_as_none(venv: Path, wanted: Stamp, text: str) -> None:
    (venv / stamp.NAME).write_text(text, encoding="latin-1")
    assert stamp.plan(venv, wanted) is Plan.REMAKE


@pytest.mark.parametrize("change", [{"checkout": "/moved"}, {"python": "3.12.0 /usr"}])
def test_a_moved_one_or_another_pythons_is_remade(venv: Path, wanted: Stamp, change: dict[str, Any]) -> None:
    assert stamp.plan(venv, dataclasses.replace(wanted, **change)) is Plan.REMAKE


def test_one_whose_python_is_gone_is_remade(venv: Path, wanted: Stamp) -> None:
    python = venv / "bin" / "python"
    python.unlink()
    python.symlink_to("/nowhere/python3.11")
    assert stamp.plan(venv, wanted) is Plan.REMAKE


@pytest.mark.parametrize("change", [{"packages": "changed"}, {"wheel": "0.3.37-cpu"}, {"dev": True}])
def test_other_packages_are_installed_into_the_same_one(venv: Path, wanted: Stamp, change: dict[str, Any]) -> None:
    assert stamp.plan(venv, dataclasses.replace(wanted, **change)) is Plan.UPDATE


def test_one_without_the_command_is_completed(venv: Path, wanted: Stamp) -> None:
    (venv / "bin" / "arriero").unlink()
    assert stamp.plan(venv, wanted) is Plan.UPDATE


def test_one_with_the_tools_serves_who_does_not_need_them(venv: Path, wanted: Stamp) -> None:
    stamp.write(venv, dataclasses.replace(wanted, dev=True))
    assert stamp.plan(venv, wanted) is Plan.READY


def test_the_current_stamp_follows_what_is_installed(tmp_path: Path) -> None:
    before = stamp.current(tmp_path, "key", False, "a==1\n")
    assert stamp.current(tmp_path, "key", False, "a==1\n") == before
    assert stamp.current(tmp_path, "key", False, "a==2\n").packages != before.packages
