"""What a compiled llama.cpp depends on, as one key: the name of its folder in the wheel cache."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from scripts import compilers
from scripts.backend import Backend

_FLAGS = ("CMAKE_ARGS", "CFLAGS", "CXXFLAGS", "LDFLAGS")


@dataclass(frozen=True)
class Recipe:
    """Everything that decides what the compiled library contains."""

    version: str
    backend: str
    system: str
    arch: str
    libc: str
    c_compiler: str
    cxx_compiler: str
    cpu: str
    flags: tuple[str, ...]
    settings: tuple[str, ...]

    @property
    def key(self) -> str:
        """Readable at the front, exact at the end."""
        digest = hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()
        return f"{self.version}-{self.backend}-{self.arch}-{digest[:16]}"


def recipe(
    version: str, backend: Backend, env: Mapping[str, str], chosen: compilers.Compilers, settings: tuple[str, ...]
) -> Recipe:
    """Ask the compilers and this machine; `settings` is what we tell the build ourselves."""
    return Recipe(
        version=version,
        backend=backend.name,
        system=platform.system(),
        arch=platform.machine(),
        libc=" ".join(platform.libc_ver()),
        c_compiler=compilers.version(chosen.cc),
        cxx_compiler=compilers.version(chosen.cxx),
        cpu=compilers.cpu_features(chosen.cc),
        flags=tuple(f"{name}={env[name]}" for name in _FLAGS if env.get(name)),
        settings=settings,
    )


def cache_folder(env: Mapping[str, str]) -> Path:
    """Where compiled wheels are kept: below XDG_CACHE_HOME, else ~/.cache."""
    base = env.get("XDG_CACHE_HOME", "")
    root = Path(base) if os.path.isabs(base) else Path(env.get("HOME") or Path.home()) / ".cache"
    return root / "arriero" / "wheels"
