"""Models folders for tests: a model of any blobs, written by arriero or as Ollama would."""

from __future__ import annotations

import os
import time
from pathlib import Path

from arriero.store.folder import ModelFolder
from arriero.store.manifests import CONFIG_TYPE, LAYER_TYPE, Layer, encode_manifest
from arriero.store.names import parse_name

HOUR = 3600.0
DAY = 24 * HOUR


def layer(folder: ModelFolder, kind: str, content: bytes) -> Layer:
    """Put a blob and return its layer."""
    digest, _ = folder.blobs.put(content)
    return Layer(media_type=LAYER_TYPE + kind, digest=digest, size=len(content))


def manifest(folder: ModelFolder, **layers: bytes) -> bytes:
    """Put the blobs of a model and return its manifest."""
    digest, _ = folder.blobs.put(b"{}")
    config = Layer(media_type=CONFIG_TYPE, digest=digest, size=2)
    return encode_manifest(config, [layer(folder, kind, content) for kind, content in layers.items()])


def add(folder: ModelFolder, name: str, **layers: bytes) -> bytes:
    """Add a model; return its manifest."""
    raw = manifest(folder, **layers)
    folder.write(parse_name(name), raw)
    return raw


def age(folder: ModelFolder, seconds: float) -> None:
    """Make every blob that old."""
    moment = time.time() - seconds
    for path in folder.blobs.folder.iterdir():
        os.utime(path, (moment, moment))


def listing(root: Path) -> set[str]:
    """All files below `root`, arriero's own left out."""
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file() and ".arriero" not in path.parts}
