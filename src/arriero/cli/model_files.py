"""Finds, hashes and sends the files that a Modelfile's FROM names, as Ollama's own command does."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING

from arriero.cli.failures import CommandFailed
from arriero.core import library
from arriero.store.splits import parts_of

if TYPE_CHECKING:
    from arriero.client import library as remote

CHUNK = 1 << 20
WEIGHTS = (
    ("model*.safetensors", "*/model*.safetensors"),
    ("consolidated*.safetensors",),
    ("pytorch_model*.bin", "consolidated*.pth"),
    ("*.gguf",),
    ("*.bin",),
)
"""The first of these that a folder holds is its model."""
ADAPTERS = (("adapter_model*.safetensors",), ("*.gguf",))
"""The first of these that a folder holds is its LoRA adapter."""
BESIDE_WEIGHTS = ("*.json", "*/*.json", "chat_template.jinja", "tokenizer.model", "vocab.txt")
NO_FILES = "no Modelfile or safetensors files found"


def expand(text: str, folder: Path) -> Path:
    """The path that a Modelfile in `folder` means: absolute, below the home (~), or relative to the Modelfile."""
    if "\0" in text:
        raise CommandFailed(f"{text!r} is no path")
    try:
        path = Path(text).expanduser() if text.startswith("~") else Path(text)
    except RuntimeError:
        raise CommandFailed(f"{text}: there is no such user, or no home is known") from None
    return path if path.is_absolute() else folder / path


def files_of(path: Path, kinds: tuple[tuple[str, ...], ...] = WEIGHTS) -> dict[str, Path]:
    """The file itself, with its other parts if it is the first of several, or the model's files in a folder; by name.

    Weights in safetensors take their configuration and vocabulary along, also from folders one level down.
    CommandFailed if there are none or a link leads out of the folder.
    """
    if not path.is_dir():
        parts = parts_of(path)
        missing = [part.name for part in parts[1:] if not part.exists()]
        if missing:
            raise CommandFailed(f"{path.name} is one of {len(parts)} parts, and {missing[0]} is not there")
        return {part.name: part for part in parts}
    found = next((files for patterns in kinds if (files := _matching(path, patterns))), [])
    if not found:
        raise CommandFailed(NO_FILES)
    if found[0].suffix == ".safetensors":
        found += _matching(path, BESIDE_WEIGHTS)
    root = path.resolve()
    for file in found:
        if root not in file.resolve().parents:
            raise CommandFailed(f"insecure path: {file.name} leads out of {path}")
    return {file.relative_to(path).as_posix(): file for file in found}


def _matching(path: Path, patterns: tuple[str, ...]) -> list[Path]:
    return sorted({file for pattern in patterns for file in path.glob(pattern) if file.is_file()})


def digest_of(path: Path, report: Callable[[int], None]) -> str:
    """The file's digest; `report` gets the bytes read so far."""
    found = hashlib.sha256()
    done = 0
    with path.open("rb") as file:
        while data := file.read(CHUNK):
            found.update(data)
            done += len(data)
            report(done)
    return f"sha256:{found.hexdigest()}"


async def content_of(path: Path, report: Callable[[int], None]) -> AsyncIterator[bytes]:
    """The file's bytes in pieces; `report` gets how many have gone."""
    done = 0
    with path.open("rb") as file:
        while data := file.read(CHUNK):
            yield data
            done += len(data)
            report(done)


async def sent(path: Path, models: remote.AsyncLibrary, tell: Callable[[library.Progress], None]) -> str:
    """Put a file on the server, unless it is there already; return its digest. `tell` hears how far it is."""
    size = path.stat().st_size

    def report(status: str, done: int) -> None:
        tell(library.Progress(status=status, total=size, completed=done))

    digest = digest_of(path, lambda done: report(f"reading {path.name}", done))
    if not await models.has_blob(digest):
        await models.upload(digest, content_of(path, lambda done: report(f"copying file {digest}", done)))
    return digest
