"""Which llama.cpp backend to compile, and why: decided before the compiler starts, and said."""

from __future__ import annotations

import ctypes.util
import platform
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

NAMES = ("cpu", "cuda", "metal", "vulkan")
_CMAKE = {"cpu": (), "cuda": ("GGML_CUDA=ON",), "metal": ("GGML_METAL=ON",), "vulkan": ("GGML_VULKAN=ON",)}


@dataclass(frozen=True)
class Backend:
    """A backend's name and the reason it was chosen, as the user reads it."""

    name: str
    why: str

    @property
    def cmake_defines(self) -> tuple[str, ...]:
        """The switches that turn it on; the CPU's kernels are always there."""
        if self.name == "cpu" and platform.system() == "Darwin":
            return ("ARRIERO_NO_METAL=ON",)
        return _CMAKE[self.name]


class UnknownBackend(ValueError):
    """ARRIERO_BACKEND names none of NAMES."""


@dataclass(frozen=True)
class Machine:
    """What the decision rests on."""

    system: str
    arch: str
    nvcc: str | None
    nvidia_device: bool
    glslc: str | None
    vulkan: bool


def decide(env: Mapping[str, str], machine: Machine) -> Backend:
    """ARRIERO_BACKEND if it is set, else the fastest one that this machine can compile and run."""
    asked = env.get("ARRIERO_BACKEND", "").strip().lower()
    if asked:
        if asked not in NAMES:
            raise UnknownBackend(f"ARRIERO_BACKEND={asked}: expected one of {', '.join(NAMES)}")
        return Backend(asked, f"ARRIERO_BACKEND={asked}")
    if machine.nvcc and machine.nvidia_device:
        return Backend("cuda", f"an NVIDIA device and {machine.nvcc} are here")
    if machine.system == "Darwin" and machine.arch == "arm64":
        return Backend("metal", "this is a Mac with Apple silicon")
    if machine.glslc and machine.vulkan:
        return Backend("vulkan", f"libvulkan and {machine.glslc} are here")
    if machine.nvidia_device:
        return Backend("cpu", "an NVIDIA device is here, but no CUDA compiler (nvcc)")
    return Backend("cpu", "no GPU with its compiler was found")


def look(env: Mapping[str, str]) -> Machine:
    """Look at this machine."""
    path = env.get("PATH")
    nvcc = shutil.which("nvcc", path=path)
    if nvcc is None and Path("/usr/local/cuda/bin/nvcc").exists():
        nvcc = "/usr/local/cuda/bin/nvcc"
    return Machine(
        system=platform.system(),
        arch=platform.machine(),
        nvcc=nvcc,
        nvidia_device=_nvidia_device(path),
        glslc=shutil.which("glslc", path=path),
        vulkan=ctypes.util.find_library("vulkan") is not None,
    )


def _nvidia_device(path: str | None) -> bool:
    if Path("/dev/nvidia0").exists():
        return True
    smi = shutil.which("nvidia-smi", path=path)
    if smi is None:
        return False
    try:
        done = subprocess.run([smi, "-L"], capture_output=True, text=True, timeout=10, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0 and "GPU" in done.stdout
