"""One models folder, shared with a running Ollama: writes and deletes models so that what is listed is whole.

Ollama knows none of our locks and may remove a blob that no manifest names at any moment. So blobs are held (a second
link in `.arriero/`) while a manifest that names them is written, and checked again after it is there.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Iterable
from pathlib import Path

from arriero.core.errors import BlobNotFound, StoreError
from arriero.store.blobs import BlobStore, parse_digest
from arriero.store.durable import FULL, PRIVATE, locked, private_folder, told
from arriero.store.manifests import Manifest, ManifestStore, StoredManifest, parse_manifest
from arriero.store.names import ModelName

log = logging.getLogger(__name__)
YOUNG_S = 3600.0
"""A blob younger than this may belong to a manifest that somebody is about to write."""
LEFT_S = 60.0
"""A blob that is held for longer is held by nobody: writing a manifest takes a tenth of a second."""
SETTLE_S = 0.1
"""How long after a manifest the last look at its blobs is: longer than Ollama takes from listing to deleting."""


class ModelFolder:
    """Blobs, manifests and journal of the models folder `root`. Nothing is made there before the first write."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.blobs = BlobStore(root)
        self.manifests = ManifestStore(root)
        self.journal = self.blobs.journal

    def writable(self) -> bool:
        """Whether this process may write here; a folder that is not there yet counts by where it would be made."""
        try:
            if not self.root.exists():
                parent = next((one for one in self.root.parents if one.exists()), self.root)
                return parent.is_dir() and os.access(parent, os.W_OK | os.X_OK)
            folders = (self.blobs.folder, self.manifests.folder, self.root / PRIVATE)
            inside = [one for one in folders if one.exists()]
            return all(one.is_dir() and os.access(one, os.W_OK | os.X_OK) for one in (self.root, *inside))
        except OSError:  # it may not even be looked at
            return False

    def write(self, name: ModelName, raw: bytes) -> None:
        """Put a manifest in place whose blobs are all there, and drop the blobs that the old one alone named.

        BlobNotFound if one is missing before; StoreError if one vanishes meanwhile and cannot be had back: then the
        old manifest is there again, or none. Blocks: not for an event loop.
        """
        manifest = parse_manifest(raw)
        with told("write to the store"):
            private_folder(self.root, "")
        with locked(self.root):
            self.recover()
            old = self._old(name)
            held = self._hold(manifest)
            try:
                path = self.manifests.write(name, raw)
                for pause in (0.0, SETTLE_S):
                    time.sleep(pause)
                    if not self._restored(path, manifest, held):
                        self._undo(path, name, old)
                        raise StoreError(f"a blob of {name} was removed while it was written; try again")
            finally:
                for link in held.values():
                    if link is not None:
                        self.blobs.let_go(link)
        if old is not None and old.manifest.raw != raw:
            self.release(layer.digest for layer in old.manifest.blobs)

    def delete(self, name: ModelName) -> bool:
        """Remove the model's manifest, and its blobs where `release` may; False if there is no such model."""
        if self.manifests.locate(name) is None:
            return False
        with locked(self.root):
            stored = self.manifests.find(name)
            if stored is None:
                return False
            self.manifests.delete(stored.path)
        self.release(layer.digest for layer in stored.manifest.blobs)
        return True

    def release(self, digests: Iterable[str]) -> list[str]:
        """Delete those blobs that a fresh reading finds named by no manifest and that are over an hour old.

        Return what was deleted. While any manifest does not parse nothing is: it may name them. What stays is left to
        `prune`, or to Ollama's own at its next start.
        """
        now = time.time()
        wanted = {parse_digest(digest) for digest in digests}
        with locked(self.root), told("delete blobs"):
            self.recover()
            named = self.named()
            if named is None:
                return []
            old = [one for one in sorted(wanted - named) if self._age(one, now) > YOUNG_S]
            return [one for one in old if self._remove(one)]

    def named(self) -> set[str] | None:
        """Digests of the blobs that manifests name; None, and a log line each, if a manifest does not parse."""
        stored, broken = self.manifests.read_all()
        for one in broken:
            log.warning("the manifest %s does not parse, so no blob is deleted: %s", one.path, one.reason)
        if broken:
            return None
        return {parse_digest(layer.digest) for one in stored for layer in one.manifest.blobs}

    def recover(self) -> None:
        """Put back what a manifest names and a killed process had taken away, or held while Ollama removed it.

        Called with the lock held. StoreError.
        """
        trash = self.root / PRIVATE / "trash"
        with told("recover what was left behind"):
            left = list(trash.iterdir()) if trash.is_dir() else []
            held = self.blobs.held()
            named = self.named() if left or held else set()
            for path in left:
                digest = path.name.replace("-", ":", 1)
                if named is None or digest in named:
                    if not self.blobs.has(digest):
                        os.replace(path, self.blobs.path(digest))
                else:
                    path.unlink(missing_ok=True)
            for link, digest in held:
                if named is None:
                    continue
                if digest in named and not self.blobs.has(digest):
                    self.blobs.restore(link, digest)
                elif self._left(link):
                    self.blobs.let_go(link)

    @staticmethod
    def _left(link: Path) -> bool:
        """Whether whoever held a blob is surely gone: where there are no locks another may be at work."""
        try:
            return time.time() - link.parent.stat().st_mtime > LEFT_S
        except OSError:
            return False

    def remove_blob(self, digest: str) -> bool:
        """Delete one blob that no manifest names; False if one names it after all. Called with the lock held."""
        return self._remove(parse_digest(digest))

    def _remove(self, digest: str) -> bool:
        """Take the blob away, look once more whether a manifest names it, and only then let it go."""
        path = self.blobs.path(digest)
        with told("delete a blob"):
            away = self._trash(path)
            try:
                os.replace(path, away)
            except FileNotFoundError:
                return False
            named = self.named()
            if named is None or digest in named:
                if not path.exists():
                    os.replace(away, path)
                return False
            away.unlink(missing_ok=True)
            self.journal.removed(digest)
        return True

    def _trash(self, path: Path) -> Path:
        """Where a blob is while it is looked whether it may go; on a full disk beside itself, if there is no folder."""
        try:
            return private_folder(self.root, "trash") / path.name
        except OSError as error:
            if error.errno not in FULL:
                raise
            return path.with_name(f"{path.name}-removed")

    def _age(self, digest: str, now: float) -> float:
        try:
            return now - self.blobs.path(digest).stat().st_mtime
        except OSError:
            return 0.0

    def _old(self, name: ModelName) -> StoredManifest | None:
        try:
            return self.manifests.find(name)
        except StoreError as error:
            log.warning("the manifest of %s that is replaced does not parse; its blobs stay: %s", name, error)
            return None

    def _hold(self, manifest: Manifest) -> dict[str, Path | None]:
        held: dict[str, Path | None] = {}
        for layer in manifest.blobs:
            if layer.digest in held:
                continue
            self.blobs.touch(layer.digest)
            link = self.blobs.hold(layer.digest)
            if link is None and not self.blobs.has(layer.digest):
                for other in held.values():
                    if other is not None:
                        self.blobs.let_go(other)
                raise BlobNotFound(f'blob "{layer.digest}" not found', digest=layer.digest)
            held[layer.digest] = link
        return held

    def _restored(self, path: Path, manifest: Manifest, held: dict[str, Path | None]) -> bool:
        """Whether every blob is there, if need be again; also true when somebody deleted or replaced the manifest."""
        for digest, link in held.items():
            if self.blobs.has(digest):
                continue
            with contextlib.suppress(OSError):
                if path.read_bytes() != manifest.raw:
                    return True
            if not path.exists():
                return True
            if link is None:
                return False
            self.blobs.restore(link, digest)
        return True

    def _undo(self, path: Path, name: ModelName, old: StoredManifest | None) -> None:
        if old is not None and all(self.blobs.has(layer.digest) for layer in old.manifest.blobs):
            self.manifests.write(name, old.manifest.raw)
        else:
            self.manifests.delete(path)
