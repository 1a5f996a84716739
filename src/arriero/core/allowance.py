"""What memory and CPUs this process may really use: what control groups, affinity and limits leave of the machine.

Processes that it starts are bounded alike. Knows no model and no plan; who calls brings the machine's own figures.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from arriero.core import control_groups

_ROOT = Path("/")
NEARLY_ONE = 0.75
"""Part of a CPU from which on it is worth a thread. With less all threads are stopped for long when the group has used
up its time. Measured (135 M parameters, Q8_0, 2 cores), tokens a second and the gap between them in ms that one in
twenty exceeds: of 1.75 CPUs two threads make 52 to 57 (28 to 32), one 38 (30 to 32); of 1.5 CPUs 32 to 48 (41 to 112)
and 40 to 42 (26 to 27); of 1.25 CPUs 38 (53 to 56) and 40 (27 to 29)."""


class Machine(Protocol):
    """The machine's memory in bytes; psutil's `virtual_memory()` is one."""

    @property
    def total(self) -> int:
        """All of it."""

    @property
    def available(self) -> int:
        """What can be had without swapping."""


@dataclass(frozen=True, slots=True)
class Memory:
    """What may be used, and what of it is free now. Bytes. `bound` says who allows less than the machine has, or ""."""

    total: int
    available: int
    bound: str = ""

    @property
    def reason(self) -> str:
        """Say why there is no more, "" where that is the machine."""
        return f"{self.bound} allows {self.total >> 20} MiB" if self.bound else ""


def memory(machine: Machine, root: Path = _ROOT) -> Memory:
    """Return what this process and its children together may have."""
    found = Memory(machine.total, machine.available)
    for bound in control_groups.memory_bounds(root):
        if bound.limit < machine.total:  # else it bounds nothing: version 1 writes a huge number for that
            total = min(bound.limit, found.total)
            found = Memory(total, min(bound.free, found.available), "the control group")
    return found


def within_address_space(found: Memory, root: Path = _ROOT) -> Memory:
    """Return what of `found` a process like this one has addresses for (`ulimit -v`, RLIMIT_AS), which each has alone.

    What is mapped counts, whether it takes memory or not.
    """
    limit = _address_limit()
    if limit is None:
        return found
    free = max(0, limit - _mapped(root))
    if limit >= found.total:
        return Memory(found.total, min(found.available, free), found.bound)
    return Memory(limit, min(found.available, free), "the limit of the address space (ulimit -v)")


def cpus(root: Path = _ROOT) -> float:
    """Return how many CPUs' time this process may use: its affinity's logical ones, or its group's quota."""
    quota = control_groups.cpu_quota(root)
    return len(_allowed()) if quota is None else min(len(_allowed()), quota)


def threads(physical: int | None, root: Path = _ROOT) -> int:
    """Return how many threads may compute side by side: physical cores that this process may run on, within its quota.

    `physical` is the machine's number, None where it is not known.
    """
    allowed = _allowed()
    cores = len(_cores(allowed, root)) or min(physical or len(allowed), len(allowed))
    return max(1, min(cores, math.floor(cpus(root) + 1 - NEARLY_ONE)))


def _allowed() -> set[int]:
    """The logical CPUs that the scheduler may choose."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))


def _cores(allowed: Iterable[int], root: Path) -> set[str]:
    """The physical cores behind logical CPUs, each by the list of those on it; none where the system does not say."""
    found = set()
    for number in allowed:
        try:
            found.add((root / f"sys/devices/system/cpu/cpu{number}/topology/thread_siblings_list").read_text().strip())
        except (OSError, ValueError):
            return set()
    return found


def _address_limit() -> int | None:
    if sys.platform == "win32":
        return None
    import resource

    soft = resource.getrlimit(resource.RLIMIT_AS)[0]
    return None if soft == resource.RLIM_INFINITY else soft


def _mapped(root: Path) -> int:
    """Bytes of addresses that this process has taken; 0 where the system does not say. man 5 proc_pid_statm"""
    try:
        pages = (root / "proc/self/statm").read_text().split()[0]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0
