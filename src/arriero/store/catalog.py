"""Which names this server knows: files given by name, folders of GGUFs, an Ollama store, and the built-in demo.

Files are served in place and never written. Earlier sources win over later ones; the demo comes last.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path

from arriero.core.errors import ModelLoadError, ModelNotFound
from arriero.core.model import ModelSpec
from arriero.store.describe import describe
from arriero.store.names import name_from_file, parse_name
from arriero.store.ollama_store import StoredModel, read_store

log = logging.getLogger(__name__)
DEMO = "demo:latest"


def demo_path() -> Path:
    """Where the built-in model lies in the package."""
    return Path(str(resources.files("arriero") / "demo" / "demo.gguf"))


class Catalog:
    """Resolves names to specs. Headers are read once per (path, size, mtime)."""

    def __init__(
        self, files: Mapping[str, Path], folders: Sequence[Path] = (), ollama_models: Path | None = None
    ) -> None:
        self._files = {str(parse_name(name)): path for name, path in files.items()}
        self._folders = tuple(folders)
        self._ollama_models = ollama_models
        self._specs: dict[tuple[str, str, int, int], ModelSpec] = {}

    def models(self) -> list[ModelSpec]:
        """All models, newest first. A file that cannot be read is left out and logged."""
        found: dict[str, ModelSpec] = {}
        for key, name, entry in self._entries():
            if key not in found:
                try:
                    found[key] = self._spec(name, entry)
                except (ModelLoadError, OSError) as error:
                    log.warning("model %s is left out: %s", name, error)
        return sorted(found.values(), key=lambda spec: -spec.modified_at)

    def find(self, name: str) -> ModelSpec:
        """The spec of `name`; ModelNotFound if unknown, InvalidRequest if not a name, ModelLoadError if unusable."""
        wanted = parse_name(name).key
        for key, canonical, entry in self._entries():
            if key == wanted:
                try:
                    return self._spec(canonical, entry)
                except OSError as error:
                    raise ModelLoadError(f"cannot read the file of model {canonical}: {error}") from error
        raise ModelNotFound(f"model '{name}' not found", model=name)

    def _entries(self) -> Iterator[tuple[str, str, Path | StoredModel]]:
        for name, path in self._files.items():
            yield parse_name(name).key, name, path
        for folder in self._folders:
            for path in sorted(folder.glob("*.gguf")):
                canonical = parse_name(name_from_file(path.stem))
                yield canonical.key, str(canonical), path
        if self._ollama_models is not None:
            for stored in read_store(self._ollama_models):
                yield stored.name.key, str(stored.name), stored
        if demo_path().exists():
            yield parse_name(DEMO).key, DEMO, demo_path()

    def _spec(self, name: str, entry: Path | StoredModel) -> ModelSpec:
        path = entry if isinstance(entry, Path) else entry.weights
        stat = path.stat()
        key = (name, str(path), stat.st_size, stat.st_mtime_ns)
        spec = self._specs.get(key)
        if spec is None:
            source = "demo" if path == demo_path() else "path"
            if isinstance(entry, Path):
                spec = describe(name, path.resolve(), source=source)
            else:
                spec = entry.apply(describe(name, path, source="ollama", digest=entry.digest))
            self._specs[key] = spec
        return spec
