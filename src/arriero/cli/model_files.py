"""Finds and hashes the files that a Modelfile's FROM names, as Ollama's own command does."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from arriero.cli.failures import CommandFailed

CHUNK = 1 << 20
NO_FILES = "no Modelfile or safetensors files found"


def expand(text: str, folder: Path) -> Path:
    """The path that a Modelfile in `folder` means: absolute, below the home (~), or relative to the Modelfile."""
    path = Path(text).expanduser() if text.startswith("~") else Path(text)
    return path if path.is_absolute() else folder / path


def files_of(path: Path) -> list[Path]:
    """The file itself, or the model's files in a folder; CommandFailed if there are none or a link leads out of it."""
    if not path.is_dir():
        return [path]
    for pattern in ("model*.safetensors", "consolidated*.safetensors", "pytorch_model*.bin", "consolidated*.pth"):
        if any(path.glob(pattern)):
            raise CommandFailed(
                f"{path} holds a model in another format than GGUF, and this version of arriero converts none; "
                "give a GGUF file"
            )
    found = sorted(path.glob("*.gguf")) or sorted(path.glob("*.bin"))
    if not found:
        raise CommandFailed(NO_FILES)
    root = path.resolve()
    for file in found:
        if root not in file.resolve().parents:
            raise CommandFailed(f"insecure path: {file.name} leads out of {path}")
    return found


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
