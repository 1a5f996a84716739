"""llama-cpp-python as a wheel compiled for this very machine: from the cache, else built, once."""

from __future__ import annotations

import contextlib
import fcntl
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from json import dumps
from pathlib import Path

from scripts import build_jobs, compilers, watched
from scripts.backend import Backend
from scripts.wheel_key import Recipe

DISTRIBUTION = "llama-cpp-python"
_MINUTES = {"cpu": "2 to 6 minutes on 2 cores", "metal": "a few minutes", "vulkan": "about 10 minutes"}


_INCLUDED = Path(__file__).with_name("llama_only.cmake")


class BuildFailed(Exception):
    """The compilation ended without a wheel; the message says what to do."""


def cached(folder: Path) -> Path | None:
    """The wheel in a cache folder, if it is there: folders appear whole, by a rename."""
    return next(iter(sorted(folder.glob("*.whl"))), None)


def obtain(
    python: Path,
    recipe: Recipe,
    backend: Backend,
    chosen: compilers.Compilers,
    env: Mapping[str, str],
    cache: Path,
) -> Path:
    """The wheel for `recipe`: the cached one, else one compiled by `python`'s pip and put into the cache."""
    found = cached(cache / recipe.key)
    if found:
        return found
    try:
        cache.mkdir(parents=True, exist_ok=True)
        (cache / f"{recipe.key}.lock").touch()
    except OSError as error:
        cache = Path(tempfile.mkdtemp(prefix="arriero-wheel-"))
        print(f"The cache for compiled wheels cannot be written ({error}): this build will not be kept.")
    folder = cache / recipe.key
    with _locked(cache / f"{recipe.key}.lock"):
        found = cached(folder)  # another make may just have put it there
        if found:
            return found
        for stale in cache.glob(f".building-{recipe.key}-*"):
            shutil.rmtree(stale, ignore_errors=True)
        building = Path(tempfile.mkdtemp(prefix=f".building-{recipe.key}-", dir=cache))
        try:
            _build(python, recipe, backend, chosen, env, building, cache / "build.log")
            (building / "recipe.json").write_text(dumps(asdict(recipe), indent=2) + "\n")
            shutil.rmtree(folder, ignore_errors=True)
            building.rename(folder)
        finally:
            shutil.rmtree(building, ignore_errors=True)
    wheel = cached(folder)
    assert wheel is not None
    return wheel


def _build(
    python: Path,
    recipe: Recipe,
    backend: Backend,
    chosen: compilers.Compilers,
    env: Mapping[str, str],
    into: Path,
    log: Path,
) -> None:
    jobs = build_jobs.jobs(env)
    print(
        f"Compiling llama.cpp ({DISTRIBUTION} {recipe.version}, 74 MB of source) for this CPU, once:"
        f" {_MINUTES.get(backend.name, '10 to 40 minutes')}.\n"
        f"  backend: {backend.name}, because {backend.why} (ARRIERO_BACKEND=cpu|cuda|metal|vulkan decides)\n"
        f"  compilers: {chosen.cc}, {chosen.cxx}; jobs: {jobs}; log: {log}",
        flush=True,
    )
    began = time.monotonic()
    status = watched.run(command(python, recipe.version, backend, into), _build_env(env, chosen, jobs), log)
    if status != 0 or cached(into) is None:
        raise BuildFailed(_advice(backend, log))
    print(f"  compiled in {time.monotonic() - began:.0f} s, kept in {into.parent / recipe.key}", flush=True)


def command(python: Path, version: str, backend: Backend, into: Path) -> list[str]:
    """The pip call. pip's own settings (index, proxy, CA) come from its configuration and environment.

    pip keeps wheels that it built and gives them back without asking how they were compiled, hence no cache.
    """
    return [
        *(str(python), "-m", "pip", "wheel", "--verbose", "--no-deps", "--no-cache-dir", "--no-input"),
        *("--progress-bar", "off", "--disable-pip-version-check"),
        *("--no-binary", DISTRIBUTION, "--wheel-dir", str(into)),
        *(f"--config-settings={setting}" for setting in settings(backend)),
        f"--config-settings=cmake.define.CMAKE_PROJECT_llama_cpp_INCLUDE={_INCLUDED}",
        f"{DISTRIBUTION}=={version}",
    ]


def settings(backend: Backend) -> tuple[str, ...]:
    """What we tell llama-cpp-python's build, wherever the checkout lies."""
    return (
        "cmake.define.GGML_NATIVE=ON",
        "cmake.define.LLAVA_BUILD=OFF",
        *(f"cmake.define.{define}" for define in backend.cmake_defines),
        # libllama and the ggml that it needs; not the second copy of them and their headers beside the package.
        "build.targets=llama",
        "wheel.exclude=/lib/**;/include/**",
    )


def _build_env(env: Mapping[str, str], chosen: compilers.Compilers, jobs: int) -> dict[str, str]:
    build = {**env, "CC": chosen.cc, "CXX": chosen.cxx, "CMAKE_BUILD_PARALLEL_LEVEL": str(jobs)}
    for name in ("CFLAGS", "CXXFLAGS"):
        build[name] = " ".join([*build.get(name, "").split(), *compilers.workarounds(chosen.cc)])
    if "CUDACXX" not in build and not shutil.which("nvcc", path=env.get("PATH")):
        nvcc = Path("/usr/local/cuda/bin/nvcc")
        if nvcc.exists():
            build["CUDACXX"] = str(nvcc)
    return build


def _advice(backend: Backend, log: Path) -> str:
    lines = "\n".join(f"  | {line[:400]}" for line in watched.last_errors(log))
    text = f"Compiling llama.cpp failed. The last error lines:\n{lines}\nThe whole log: {log}\nWhat to do:\n"
    if backend.name != "cpu":
        text += f"  - without {backend.name}: ARRIERO_BACKEND=cpu make run\n"
    return text + (
        "  - a compiler that was killed lacked memory: CMAKE_BUILD_PARALLEL_LEVEL=1 make run\n"
        "  - a download that failed: see pip's index, proxy and CA settings (pip config list)\n"
        "  - another compiler: CC=gcc CXX=g++ make run, or CC=clang CXX=clang++ make run"
    )


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Two checkouts that are set up at once compile once. Where locks do not work, they compile twice."""
    with path.open("w") as file:
        told = 0.0
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() - told >= watched.EVERY_SECONDS:
                    print("Another make is compiling llama.cpp: waiting for its wheel.", flush=True)
                    told = time.monotonic()
                time.sleep(0.5)
            except OSError:
                break
        yield
