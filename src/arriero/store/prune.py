"""Removes what arriero itself wrote and nothing names any more. Never run by the server; Ollama prunes on its own."""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path

from arriero.store.blobs import parse_digest
from arriero.store.durable import PRIVATE, locked, told
from arriero.store.folder import ModelFolder
from arriero.store.manifests import Broken

AGE_S = 24 * 3600.0


@dataclass(slots=True)
class Pruned:
    """What was (or in a dry run would be) removed: blobs and leftovers of unfinished work, sizes in bytes.

    `broken` manifests are why nothing was.
    """

    blobs: dict[str, int] = field(default_factory=dict)
    leftovers: dict[Path, int] = field(default_factory=dict)
    broken: list[Broken] = field(default_factory=list)

    @property
    def size(self) -> int:
        """Bytes in all."""
        return sum(self.blobs.values()) + sum(self.leftovers.values())


def prune(folder: ModelFolder, *, dry_run: bool = False, now: float | None = None) -> Pruned:
    """Remove blobs that the journal says arriero wrote, no manifest names, and that are older than 24 hours.

    Unfinished work of that age goes too. While any manifest does not parse nothing is removed.
    """
    found = Pruned()
    if not os.path.isdir(folder.root / PRIVATE):
        return found
    now = time.time() if now is None else now
    with locked(folder.root), told("prune the store"):
        stored, found.broken = folder.manifests.read_all()
        if found.broken:
            return found
        folder.recover()
        named = {parse_digest(layer.digest) for one in stored for layer in one.manifest.blobs}
        for digest in sorted(folder.journal.written() - named):
            path = folder.blobs.path(digest)
            if _old(path, now):
                size = path.stat().st_size
                if dry_run or folder.remove_blob(digest):
                    found.blobs[digest] = size
        for room in ("tmp", "partial"):
            place = folder.root / PRIVATE / room
            for path in sorted(place.iterdir()) if place.is_dir() else ():
                if _old(path, now):
                    found.leftovers[path] = path.stat().st_size if path.is_file() else 0
                    if not dry_run:
                        _remove(path)
    return found


def _old(path: Path, now: float) -> bool:
    try:
        return now - path.lstat().st_mtime > AGE_S
    except OSError:
        return False


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
