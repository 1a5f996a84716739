"""Which names this server knows: files given by name, folders of GGUFs, models folders, other programs', the demo.

Files are served in place and never written. Earlier sources win over later ones; the demo comes last.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path

from arriero.core.errors import ModelLoadError, ModelNotFound, StoreError
from arriero.core.model import ModelSpec
from arriero.store.describe import describe
from arriero.store.folder import ModelFolder
from arriero.store.in_place import InPlace
from arriero.store.names import ModelName, name_from_file, parse_name
from arriero.store.ollama_store import StoredModel, read_folder
from arriero.store.splits import is_later_part, parts_of

log = logging.getLogger(__name__)
DEMO = "demo:latest"
Entry = Path | StoredModel


def demo_path() -> Path:
    """Where the built-in model lies in the package."""
    return Path(str(resources.files("arriero") / "demo" / "demo.gguf"))


class Catalog:
    """Resolves names to specs. A header is read again when its file is another. `refine` adds what others decide."""

    def __init__(
        self,
        files: Mapping[str, Path],
        folders: Sequence[Path] = (),
        stores: Sequence[ModelFolder] = (),
        refine: Callable[[ModelSpec], ModelSpec] = lambda spec: spec,
        others: Sequence[InPlace] = (),
    ) -> None:
        self._files = {str(parse_name(name)): path for name, path in files.items()}
        self._folders = tuple(folders)
        self._stores, self._others = tuple(stores), tuple(others)
        self._refine = refine
        self._specs: dict[str, tuple[object, ModelSpec]] = {}  # by name: the newest version alone

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
        canonical, entry = self.locate(name)
        try:
            return self._spec(canonical, entry)
        except OSError as error:
            raise ModelLoadError(f"cannot read the file of model {canonical}: {error}") from error

    def locate(self, name: str) -> tuple[str, Entry]:
        """Where the model of that name lies, and its canonical name: a file served in place, or a stored model."""
        wanted = parse_name(name)
        place = self.in_place(wanted)
        if place is not None:
            return place
        for folder in self._stores:
            try:
                stored = folder.manifests.find(wanted)
            except StoreError as error:
                raise ModelLoadError(str(error)) from error
            if stored is not None:
                return str(stored.name), StoredModel(folder, stored)
        for other in self._others:
            found = other.find(wanted)
            if found is not None:
                return str(found[0]), found[1]
        if wanted.key == parse_name(DEMO).key and demo_path().exists():
            return DEMO, demo_path()
        raise ModelNotFound(f"model '{name}' not found", model=name)

    def in_place(self, name: ModelName) -> tuple[str, Path] | None:
        """The file that was given to be served under that name; what gives way to a stored model is none."""
        for key, canonical, path in self._in_place():
            if key == name.key:
                return canonical, path
        return None

    def _in_place(self) -> Iterator[tuple[str, str, Path]]:
        for name, path in self._files.items():
            yield parse_name(name).key, name, path
        for folder in self._folders:
            for path in sorted(folder.glob("*.gguf")):
                if is_later_part(path):
                    continue
                canonical = parse_name(name_from_file(path.stem))
                yield canonical.key, str(canonical), path

    def _entries(self) -> Iterator[tuple[str, str, Entry]]:
        yield from self._in_place()
        for folder in self._stores:
            for stored in read_folder(folder):
                yield stored.name.key, str(stored.name), stored
        for other in self._others:
            for found, path in other.models():
                yield found.key, str(found), path
        if demo_path().exists():
            yield parse_name(DEMO).key, DEMO, demo_path()

    def _spec(self, name: str, entry: Entry) -> ModelSpec:
        path = entry if isinstance(entry, Path) else entry.weights
        stat = path.stat()
        # A blob's bytes never change, but its mtime does when it is named anew: the manifest's counts.
        at = stat.st_mtime_ns if isinstance(entry, Path) else (entry.digest, entry.stored.modified_at)
        version = (str(path), stat.st_size, at)
        known, spec = self._specs.get(name, (None, None))
        if spec is None or known != version:
            if isinstance(entry, Path):
                # The parts of a split model are found by their names, which a cache's links alone have.
                spec = describe(name, path.absolute() if len(parts_of(path)) > 1 else path.resolve())
            else:
                spec = self._refine(entry.apply(describe(name, path, digest=entry.digest)))
            self._specs[name] = version, spec
        return spec
