"""What Linux's control groups leave to this process: containers and system services are bounded by them.

Owns their files' names and forms, of both versions; knows nothing of the machine's own memory and cores.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_ROOT = Path("/")
_PLACES = "sys/fs/cgroup"
_RECLAIMED = ("inactive_file", "active_file")


@dataclass(frozen=True, slots=True)
class MemoryBound:
    """What one group may have, and what of it is free. Bytes."""

    limit: int
    free: int


@dataclass(frozen=True, slots=True)
class _Mount:
    point: Path
    shown: str  # the group that is seen there: a container may see its own as the topmost one
    controllers: frozenset[str]  # of version 1; version 2 has all in one tree
    unified: bool


def memory_bounds(root: Path = _ROOT) -> list[MemoryBound]:
    """Return the bounds of this process's group and of all above it that are seen; none where nothing is bounded.

    A group's file pages count as free, active ones, too: the kernel takes them back before it kills anybody, as it
    does with the machine's (MemAvailable). A model's mapped weights are such pages. Swap does not count.
    https://docs.kernel.org/admin-guide/cgroup-v2.html#memory, cgroup-v1/memory.html
    """
    found = []
    for mount, folder in _folders("memory", root):
        stat = _fields(folder / "memory.stat")
        if mount.unified:
            limits = [_number(folder / "memory.max"), _number(folder / "memory.high")]
            used, prefix = _number(folder / "memory.current"), ""
        else:  # the last one knows of groups above that a container cannot see
            limits = [_number(folder / "memory.limit_in_bytes"), stat.get("hierarchical_memory_limit")]
            used, prefix = _number(folder / "memory.usage_in_bytes"), "total_"
        limit = min((one for one in limits if one is not None), default=None)
        if limit is not None:
            reclaimed = sum(stat.get(prefix + name, 0) for name in _RECLAIMED)
            found.append(MemoryBound(limit, max(0, limit - max(0, (used or 0) - reclaimed))))
    return found


def cpu_quota(root: Path = _ROOT) -> float | None:
    """Return how many CPUs' time this process's group may use, the least of all above it; None: no bound."""
    found = []
    for mount, folder in _folders("cpu", root):
        if mount.unified:  # "150000 100000", "max 100000"
            quota, _, period = _text(folder / "cpu.max").partition(" ")
        else:
            quota, period = _text(folder / "cpu.cfs_quota_us"), _text(folder / "cpu.cfs_period_us")
        share, of = _whole(quota), _whole(period or "100000")
        if share and of:
            found.append(share / of)
    return min(found, default=None)


def _folders(controller: str, root: Path) -> Iterator[tuple[_Mount, Path]]:
    """Yield where `controller` has its files for this process's group and those above it."""
    groups = _own_groups(root)
    for mount in _mounts(root):
        if not mount.unified and controller not in mount.controllers:
            continue
        name = groups.get("" if mount.unified else controller)
        if name is None:
            continue
        for inner in _upwards(name, mount.shown):
            yield mount, mount.point / inner


def _own_groups(root: Path) -> dict[str, str]:
    """This process's group for each controller of version 1, and for version 2 under the name "": man 7 cgroups."""
    groups = {}
    for line in _text(root / "proc/self/cgroup").splitlines():
        number, _, rest = line.partition(":")
        controllers, colon, name = rest.partition(":")
        if colon and number.isdecimal():
            for controller in controllers.split(","):
                groups[controller] = name.removesuffix(" (deleted)")
    return groups


def _mounts(root: Path) -> list[_Mount]:
    """Where the groups' trees are: man 5 proc_pid_mountinfo; the usual places where that cannot be read."""
    mounts = []
    for line in _text(root / "proc/self/mountinfo").splitlines():
        before, _, after = line.partition(" - ")
        fields, kind = before.split(" "), after.split(" ")
        if len(fields) >= 5 and len(kind) >= 3 and kind[0] in ("cgroup", "cgroup2"):
            point = root / _plain(fields[4]).lstrip("/")
            mounts.append(_Mount(point, _plain(fields[3]), frozenset(kind[2].split(",")), kind[0] == "cgroup2"))
    if mounts:
        return mounts
    places = root / _PLACES
    usual = [_Mount(places, "/", frozenset(), True)]
    return usual + [_Mount(places / name, "/", frozenset([name]), False) for name in ("memory", "cpu")]


def _upwards(name: str, shown: str) -> list[str]:
    """Return the group's folder below the mount and those above it, the mount's own ("") last."""
    parts, top = _parts(name), _parts(shown)
    below = parts[len(top) :] if parts[: len(top)] == top else []  # else it is seen as the topmost, or not at all
    if ".." in below:
        below = []  # it lies outside of what this process's namespace shows
    return ["/".join(below[:count]) for count in range(len(below), -1, -1)]


def _parts(name: str) -> list[str]:
    return [part for part in name.split("/") if part]


def _plain(escaped: str) -> str:
    """A path of mountinfo, whose blanks are written as octal numbers."""
    for code, character in ((r"\040", " "), (r"\011", "\t"), (r"\012", "\n"), (r"\134", "\\")):
        escaped = escaped.replace(code, character)
    return escaped


def _fields(path: Path) -> dict[str, int]:
    """The numbers of a file of lines like `inactive_file 4096`."""
    pairs = (line.partition(" ") for line in _text(path).splitlines())
    return {name: number for name, _, value in pairs if (number := _whole(value)) is not None}


def _number(path: Path) -> int | None:
    return _whole(_text(path))


def _whole(text: str) -> int | None:
    """A number from 0 on; None for `max`, -1 and whatever else is none."""
    text = text.strip()
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else None


def _text(path: Path) -> str:
    """What a file says, nothing where it cannot be read."""
    try:
        return path.read_text("utf-8", "replace").strip()
    except (OSError, ValueError):
        return ""
