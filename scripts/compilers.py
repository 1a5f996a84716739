"""The C and C++ compilers that build llama.cpp: chosen as preflight.sh does, and asked who they are."""

from __future__ import annotations

import platform
import shlex
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Compilers:
    """Commands as CMake wants them in CC and CXX."""

    cc: str
    cxx: str


def choose(env: Mapping[str, str]) -> Compilers:
    """CC and CXX as given, else the first name on PATH."""
    path = env.get("PATH")
    return Compilers(
        cc=env.get("CC") or _first(path, "cc", "gcc", "clang"),
        cxx=env.get("CXX") or _first(path, "c++", "g++", "clang++"),
    )


def _first(path: str | None, *names: str) -> str:
    return next((name for name in names if shutil.which(name, path=path)), names[0])


def version(compiler: str) -> str:
    """The first line of `cc --version`, empty where it cannot be asked."""
    lines = _output([*shlex.split(compiler), "--version"]).splitlines()
    return lines[0].strip() if lines else ""


def cpu_features(compiler: str) -> str:
    """What this CPU can do, as this compiler sees it: the macros that "native" switches on.

    They say exactly which instructions may end up in the build. Where the compiler cannot say, the flags that
    the kernel lists stand in.
    """
    command = [*shlex.split(compiler), "-dM", "-E", "-x", "c", "/dev/null"]
    for native in ("-march=native", "-mcpu=native"):
        macros = _output([*command, native])
        if macros:
            return "\n".join(sorted(macros.splitlines()))
    return _kernel_flags()


def workarounds(compiler: str) -> tuple[str, ...]:
    """Flags that keep this compiler from breaking llama.cpp on this CPU.

    GCC's _tile_loadconfig tells the optimiser that it reads 8 of the tile configuration's 64 bytes, so the other
    stores are dropped and ldtilecfg faults (seen with GCC 12 on a CPU with AMX). Without AMX, AVX-512 VNNI serves.
    """
    macros = cpu_features(compiler)
    if "#define __AMX_TILE__" in macros and "#define __clang__" not in macros:
        return ("-mno-amx-tile", "-mno-amx-int8", "-mno-amx-bf16")
    return ()


def _kernel_flags() -> str:
    if platform.system() == "Darwin":
        return _output(["sysctl", "machdep.cpu"])
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.lower().startswith(("flags", "features"))), "")


def _output(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""
