"""An append-only record of the blobs that arriero wrote into a models folder: `prune` removes nothing else."""

from __future__ import annotations

import os
import time
from pathlib import Path

import msgspec

from arriero.store.durable import FULL, PRIVATE, private_folder

_NAME = "journal.jsonl"


class _Entry(msgspec.Struct):
    did: str
    blob: str
    at: float = 0.0


class Journal:
    """The journal of the models folder `root`. Lines that cannot be read (a kill in the middle) are passed over."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._path = root / PRIVATE / _NAME

    def wrote(self, digest: str) -> None:
        """Note that arriero is about to put the blob in place."""
        self._append(_Entry("wrote", digest, time.time()))

    def removed(self, digest: str) -> None:
        """Note that arriero removed the blob; should it come back, somebody else brought it. Not on a full disk."""
        try:
            self._append(_Entry("removed", digest, time.time()))
        except OSError as error:
            if error.errno not in FULL:
                raise

    def written(self) -> set[str]:
        """Digests of the blobs that arriero wrote and did not remove."""
        digests: set[str] = set()
        try:
            lines = self._path.read_bytes().splitlines()
        except FileNotFoundError:
            return digests
        for line in lines:
            try:
                entry = msgspec.json.decode(line, type=_Entry)
            except msgspec.DecodeError:
                continue
            (digests.add if entry.did == "wrote" else digests.discard)(entry.blob)
        return digests

    def _append(self, entry: _Entry) -> None:
        private_folder(self._root, "")
        with self._path.open("ab+") as file:
            if file.tell():
                file.seek(-1, os.SEEK_END)
                whole = file.read(1) == b"\n"
            else:
                whole = True
            # One write: lines of two processes do not mix. A torn line before it is closed first.
            file.write((b"" if whole else b"\n") + msgspec.json.encode(entry) + b"\n")
            file.flush()
            os.fsync(file.fileno())
