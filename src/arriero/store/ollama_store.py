"""Reads an Ollama models folder (manifests and blobs) as it lies on disk; writes nothing there, ever.

Layout and media types: Ollama 0.33, manifests/HOST/NAMESPACE/MODEL/TAG naming blobs/sha256-HEX.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from arriero.core.errors import InvalidRequest
from arriero.core.model import ModelSpec
from arriero.store.names import ModelName, parse_name

log = logging.getLogger(__name__)
MAX_MANIFEST = 4 * 1024 * 1024
MAX_TEXT_LAYER = 16 * 1024 * 1024
_DIGEST = re.compile(r"sha256[:-]([0-9a-fA-F]{64})\Z")
_LAYER = "application/vnd.ollama.image."


@dataclass(frozen=True, slots=True)
class StoredModel:
    """A model of the store: its name, its manifest's digest and the blobs that matter to serving."""

    name: ModelName
    digest: str
    weights: Path
    modified_at: float
    template: Path | None = None
    system: Path | None = None
    params: Path | None = None
    license: Path | None = None

    def apply(self, spec: ModelSpec) -> ModelSpec:
        """Put what the store's layers say (template, system prompt, parameters, licence) into `spec`."""
        changes: dict[str, Any] = {"modified_at": self.modified_at}
        if self.template is not None:
            changes["go_template"] = _text(self.template)
        if self.system is not None:
            changes["system"] = _text(self.system)
        if self.license is not None:
            changes["license"] = _text(self.license)
        if self.params is not None:
            options = json.loads(_text(self.params))
            if isinstance(options, dict):
                changes["options"] = options
        return msgspec.structs.replace(spec, **changes)


def _text(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(MAX_TEXT_LAYER).decode("utf-8", "replace")


def _blob(root: Path, digest: Any) -> Path | None:
    match = _DIGEST.match(digest) if isinstance(digest, str) else None
    if match is None:
        return None
    path = root / "blobs" / f"sha256-{match.group(1).lower()}"
    return path if path.is_file() else None


def _read_manifest(root: Path, path: Path) -> StoredModel | None:
    parts = path.relative_to(root / "manifests").parts
    if len(parts) != 4:
        return None
    try:
        name = parse_name(f"{parts[0]}/{parts[1]}/{parts[2]}:{parts[3]}")
        if path.stat().st_size > MAX_MANIFEST:
            return None
        raw = path.read_bytes()
        layers = json.loads(raw)["layers"]
        blobs: dict[str, Path] = {}
        for layer in layers:
            kind, blob = str(layer["mediaType"]), _blob(root, layer["digest"])
            if blob is not None and kind.startswith(_LAYER):
                blobs.setdefault(kind.removeprefix(_LAYER), blob)
        modified = path.stat().st_mtime
    except (OSError, ValueError, KeyError, TypeError, InvalidRequest) as error:
        # It may be one that is being written; the next listing reads it again.
        log.warning("manifest %s is left out: %s", path, error)
        return None
    if "model" not in blobs:
        return None
    return StoredModel(
        name=name,
        digest=hashlib.sha256(raw).hexdigest(),
        weights=blobs["model"],
        modified_at=modified,
        template=blobs.get("template") or blobs.get("prompt"),  # "prompt" is its name in old manifests
        system=blobs.get("system"),
        params=blobs.get("params"),
        license=blobs.get("license"),
    )


def read_store(root: Path) -> list[StoredModel]:
    """All models of the store at `root` whose manifest parses and whose weights are there."""
    manifests = root / "manifests"
    if not manifests.is_dir():
        return []
    found = (_read_manifest(root, path) for path in sorted(manifests.glob("*/*/*/*")) if path.is_file())
    return [model for model in found if model is not None]
