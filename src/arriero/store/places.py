"""Which models folders there are and which one is written: Ollama's where that may be, else arriero's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from arriero.core.errors import StoreError
from arriero.store.folder import ModelFolder
from arriero.store.names import ModelName


@dataclass(frozen=True, slots=True)
class Target:
    """The folder that a model is written to; `note` says why it is not Ollama's, where it is not."""

    folder: ModelFolder
    note: str = ""


class Stores:
    """Ollama's models folder and arriero's own. Reading finds a model in either; arriero's wins."""

    def __init__(self, ollama: Path | None, own: Path | None = None) -> None:
        self._ollama = ModelFolder(ollama) if ollama is not None else None
        self._own = ModelFolder(own) if own is not None else None

    @property
    def folders(self) -> Sequence[ModelFolder]:
        """All folders, in the order in which they are read."""
        return [folder for folder in (self._own, self._ollama) if folder is not None]

    def target(self, name: ModelName | None = None) -> Target:
        """Where a model of that name is written: where it lies already, else Ollama's folder, else our own."""
        if name is not None:
            for folder in self.folders:
                if folder.manifests.locate(name) is not None and folder.writable():
                    return Target(folder)
        if self._ollama is not None and self._ollama.writable():
            return Target(self._ollama)
        if self._own is None or not self._own.writable():
            place = self._ollama or self._own
            raise StoreError(f"the models folder {place.root if place else ''} cannot be written")
        note = "" if self._ollama is None else f"{self._ollama.root} cannot be written: writing to {self._own.root}"
        return Target(self._own, note)

    def has_blob(self, digest: str) -> bool:
        """Whether the blob is where a model would be written."""
        return self.target().folder.blobs.has(digest)
