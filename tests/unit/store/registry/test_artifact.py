"""What a manifest is taken for."""

from __future__ import annotations

import json
from typing import Any

import pytest

from arriero.core.errors import RegistryError, StoreError
from arriero.store.manifests import LAYER_TYPE, Manifest
from arriero.store.registry.artifact import Artifact, read_manifest

DIGEST = f"sha256:{'ab' * 32}"


def document(*layers: dict[str, Any], **more: Any) -> bytes:
    config = {"mediaType": "application/vnd.oci.empty.v1+json", "digest": DIGEST, "size": 2}
    return json.dumps({"schemaVersion": 2, "config": config, "layers": list(layers), **more}).encode()


def layer(media_type: str, **annotations: str) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": DIGEST, "size": 7, "annotations": annotations}


def test_ollamas_own() -> None:
    raw = document(layer(f"{LAYER_TYPE}model"), layer(f"{LAYER_TYPE}template"))
    found = read_manifest(raw)
    assert isinstance(found, Manifest)
    assert found.raw == raw


@pytest.mark.parametrize(
    "one",
    [
        layer("application/vnd.docker.ai.gguf.v3"),
        layer("application/octet-stream", **{"org.opencontainers.image.title": "Model.Q4_0.GGUF"}),
    ],
)
def test_an_artifact_with_one_gguf(one: dict[str, Any]) -> None:
    found = read_manifest(document(layer("text/plain", **{"org.opencontainers.image.title": "LICENSE"}), one))
    assert isinstance(found, Artifact)
    [gguf] = found.ggufs.values()
    assert (gguf.digest, gguf.size) == (DIGEST, 7)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (document(layer("application/vnd.oci.image.layer.v1.tar+gzip")), "no GGUF layer"),
        (document(*[layer("application/vnd.docker.ai.gguf.v3")] * 2), "2 GGUF layers"),
        (document(layer(f"{LAYER_TYPE}tensor")), "safetensors"),
        (json.dumps({"schemaVersion": 2, "manifests": []}).encode(), "index"),
        (b'{"mediaType":"application/vnd.oci.image.index.v1+json"}', "index"),
    ],
)
def test_what_cannot_be_served(raw: bytes, text: str) -> None:
    with pytest.raises(RegistryError, match=text):
        read_manifest(raw)


@pytest.mark.parametrize("raw", [b"", b"<html>", b'{"layers":[{"mediaType":"x","digest":"sha256:../../x"}]}'])
def test_what_is_no_manifest(raw: bytes) -> None:
    with pytest.raises(StoreError, match="not a manifest"):
        read_manifest(raw)
