"""How many compilers may run at once: bounded by cores and by memory, containers' limits included."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

BYTES_A_JOB = 1_500_000_000  # the largest template-heavy files of ggml take about this much


def jobs(env: Mapping[str, str]) -> int:
    """CMAKE_BUILD_PARALLEL_LEVEL if the user set it, else what cores and memory allow."""
    asked = env.get("CMAKE_BUILD_PARALLEL_LEVEL", "")
    if asked.isdigit() and int(asked) > 0:
        return int(asked)
    return bounded(cores(), available_memory())


def bounded(cores: int, memory: int | None) -> int:
    """At least one, at most one a core, each with the memory it needs."""
    return max(1, cores if memory is None else min(cores, memory // BYTES_A_JOB))


def cores() -> int:
    """Cores that this process may use: affinity and the container's quota."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _read("/sys/fs/cgroup/cpu.max").split()
    if len(quota) == 2 and quota[0].isdigit() and quota[1].isdigit():
        count = min(count, max(1, int(quota[0]) // int(quota[1])))
    return count


def available_memory() -> int | None:
    """Bytes that are free for us, or None where nothing says so."""
    lines = _read("/proc/meminfo").splitlines()
    found = [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    limit, used = _read("/sys/fs/cgroup/memory.max").strip(), _read("/sys/fs/cgroup/memory.current").strip()
    if limit.isdigit() and used.isdigit():
        found.append(max(0, int(limit) - int(used)))
    if not found and "SC_PHYS_PAGES" in os.sysconf_names:
        found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2)
    return min(found, default=None)


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""
