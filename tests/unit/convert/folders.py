"""Model folders as people have them: config, tokenizer and random weights in safetensors, small enough for tests."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

Array = NDArray[Any]


def write_json(folder: Path, name: str, value: object) -> None:
    """Write a file of the folder."""
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(value))


def write_weights(folder: Path, tensors: Mapping[str, Array], name: str = "model.safetensors") -> None:
    """Write tensors with the library that everybody uses."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file({key: np.ascontiguousarray(value) for key, value in tensors.items()}, folder / name)


def random_tensors(shapes: Mapping[str, tuple[int, ...]], seed: int, scale: float = 0.08) -> dict[str, Array]:
    """Random values that F16 holds exactly: what is compared is then the conversion, not the rounding.

    Norms are near one, everything else near zero.
    """
    random = np.random.default_rng(seed)
    made = {}
    for name, shape in shapes.items():
        values = random.normal(0, scale, shape)
        if "norm" in name.lower() and name.endswith("weight"):
            values = values + 1
        made[name] = values.astype(np.float16).astype(np.float32)
    return made


def files_in(folder: Path) -> dict[str, Path]:
    """Every file of the folder by relative name, as a client uploads them."""
    return {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
