"""GGUFs that other programs keep: the Hugging Face cache and LM Studio's folder, served where they lie, never written.

Looking one up reads the one folder that its name means; only a listing walks through all of them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from arriero.core.errors import InvalidRequest
from arriero.store.names import DEFAULT_HOST, DEFAULT_TAG, ModelName, name_from_file, parse_name
from arriero.store.splits import is_later_part, parts_of, stem_of

HUGGING_FACE = "hf.co"
USUAL_TAG = "Q4_K_M"
"""What `latest` means where there are several, as on hf.co."""

_QUANTIZATION = re.compile(r"(?:\A|[-._])((?:UD-)?(?:I?Q\d\w*|TQ\d_\d|MXFP4\w*|BF16|F16|FP16|F32))\Z", re.IGNORECASE)
_NO_MODEL = re.compile(r"mmproj", re.IGNORECASE)


class InPlace(Protocol):
    """A place where other programs keep models."""

    def models(self) -> Iterator[tuple[ModelName, Path]]:
        """Every model's name and file."""

    def find(self, name: ModelName) -> tuple[ModelName, Path] | None:
        """The model of that name, whatever its case; None if there is none."""


@dataclass(frozen=True, slots=True)
class HuggingFaceCache:
    """`hub/models--USER--REPO/snapshots/REVISION/*.gguf` are hf.co/USER/REPO:QUANTIZATION, as pulls name them."""

    root: Path

    def models(self) -> Iterator[tuple[ModelName, Path]]:
        """See InPlace."""
        for folder in _folders(self.root):
            parts = folder.name.split("--")
            if len(parts) == 3 and parts[0] == "models":
                yield from _named(f"{HUGGING_FACE}/{parts[1]}/{parts[2]}", _snapshot(folder))

    def find(self, name: ModelName) -> tuple[ModelName, Path] | None:
        """See InPlace."""
        if name.host.lower() not in (HUGGING_FACE, "huggingface.co"):
            return None
        wanted = f"models--{name.namespace}--{name.model}".lower()
        for folder in _folders(self.root):
            parts = folder.name.split("--")
            if folder.name.lower() == wanted and len(parts) == 3:  # a name with -- could be anybody's
                found = _named(f"{HUGGING_FACE}/{parts[1]}/{parts[2]}", _snapshot(folder))
                return _pick(list(found), name.tag)
        return None


@dataclass(frozen=True, slots=True)
class LmStudioFolder:
    """`models/PUBLISHER/REPO/*.gguf` are PUBLISHER/REPO:QUANTIZATION."""

    root: Path

    def models(self) -> Iterator[tuple[ModelName, Path]]:
        """See InPlace."""
        for publisher in _folders(self.root):
            for repo in _folders(publisher):
                yield from _named(f"{publisher.name}/{repo.name}", repo)

    def find(self, name: ModelName) -> tuple[ModelName, Path] | None:
        """See InPlace."""
        if name.host != DEFAULT_HOST:
            return None
        for publisher in _folders(self.root):
            if publisher.name.lower() == name.namespace.lower():
                for repo in _folders(publisher):
                    if repo.name.lower() == name.model.lower():
                        return _pick(list(_named(f"{publisher.name}/{repo.name}", repo)), name.tag)
        return None


def tag_of(stem: str) -> str:
    """The tag for a file of that name without its ending: its quantization, else all of it."""
    match = _QUANTIZATION.search(stem)
    return match.group(1) if match else name_from_file(stem)


def _folders(root: Path) -> list[Path]:
    try:
        return sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError:
        return []


def _snapshot(repo: Path) -> Path | None:
    """The revision that `main` names, else the newest."""
    try:
        revision = (repo / "refs" / "main").read_text()[:64].strip()
    except (OSError, UnicodeDecodeError):
        revision = ""
    if re.fullmatch(r"[0-9a-fA-F]{7,64}", revision) and (repo / "snapshots" / revision).is_dir():
        return repo / "snapshots" / revision
    found = _folders(repo / "snapshots")
    return max(found, key=lambda path: path.stat().st_mtime, default=None)


def _named(prefix: str, folder: Path | None) -> Iterator[tuple[ModelName, Path]]:
    """The models in one folder and its subfolders, each tag once; no projectors, of several parts the first."""
    seen: set[str] = set()
    files = [*folder.glob("*.gguf"), *folder.glob("*/*.gguf")] if folder is not None else []
    for path in sorted(files):
        if _NO_MODEL.search(path.name) or is_later_part(path):
            continue
        if not all(os.path.isfile(part) for part in parts_of(path)):
            continue
        try:
            name = parse_name(f"{prefix}:{tag_of(stem_of(path.stem))}")
        except InvalidRequest:
            continue
        if name.key not in seen:
            seen.add(name.key)
            yield name, path


def _pick(found: list[tuple[ModelName, Path]], tag: str) -> tuple[ModelName, Path] | None:
    wanted = (tag,) if tag.lower() != DEFAULT_TAG else (DEFAULT_TAG, USUAL_TAG)
    for one in wanted:
        for name, path in found:
            if name.tag.lower() == one.lower():
                return name, path
    return found[0] if found and tag.lower() == DEFAULT_TAG else None
