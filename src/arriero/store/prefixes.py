"""The folder where workers keep prefixes that left their memory, one folder in it for each model's weights.

It holds what users wrote: it goes with its model. Written by runners (runners/llama_cpp/state_folder.py); knows no file
in it.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Collection
from pathlib import Path

_WEIGHTS = re.compile(r"[0-9a-zA-Z]{1,128}\Z")


def purge(root: Path, weights: str) -> None:
    """Remove what was kept for a model's weights (ModelSpec.weights); whoever still uses it computes it again."""
    if _WEIGHTS.match(weights):
        _remove(root / weights)


def sweep(root: Path, known: Collection[str]) -> None:
    """Remove what was kept for weights that are not among `known`; files that are no such folder stay."""
    if not root.is_dir() or root.is_symlink():
        return
    for folder in root.iterdir():
        if _WEIGHTS.match(folder.name) and folder.name not in known:
            _remove(folder)


def _remove(folder: Path) -> None:
    if folder.is_dir() and not folder.is_symlink():
        shutil.rmtree(folder, ignore_errors=True)
