from __future__ import annotations

import os
import resource
from pathlib import Path
from types import SimpleNamespace

import pytest

from arriero.core import allowance
from arriero.core.allowance import Memory, cpus, memory, threads, within_address_space
from tests.unit.core.test_control_groups import GIB, UNIFIED, tree

MACHINE = SimpleNamespace(total=16 * GIB, available=12 * GIB)


def grouped(root: Path, **files: str) -> Path:
    """A system whose process is in the group a/b."""
    return tree(root, "0::/a/b", [UNIFIED], **files)


def test_the_machine_where_nothing_bounds(tmp_path: Path) -> None:
    assert memory(MACHINE, tmp_path) == Memory(16 * GIB, 12 * GIB)
    assert memory(MACHINE, tmp_path).reason == ""
    root = grouped(tmp_path, **{"a/memory.max": str(1 << 62), "a/memory.current": str(1 << 61)})
    assert memory(MACHINE, root) == Memory(16 * GIB, 12 * GIB)


def test_the_least_of_all_groups_bounds(tmp_path: Path) -> None:
    inner = {"a/b/memory.max": str(2 * GIB), "a/b/memory.current": str(GIB // 2)}
    found = memory(MACHINE, grouped(tmp_path, **inner))
    assert found == Memory(2 * GIB, 3 * GIB // 2, "the control group")
    assert found.reason == "the control group allows 2048 MiB"
    outer = {"a/memory.max": str(4 * GIB), "a/memory.current": str(7 * GIB // 2)}  # others in it have taken most
    assert memory(MACHINE, grouped(tmp_path, **inner, **outer)) == Memory(2 * GIB, GIB // 2, "the control group")
    busy = SimpleNamespace(total=16 * GIB, available=1 << 20)
    assert memory(busy, grouped(tmp_path, **inner)).available == 1 << 20


def test_addresses_bound_each_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = Memory(16 * GIB, 12 * GIB)
    limit = resource.RLIM_INFINITY
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (limit, limit))
    assert within_address_space(given, tmp_path) is given
    limit = 3 * GIB
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/statm").write_text(f"{GIB // os.sysconf('SC_PAGE_SIZE')} 1 1 1 0 1 0\n")
    found = within_address_space(given, tmp_path)
    assert (found.total, found.available) == (3 * GIB, 2 * GIB)
    assert found.reason == "the limit of the address space (ulimit -v) allows 3072 MiB"
    (tmp_path / "proc/self/statm").write_text("nothing")
    assert within_address_space(given, tmp_path).available == 3 * GIB
    limit = 64 * GIB
    assert within_address_space(given, tmp_path) == given


@pytest.mark.parametrize(
    ("quota", "usable", "at_once"),
    [
        ("max 100000", 8, 4),
        ("600000", 6, 4),
        ("300000 100000", 3, 3),
        ("150000 100000", 1.5, 1),
        ("175000", 1.75, 2),
        ("20000", 0.2, 1),
    ],
)
def test_threads_are_cores_within_the_quota(
    quota: str, usable: float, at_once: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eight logical CPUs on four cores."""
    monkeypatch.setattr(allowance, "_allowed", lambda: set(range(8)))
    root = grouped(tmp_path, **{"a/cpu.max": quota})
    for number in range(8):
        folder = root / f"sys/devices/system/cpu/cpu{number}/topology"
        folder.mkdir(parents=True)
        (folder / "thread_siblings_list").write_text(f"{number % 4},{number % 4 + 4}\n")
    assert cpus(root) == usable
    assert threads(16, root) == at_once


def test_two_logical_cpus_of_one_core_are_one_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allowance, "_allowed", lambda: {1, 3})
    assert threads(None, tmp_path) == 2  # nothing says which cores they are
    assert threads(1, tmp_path) == 1
    for number in (1, 3):
        folder = tmp_path / f"sys/devices/system/cpu/cpu{number}/topology"
        folder.mkdir(parents=True)
        (folder / "thread_siblings_list").write_text("1,3\n")
    assert threads(4, tmp_path) == 1
