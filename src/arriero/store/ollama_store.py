"""Reads a models folder's manifests as models: which blobs serve, and what their layers say. Writes nothing.

Layout and media types: Ollama 0.33, manifests/HOST/NAMESPACE/MODEL/TAG naming blobs/sha256-HEX.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from arriero.core.errors import ModelLoadError
from arriero.core.model import ModelSpec
from arriero.store.folder import ModelFolder
from arriero.store.manifests import StoredManifest
from arriero.store.names import ModelName
from arriero.store.turns import Turn, core_turns

log = logging.getLogger(__name__)
MAX_TEXT_LAYER = 16 * 1024 * 1024


class _Config(msgspec.Struct):
    renderer: str = ""
    parser: str = ""
    requires: str = ""
    capabilities: list[str] = []


@dataclass(frozen=True, slots=True)
class StoredModel:
    """A model of a models folder."""

    folder: ModelFolder
    stored: StoredManifest

    @property
    def name(self) -> ModelName:
        """Its name, as the folders spell it."""
        return self.stored.name

    @property
    def digest(self) -> str:
        """The manifest's digest, 64 hex digits."""
        return self.stored.manifest.digest

    @property
    def weights(self) -> Path:
        """The GGUF's blob; ModelLoadError if the manifest names none."""
        found = self.blobs("model")
        if not found:
            raise ModelLoadError(f"model {self.name} has no GGUF weights")
        return found[0]

    def blobs(self, *kinds: str) -> list[Path]:
        """The blobs of these kinds of layers, in the manifest's order."""
        layers = self.stored.manifest.layers
        return [self.folder.blobs.path(layer.digest) for layer in layers if layer.kind in kinds]

    def missing(self) -> list[str]:
        """Digests of the blobs that the manifest names and the folder lacks."""
        return [one.digest for one in self.stored.manifest.blobs if not self.folder.blobs.has(one.digest)]

    def apply(self, spec: ModelSpec) -> ModelSpec:
        """Put what the layers say into `spec`; ModelLoadError if one of them is not what its type says."""
        changes: dict[str, Any] = {"modified_at": self.stored.modified_at, "size": self.stored.manifest.size}
        for field, kinds in (
            ("go_template", ("template", "prompt")),  # "prompt" is its name in old manifests
            ("system", ("system",)),
        ):
            if found := self.blobs(*kinds):
                changes[field] = read_text(found[-1])
        changes["adapters"] = tuple(map(str, self.blobs("adapter")))
        changes["projectors"] = tuple(map(str, self.blobs("projector")))
        if found := self.blobs("draft"):
            changes["draft"] = str(found[-1])
        if found := self.blobs("license"):
            changes["license"] = "\n".join(read_text(one) for one in found)
        if found := self.blobs("params"):
            changes["options"] = self._decode(found[-1], dict[str, Any])
        if found := self.blobs("messages"):
            changes["messages"] = core_turns(self._decode(found[-1], list[Turn]), str(self.name))
        for layer in self.stored.manifest.layers:
            if layer.kind == "model":
                changes["details"] = msgspec.structs.replace(spec.details, parent_model=layer.from_)
                break
        config = self.stored.manifest.config
        if config is not None and config.digest:
            read = self._decode(self.folder.blobs.path(config.digest), _Config)
            changes |= {"renderer": read.renderer, "parser": read.parser, "requires": read.requires}
            if "image" in read.capabilities:  # it makes images, which no GGUF's header says
                changes["capabilities"] = (*spec.capabilities, "image")
        return msgspec.structs.replace(spec, **changes)

    def _decode(self, path: Path, kind: Any) -> Any:
        try:
            return msgspec.json.decode(read_text(path), type=kind)
        except (ValueError, RecursionError) as error:
            raise ModelLoadError(f"a layer of model {self.name} cannot be read: {error}") from None


def read_text(path: Path) -> str:
    """A text layer's content; ModelLoadError where it is longer than anybody writes by hand."""
    with path.open("rb") as file:
        found = file.read(MAX_TEXT_LAYER + 1)
    if len(found) > MAX_TEXT_LAYER:
        raise ModelLoadError(f"the text layer {path.name} has more than {MAX_TEXT_LAYER >> 20} MiB")
    return found.decode("utf-8", "replace")


def read_folder(folder: ModelFolder) -> list[StoredModel]:
    """All models of the folder whose manifest parses and whose blobs are all there; the others are logged."""
    stored, broken = folder.manifests.read_all()
    for one in broken:
        # It may be one that is being written; the next listing reads it again.
        log.warning("manifest %s is left out: %s", one.path, one.reason)
    models: list[StoredModel] = []
    for manifest in stored:
        model = StoredModel(folder, manifest)
        missing = model.missing()
        if missing:
            log.warning("model %s is left out: its blob %s is missing", model.name, missing[0])
        elif model.blobs("model"):
            models.append(model)
    return models
