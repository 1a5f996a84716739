"""What tests of pulling share: a models folder with its puller, and a file to pull."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import AsyncGenerator
from pathlib import Path

from arriero.core.library import CreateRequest, Progress
from arriero.service.transfer.pull import Puller
from arriero.store.folder import ModelFolder
from arriero.store.places import Stores
from arriero.store.registry.options import RegistryOptions

WEIGHTS = random.Random(5).randbytes(64_000)
GGUF = b"GGUF" + (3).to_bytes(4, "little") + bytes(16)  # a header that counts no tensors and no keys


class Made:
    """Stands in for `create`: remembers what it was asked for."""

    def __init__(self) -> None:
        self.requests: list[CreateRequest] = []

    async def create(self, request: CreateRequest) -> AsyncGenerator[Progress, None]:
        self.requests.append(request)
        yield Progress(status="success")


@dataclasses.dataclass
class Place:
    """A models folder and who pulls into it."""

    folder: ModelFolder
    puller: Puller
    made: Made

    async def pull(self, name: str, *, insecure: bool = True) -> list[Progress]:
        return [progress async for progress in self.puller.pull(name, insecure)]

    def files(self) -> dict[str, bytes]:
        """Everything but the journal and the lock."""
        root = self.folder.root
        return {
            str(path.relative_to(root)): path.read_bytes()
            for path in sorted(root.rglob("*"))
            if path.is_file() and path.name not in ("journal.jsonl", "lock")
        }


def place(root: Path, options: RegistryOptions) -> Place:
    made = Made()
    return Place(ModelFolder(root), Puller(Stores(root), options, made.create, lambda name: None), made)
