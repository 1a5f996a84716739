"""The manifests of a models folder: `manifests/HOST/NAMESPACE/MODEL/TAG`. Knows which blobs they name, not the blobs.

Hostile input: sizes are bounded, digests checked. A manifest that does not parse may be one that somebody writes just
now: it is read again, then reported, and never deleted.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from arriero.core.errors import InvalidRequest, StoreError
from arriero.store.blobs import parse_digest
from arriero.store.durable import private_folder, put_in_place, told
from arriero.store.names import ModelName, parse_name

MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG_TYPE = "application/vnd.docker.container.image.v1+json"
LAYER_TYPE = "application/vnd.ollama.image."
MAX_MANIFEST = 4 * 1024 * 1024
READS, PAUSE_S = 3, 0.02


class Layer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One blob as a manifest names it; `size` in bytes. Fields in the order in which Ollama writes them."""

    media_type: str = msgspec.field(name="mediaType")
    digest: str
    size: int = 0
    from_: str = msgspec.field(name="from", default="")
    name: str = ""

    @property
    def kind(self) -> str:
        """The last word of an Ollama layer's type: model, system, params, …; empty for other types."""
        return self.media_type.removeprefix(LAYER_TYPE) if self.media_type.startswith(LAYER_TYPE) else ""


class _Wire(msgspec.Struct):
    layers: list[Layer] | None = None
    config: Layer | None = None


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest that parses. `raw` are its bytes, as they lie on disk or came from a registry."""

    raw: bytes
    config: Layer | None
    layers: tuple[Layer, ...]

    @property
    def digest(self) -> str:
        """64 hex digits: what lists show as the model's digest."""
        return hashlib.sha256(self.raw).hexdigest()

    @property
    def blobs(self) -> tuple[Layer, ...]:
        """Every blob it names: the layers', then the config's."""
        every = (*self.layers, *((self.config,) if self.config else ()))
        return tuple(layer for layer in every if layer.digest)

    @property
    def size(self) -> int:
        """Bytes of all blobs, as the manifest says them."""
        return sum(layer.size for layer in self.blobs)


@dataclass(frozen=True, slots=True)
class StoredManifest:
    """A manifest in its place; `modified_at` in seconds since the epoch."""

    name: ModelName
    path: Path
    manifest: Manifest
    modified_at: float


@dataclass(frozen=True, slots=True)
class Broken:
    """A file among the manifests that cannot be read as one."""

    path: Path
    reason: str


def parse_manifest(raw: bytes) -> Manifest:
    """Parse a manifest; StoreError if it is none, is too large, or names what is no digest."""
    if len(raw) > MAX_MANIFEST:
        raise StoreError(f"a manifest of {len(raw)} bytes is too large")
    try:
        wire = msgspec.json.decode(raw, type=_Wire)
        manifest = Manifest(raw, wire.config, tuple(wire.layers or ()))
        for layer in manifest.blobs:
            parse_digest(layer.digest)
    except (ValueError, RecursionError, InvalidRequest) as error:
        raise StoreError(f"not a manifest: {error}") from None
    return manifest


def encode_manifest(config: Layer, layers: Sequence[Layer]) -> bytes:
    """Return a manifest's bytes, the same that Ollama writes: compact JSON and a newline."""

    def fields(layer: Layer) -> dict[str, object]:
        wire: dict[str, object] = {"mediaType": layer.media_type, "digest": layer.digest, "size": layer.size}
        return wire | {name: value for name, value in (("from", layer.from_), ("name", layer.name)) if value}

    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": fields(config),
        "layers": [fields(layer) for layer in layers],
    }
    return msgspec.json.encode(document) + b"\n"


class ManifestStore:
    """The manifests below `root`, a models folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / "manifests"

    def read_all(self) -> tuple[list[StoredManifest], list[Broken]]:
        """Every manifest, and every file in a manifest's place that stays unreadable after some tries."""
        found: list[StoredManifest] = []
        broken: list[Broken] = []
        try:
            left = list(self._files())
        except OSError as error:
            return found, [Broken(self.folder, str(error))]
        for attempt in range(READS):
            broken = []
            for path in left:
                try:
                    manifest, modified = self._read(path)
                    found.append(StoredManifest(self._name(path), path, manifest, modified))
                except FileNotFoundError:
                    continue  # deleted since it was listed
                except (StoreError, OSError) as error:
                    broken.append(Broken(path, str(error)))
            left = [one.path for one in broken]
            if not left or attempt == READS - 1:
                break
            time.sleep(PAUSE_S)  # once for all of them
        return found, broken

    def find(self, name: ModelName) -> StoredManifest | None:
        """The manifest of that name, whatever its case; None if there is none. StoreError if it does not parse."""
        path = self.locate(name)
        if path is None:
            return None
        for attempt in range(READS):
            try:
                manifest, modified = self._read(path)
                return StoredManifest(self._name(path), path, manifest, modified)
            except FileNotFoundError:
                return None
            except (StoreError, OSError) as error:
                if attempt == READS - 1:
                    raise StoreError(f"the manifest of {name} cannot be used: {error}") from error
                time.sleep(PAUSE_S)
        return None

    def locate(self, name: ModelName) -> Path | None:
        """Where the manifest of that name lies: the very name first, else one that differs in case."""
        exact = self.path(name)
        if os.path.isfile(exact):  # unlike Path's, no error where a folder may not be read
            return exact
        folders = [self.folder]
        for part in _parts(name)[:-1]:
            folders = [one for folder in folders for one in _alike(folder, part) if os.path.isdir(one)]
        files = [one for folder in folders for one in _alike(folder, name.tag) if os.path.isfile(one)]
        return files[0] if files else None

    def path(self, name: ModelName) -> Path:
        """Where a manifest of exactly that name lies or would lie."""
        return self.folder.joinpath(*_parts(name))

    def write(self, name: ModelName, raw: bytes) -> Path:
        """Put a manifest in place, durable and at once; an existing name keeps its case. StoreError if that fails.

        The caller checks its blobs afterwards: see ModelFolder.write.
        """
        parse_manifest(raw)
        target = self.locate(name) or self.path(name)
        with told(f"write the manifest of {name}"):
            descriptor, temporary = tempfile.mkstemp(prefix="manifest-", dir=private_folder(self.root, "tmp"))
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(raw)
                os.chmod(temporary, 0o644)
                put_in_place(Path(temporary), target)
            finally:
                Path(temporary).unlink(missing_ok=True)
        return target

    def delete(self, path: Path) -> None:
        """Remove a manifest and the folders that it leaves empty."""
        with told("delete a manifest"):
            path.unlink(missing_ok=True)
        folder = path.parent
        while folder != self.folder and self.folder in folder.parents:
            try:
                folder.rmdir()
            except OSError:
                return
            folder = folder.parent

    def _files(self) -> Iterator[Path]:
        """What Ollama reads as manifests: every file four folders down."""
        for path in sorted(self.folder.glob("*/*/*/*")):
            if not os.path.isdir(path):
                yield path

    def _name(self, path: Path) -> ModelName:
        host, namespace, model, tag = path.relative_to(self.folder).parts
        try:
            return parse_name(f"{host}/{namespace}/{model}:{tag}")
        except InvalidRequest:
            raise StoreError("its path is no model name") from None

    def _read(self, path: Path) -> tuple[Manifest, float]:
        with open(path, "rb", opener=_at_once) as file:
            modified = os.fstat(file.fileno()).st_mtime
            return parse_manifest(file.read(MAX_MANIFEST + 1)), modified


def _at_once(path: str, flags: int) -> int:
    """Open without waiting for whoever would write into it, should it be a pipe."""
    return os.open(path, flags | os.O_NONBLOCK)


def _parts(name: ModelName) -> tuple[str, str, str, str]:
    return name.host, name.namespace, name.model, name.tag


def _alike(folder: Path, part: str) -> list[Path]:
    with contextlib.suppress(OSError):
        wanted = part.lower()
        return sorted(one for one in folder.iterdir() if one.name.lower() == wanted)
    return []
