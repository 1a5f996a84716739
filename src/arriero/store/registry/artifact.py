"""What a fetched manifest is: a model of Ollama's kind, taken as it is, or an OCI artifact with a GGUF in it."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from arriero.core.errors import RegistryError, StoreError
from arriero.store.manifests import Layer, Manifest, parse_manifest
from arriero.store.registry.reference import files_of

INDEXES = frozenset(
    {"application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json"}
)
TITLE = "org.opencontainers.image.title"
"""The annotation with a layer's file name (OCI image spec, "Pre-Defined Annotation Keys"); oras and others set it."""


class _Entry(msgspec.Struct):
    media_type: str = msgspec.field(name="mediaType", default="")
    digest: str = ""
    size: int = 0
    annotations: dict[str, str] = {}


class _Document(msgspec.Struct):
    media_type: str = msgspec.field(name="mediaType", default="")
    manifests: list[_Entry] | None = None
    layers: list[_Entry] | None = None


@dataclass(frozen=True, slots=True)
class Artifact:
    """A GGUF that a registry has without Ollama's layers around it: its file, or its parts, by their names."""

    ggufs: dict[str, Layer]


def read_manifest(raw: bytes) -> Manifest | Artifact:
    """Say what the manifest is; RegistryError for what cannot be served, StoreError for what is no manifest."""
    manifest = parse_manifest(raw)
    kinds = {layer.kind for layer in manifest.layers}
    if "tensor" in kinds:
        raise RegistryError("this model consists of safetensors, which are not served from a registry")
    if "model" in kinds:
        return manifest
    try:
        document = msgspec.json.decode(raw, type=_Document)
    except msgspec.DecodeError as error:
        raise StoreError(f"not a manifest: {error}") from None
    if document.manifests is not None or document.media_type in INDEXES:
        raise RegistryError("this is an index of several images, not a model")
    found = [one for one in document.layers or () if _is_gguf(one)]
    titles = [one.annotations.get(TITLE, "").rsplit("/", 1)[-1] for one in found]
    whole = len(found) > 1 and bool(titles[0]) and sorted(titles) == files_of(titles[0])
    if len(found) != 1 and not whole:
        raise RegistryError(f"this is no model: it has {len(found) or 'no'} GGUF layer{'s' * (len(found) > 1)}")
    named = zip(titles, found, strict=True)
    return Artifact({title: Layer(media_type=one.media_type, digest=one.digest, size=one.size) for title, one in named})


def _is_gguf(entry: _Entry) -> bool:
    return "gguf" in entry.media_type.lower() or entry.annotations.get(TITLE, "").lower().endswith(".gguf")
