"""StateFolder: the files of parked states of all models, the bound on their bytes, and who goes first. One a machine.

`<root>/<model's digest>/<what else makes a state readable, hashed>/<prefix, hashed>.kv`; the service deletes folders of
models that are gone by their digest (store/prefixes.py). Several workers share it: a file may go at any time.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import xxhash

from arriero.core.runner import Prefix
from arriero.runners.llama_cpp.state_file import Header, UnreadableState, read_header

SUFFIX = ".kv"
FREE_SHARE = 10
"""All files together take at most one in so many of the bytes that would be free without them."""
MOST_TOKENS = 1 << 20
"""Of the files found at the start: each 16 take the engine a few microseconds, and a model is to load quickly."""
_OLD_TEMPORARY = 600.0  # seconds


@dataclass(frozen=True, slots=True)
class StateFile:
    """A file as the folder lists it; `used` in seconds since the epoch."""

    path: Path
    size: int
    used: float


class StateFolder:
    """The files of one model under one identity, within the bound of all. OSError where the folder cannot be made."""

    def __init__(self, root: Path, digest: str, identity: str, budget: int) -> None:
        if not digest or not digest.isalnum():
            raise OSError(f"{digest!r} is no digest")
        self.identity = identity
        self._root, self._budget = root, budget
        self._own = root / digest / xxhash.xxh3_128_hexdigest(identity.encode())
        missing = [parent for parent in reversed(root.parents) if not parent.exists()]
        for folder in (*missing, root, root / digest, self._own):
            folder.mkdir(mode=0o700, exist_ok=True)
            if folder.is_symlink() or not os.access(folder, os.W_OK | os.X_OK):
                raise OSError(f"{folder} cannot be written")
            folder.chmod(0o700)

    def path(self, prefix: Prefix) -> Path:
        """Return where the state of `prefix` lies."""
        name = xxhash.xxh3_128()
        name.update(prefix.root)
        for start in range(0, len(prefix.tokens), 4096):
            name.update(
                b"".join(token.to_bytes(4, "little", signed=True) for token in prefix.tokens[start : start + 4096])
            )
        return self._own / f"{name.hexdigest()}{SUFFIX}"

    def found(self) -> list[tuple[Header, int]]:
        """Return what lies here from earlier, least recently used first, with its size; what cannot be read is removed.

        Only files with our name and form are touched.
        """
        kept: list[tuple[Header, int]] = []
        tokens = 0
        for file in sorted(_states(self._own), key=lambda file: file.used, reverse=True):
            try:
                header, size = read_header(file.path)
            except UnreadableState:
                file.path.unlink(missing_ok=True)
                continue
            except OSError:
                continue
            tokens += len(header.tokens) // 4
            if tokens > MOST_TOKENS:
                break
            if header.identity == self.identity and self.path(header.prefix) == file.path:
                kept.append((header, size))
        _remove_temporaries(self._own)
        return kept[::-1]

    def make_room(self, size: int) -> list[Path] | None:
        """Delete the least recently used files, of whatever model, until `size` bytes more fit; return which.

        None if so much never fits. OSError if the disk cannot be asked.
        """
        files = sorted(self._all(), key=lambda file: file.used)
        total = sum(file.size for file in files)
        disk = os.statvfs(self._root)
        bound = min(self._budget, (disk.f_bavail * disk.f_frsize + total) // FREE_SHARE)
        if size > bound:
            return None
        gone: list[Path] = []
        for file in files:
            if total + size <= bound:
                break
            file.path.unlink(missing_ok=True)
            total -= file.size
            gone.append(file.path)
        return gone

    def _all(self) -> Iterator[StateFile]:
        for model in _folders(self._root):
            for identity in _folders(model):
                yield from _states(identity)


def _folders(place: Path) -> list[Path]:
    try:
        with os.scandir(place) as entries:
            return [Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []


def _states(folder: Path) -> Iterator[StateFile]:
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.endswith(SUFFIX) and entry.is_file(follow_symlinks=False):
                    said = entry.stat(follow_symlinks=False)
                    yield StateFile(Path(entry.path), said.st_size, said.st_mtime)
    except OSError:
        return


def _remove_temporaries(folder: Path) -> None:
    """Remove what a worker was writing when it was killed."""
    for path in folder.glob(f".*{SUFFIX}.*.tmp"):
        try:
            if time.time() - path.stat().st_mtime > _OLD_TEMPORARY:
                path.unlink()
        except OSError:
            continue
