"""Puts files in place so that they survive a power cut: fsync, rename, fsync. One lock a models folder."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from arriero.core.errors import StoreError

FULL = (errno.ENOSPC, errno.EDQUOT)
"""What the system says where the disk, or the user's share of it, is full."""
PRIVATE = ".arriero"
"""The folder inside a models folder for everything that is neither a blob nor a manifest.

Ollama deletes strangers in `blobs/` after an hour and reads every file in `manifests/` as a manifest.
"""


def private_folder(root: Path, name: str) -> Path:
    """Return (and make) a folder of arriero's own on the file system of the models folder `root`."""
    folder = root / PRIVATE / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def sync_folder(folder: Path) -> None:
    """Make a folder's entries durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def put_in_place(temporary: Path, target: Path) -> None:
    """Rename a whole, closed file to its final name, with a fresh mtime; durable when this returns.

    Somebody else may remove empty folders at any time (Ollama does), so the target's folder is made as often as needed.
    """
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    os.utime(temporary)
    for attempt in range(5):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.replace(temporary, target)
            break
        except FileNotFoundError:
            if attempt == 4 or not temporary.exists():
                raise
    sync_folder(target.parent)


@contextlib.contextmanager
def locked(root: Path) -> Iterator[None]:
    """Hold the models folder against other processes of arriero; a killed one lets go by itself.

    Ollama knows no lock: what it may do in between is checked afterwards by whoever holds this one. On a disk so full
    that the lock cannot be made there is none: else nothing could be deleted there. StoreError.
    """
    with contextlib.ExitStack() as stack:
        with told("lock the models folder"):
            try:
                file = stack.enter_context((private_folder(root, "") / "lock").open("a"))
            except OSError as error:
                if error.errno not in FULL:
                    raise
            else:
                with contextlib.suppress(OSError):  # a file system without locks
                    fcntl.flock(file, fcntl.LOCK_EX)
        yield


def try_lock(descriptor: int) -> bool:
    """Lock an open file without waiting; False where another process has it. Where there are no locks it is free."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass  # a file system without locks
    return True


@contextlib.contextmanager
def told(what: str) -> Iterator[None]:
    """Turn what the operating system says into a StoreError that says what could not be done."""
    try:
        yield
    except OSError as error:
        reason = "the disk is full" if error.errno in FULL else error.strerror or str(error)
        raise StoreError(f"cannot {what}: {reason}") from error
