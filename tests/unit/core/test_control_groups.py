"""Bounds are found in trees as systemd, Docker and Kubernetes make them; what cannot be understood bounds nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arriero.core.control_groups import MemoryBound, cpu_quota, memory_bounds

GIB = 1 << 30
UNIFIED = "31 23 0:28 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate"
FIRST = [
    "32 31 0:29 {root} /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct",
    "35 31 0:32 {root} /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory",
]


def tree(root: Path, groups: str, mounts: list[str] | None = None, **files: str) -> Path:
    """A system's files below `root`; `files` by their paths in /sys/fs/cgroup."""
    written = {"proc/self/cgroup": groups, **{f"sys/fs/cgroup/{name}": text for name, text in files.items()}}
    if mounts is not None:
        written["proc/self/mountinfo"] = "23 1 254:0 / / rw - ext4 /dev/vda rw\n" + "\n".join(mounts)
    for name, text in written.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text + "\n")
    return root


def limits(root: Path) -> list[int]:
    """The limits found, the own group's first."""
    return [bound.limit for bound in memory_bounds(root)]


def test_every_group_above_bounds_as_systemd_nests_them(tmp_path: Path) -> None:
    root = tree(
        tmp_path,
        "0::/system.slice/arriero.service",
        [UNIFIED],
        **{
            "system.slice/arriero.service/memory.max": str(4 * GIB),
            "system.slice/arriero.service/memory.high": str(3 * GIB),
            "system.slice/arriero.service/memory.current": str(2 * GIB),
            "system.slice/arriero.service/memory.stat": f"anon 1\ninactive_file {GIB // 2}\nactive_file {GIB}",
            "system.slice/arriero.service/cpu.max": "max 100000",
            "system.slice/memory.max": str(8 * GIB),
            "system.slice/memory.high": "max",
            "system.slice/memory.current": str(7 * GIB),
            "system.slice/cpu.max": "150000 100000",
        },
    )
    assert memory_bounds(root) == [MemoryBound(3 * GIB, 5 * GIB // 2), MemoryBound(8 * GIB, GIB)]
    assert cpu_quota(root) == 1.5


def test_a_container_sees_its_own_group_as_the_topmost(tmp_path: Path) -> None:
    root = tree(tmp_path, "0::/", [UNIFIED], **{"memory.max": str(2 * GIB), "memory.current": "0", "cpu.max": "50000"})
    assert memory_bounds(root) == [MemoryBound(2 * GIB, 2 * GIB)]
    assert cpu_quota(root) == 0.5


@pytest.mark.parametrize("shown", ["/", "/docker/0a1b"])
def test_version_1(shown: str, tmp_path: Path) -> None:
    """A container's mounts show its own group, whose name is the whole one, or all of the tree."""
    inner = "docker/0a1b/" if shown == "/" else ""
    root = tree(
        tmp_path,
        "5:memory:/docker/0a1b\n4:cpu,cpuacct:/docker/0a1b\n1:name=systemd:/docker/0a1b",
        [line.format(root=shown) for line in FIRST],
        **{
            f"memory/{inner}memory.limit_in_bytes": str(2 * GIB),
            f"memory/{inner}memory.usage_in_bytes": str(GIB),
            f"memory/{inner}memory.stat": f"active_file 7\ntotal_active_file {GIB // 4}\n"
            f"hierarchical_memory_limit {3 * GIB // 2}",
            f"cpu,cpuacct/{inner}cpu.cfs_quota_us": "200000",
            f"cpu,cpuacct/{inner}cpu.cfs_period_us": "100000",
        },
    )
    assert memory_bounds(root) == [MemoryBound(3 * GIB // 2, 3 * GIB // 4)]
    assert cpu_quota(root) == 2.0


def test_a_hybrid_has_its_bounds_in_version_1(tmp_path: Path) -> None:
    mounts = [line.format(root="/") for line in FIRST] + [UNIFIED.replace("/sys/fs/cgroup", "/sys/fs/cgroup/unified")]
    files = {"memory/a/memory.limit_in_bytes": str(GIB), "unified/cgroup.procs": "1", "memory/cgroup.procs": "1"}
    assert limits(tree(tmp_path, "4:memory:/a\n0::/a", mounts, **files)) == [GIB]
    assert cpu_quota(tmp_path) is None


def test_nothing_bounds_where_nothing_says_so(tmp_path: Path) -> None:
    assert memory_bounds(tmp_path) == []  # no Linux
    assert cpu_quota(tmp_path) is None
    files = {"a/memory.max": "max", "a/cpu.max": "max 100000", "a/memory.current": "12"}
    assert memory_bounds(tree(tmp_path, "0::/a", [UNIFIED], **files)) == []
    assert cpu_quota(tmp_path) is None


def test_groups_outside_of_what_is_seen_and_groups_that_were_removed(tmp_path: Path) -> None:
    for name in ("/../../b", "/a (deleted)", "/gone/away"):
        assert limits(tree(tmp_path, f"0::{name}", [UNIFIED], **{"memory.max": str(GIB)})) == [GIB]
    assert limits(tree(tmp_path, "0::/a:b", [UNIFIED], **{"a:b/memory.max": "4096"})) == [4096, GIB]


def test_places_with_blanks_and_places_that_are_guessed(tmp_path: Path) -> None:
    blank = UNIFIED.replace("/sys/fs/cgroup", "/sys/fs/cgroup/my\\040groups")
    assert limits(tree(tmp_path / "1", "0::/", [blank], **{"my groups/memory.max": "4096"})) == [4096]
    assert limits(tree(tmp_path / "2", "0::/", None, **{"memory.max": "4096"})) == [4096]
    assert limits(tree(tmp_path / "3", "4:memory:/", None, **{"memory/memory.limit_in_bytes": "4096"})) == [4096]


def test_what_cannot_be_read_counts_for_nothing(tmp_path: Path) -> None:
    root = tree(tmp_path, "0::/a", [UNIFIED], **{"a/memory.max": "4096", "a/memory.stat/odd": "", "a/cpu.max/odd": ""})
    assert memory_bounds(root) == [MemoryBound(4096, 4096)]  # folders instead of files
    assert cpu_quota(root) is None


@given(text=st.text(), quota=st.text(alphabet="0123456789 max-\n\u0661"))
def test_odd_content_is_no_error(text: str, quota: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    root = tmp_path_factory.mktemp("odd")
    files = {"memory.max": quota, "memory.current": text, "memory.stat": text, "cpu.max": quota}
    tree(root, "0::/" + text.replace("\0", ""), [UNIFIED], **files)
    assert all(bound.limit >= bound.free >= 0 for bound in memory_bounds(root))
    assert (cpu_quota(root) or 1) > 0
    (root / "proc/self/cgroup").write_bytes(text.encode("utf-8", "replace") + b"\xff\0")
    (root / "proc/self/mountinfo").write_text(text, "utf-8", "replace")
    memory_bounds(root)
