"""Reads every blob again and compares it with its name. Changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from arriero.store.blobs import hash_file, parse_digest
from arriero.store.folder import ModelFolder

Verdict = Literal["ok", "missing", "corrupt", "unreadable"]


@dataclass(frozen=True, slots=True)
class Checked:
    """A blob (or a manifest that does not parse), what was found, and the models that name it."""

    what: str
    verdict: Verdict
    models: tuple[str, ...] = ()


def verify(folder: ModelFolder, models: frozenset[str] = frozenset()) -> Iterator[Checked]:
    """Check the blobs of all models, or of those whose names' keys are in `models`; each blob once. Blocks."""
    stored, broken = folder.manifests.read_all()
    if not models:
        yield from (Checked(str(one.path), "unreadable") for one in broken)
    users: dict[str, list[str]] = {}
    for one in stored:
        if not models or one.name.key in models:
            for layer in one.manifest.blobs:
                names = users.setdefault(parse_digest(layer.digest), [])
                if str(one.name) not in names:
                    names.append(str(one.name))
    for digest, names in users.items():
        yield Checked(digest, _verdict(folder, digest), tuple(names))


def _verdict(folder: ModelFolder, digest: str) -> Verdict:
    try:
        return "ok" if hash_file(folder.blobs.path(digest)) == digest else "corrupt"
    except FileNotFoundError:
        return "missing"
    except OSError:
        return "unreadable"
