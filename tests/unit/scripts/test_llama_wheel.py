"""The compiled llama.cpp: which backend, under which key it is kept, and what a failed build says."""

from __future__ import annotations

import dataclasses
import io
import shlex
import sys
from contextlib import redirect_stdout
from pathlib import Path

import pytest

from scripts import backend, build_jobs, compilers, llama_wheel, watched, wheel_key
from scripts.backend import Backend, Machine
from scripts.wheel_key import Recipe

PLAIN = Machine(system="Linux", arch="x86_64", nvcc=None, nvidia_device=False, glslc=None, vulkan=False)
RECIPE = Recipe("0.3.36", "cpu", "Linux", "x86_64", "glibc 2.36", "gcc 12", "g++ 12", "#define __AVX2__ 1", (), ())


@pytest.mark.parametrize(
    ("machine", "name"),
    [
        (PLAIN, "cpu"),
        (dataclasses.replace(PLAIN, nvcc="/usr/bin/nvcc"), "cpu"),
        (dataclasses.replace(PLAIN, nvidia_device=True), "cpu"),
        (dataclasses.replace(PLAIN, nvcc="/usr/bin/nvcc", nvidia_device=True), "cuda"),
        (dataclasses.replace(PLAIN, system="Darwin", arch="arm64"), "metal"),
        (dataclasses.replace(PLAIN, system="Darwin"), "cpu"),
        (dataclasses.replace(PLAIN, glslc="/usr/bin/glslc"), "cpu"),
        (dataclasses.replace(PLAIN, glslc="/usr/bin/glslc", vulkan=True), "vulkan"),
    ],
)
def test_the_backend_is_what_can_be_compiled_and_run_here(machine: Machine, name: str) -> None:
    chosen = backend.decide({}, machine)
    assert chosen.name == name
    assert chosen.why


def test_arriero_backend_decides() -> None:
    assert backend.decide({"ARRIERO_BACKEND": "Vulkan"}, PLAIN).name == "vulkan"
    with pytest.raises(backend.UnknownBackend, match="cpu, cuda, metal, vulkan"):
        backend.decide({"ARRIERO_BACKEND": "gpu"}, PLAIN)


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(Recipe)])
def test_the_key_changes_with_everything_that_the_build_depends_on(field: str) -> None:
    changed = dataclasses.replace(RECIPE, **{field: ("x",) if field in ("flags", "settings") else "other"})  # type: ignore[arg-type]
    assert changed.key != RECIPE.key
    assert dataclasses.replace(RECIPE).key == RECIPE.key


def test_this_machine_has_a_key_and_the_same_one_twice() -> None:
    chosen = compilers.choose({"PATH": "/usr/bin:/bin"})
    found = wheel_key.recipe("0.3.36", Backend("cpu", "a test"), {}, chosen, ())
    assert found == wheel_key.recipe("0.3.36", Backend("cpu", "a test"), {}, chosen, ())
    assert found.c_compiler
    assert found.cpu
    flagged = wheel_key.recipe("0.3.36", Backend("cpu", "a test"), {"CFLAGS": "-O1"}, chosen, ())
    assert flagged.key != found.key


def _compiler(folder: Path, *macros: str) -> str:
    """Stands in for a compiler that is asked which macros "native" sets."""
    lines = "\n".join(f"echo '#define {macro} 1'" for macro in macros)
    path = folder / "cc"
    path.write_text(f"#!/bin/sh\n{lines}\n")
    path.chmod(0o755)
    return shlex.quote(str(path))


def test_gcc_on_a_cpu_with_amx_is_kept_from_using_it(tmp_path: Path) -> None:
    assert "-mno-amx-tile" in compilers.workarounds(_compiler(tmp_path, "__AMX_TILE__", "__GNUC__"))
    assert compilers.workarounds(_compiler(tmp_path, "__AMX_TILE__", "__GNUC__", "__clang__")) == ()
    assert compilers.workarounds(_compiler(tmp_path, "__AVX2__", "__GNUC__")) == ()


def test_cc_and_cxx_are_taken_as_given() -> None:
    assert compilers.choose({"CC": "ccache gcc", "CXX": "clang++"}) == compilers.Compilers("ccache gcc", "clang++")


def test_the_cache_lies_where_xdg_says(tmp_path: Path) -> None:
    assert wheel_key.cache_folder({"XDG_CACHE_HOME": str(tmp_path)}) == tmp_path / "arriero" / "wheels"
    home = {"HOME": str(tmp_path), "XDG_CACHE_HOME": "relative"}
    assert wheel_key.cache_folder(home) == tmp_path / ".cache" / "arriero" / "wheels"


@pytest.mark.parametrize(
    ("cores", "memory", "count"),
    [(2, 24 << 30, 2), (16, 6_000_000_000, 4), (8, 1_000_000_000, 1), (1, 0, 1), (4, None, 4)],
)
def test_jobs_are_bounded_by_cores_and_memory(cores: int, memory: int | None, count: int) -> None:
    assert build_jobs.bounded(cores, memory) == count


def test_jobs_follow_the_user() -> None:
    assert build_jobs.jobs({"CMAKE_BUILD_PARALLEL_LEVEL": "3"}) == 3
    assert build_jobs.jobs({"CMAKE_BUILD_PARALLEL_LEVEL": "many"}) >= 1


def _obtain(python: Path, cache: Path) -> Path:
    chosen = compilers.Compilers("cc", "c++")
    return llama_wheel.obtain(python, RECIPE, Backend("cpu", "a test"), chosen, {}, cache)


def _fake_python(folder: Path, body: str) -> Path:
    """Stands in for `python -m pip wheel`: notes each call, then does `body` with the wheel folder as $into."""
    python = folder / "python"
    python.write_text(
        '#!/bin/sh\necho call >>"$0.calls"\n'
        'while [ $# -gt 0 ]; do [ "$1" = --wheel-dir ] && into=$2; shift; done\n'
        f"{body}\n"
    )
    python.chmod(0o755)
    return python


def test_a_wheel_is_built_once_and_then_taken_from_the_cache(tmp_path: Path) -> None:
    python = _fake_python(tmp_path, "echo '[1/2] Building'; : >\"$into/llama_cpp_python-0.3.36-py3-none-any.whl\"")
    cache = tmp_path / "a cache"
    first = _obtain(python, cache)
    assert first == _obtain(python, cache)
    assert first.parent == cache / RECIPE.key
    assert (tmp_path / "python.calls").read_text() == "call\n"
    assert not list(cache.glob(".building-*"))


def test_a_failed_build_shows_the_error_and_what_to_do_and_leaves_nothing(tmp_path: Path) -> None:
    python = _fake_python(tmp_path, "echo noise; echo 'ggml.c:7: error: no such thing'; exit 1")
    with pytest.raises(llama_wheel.BuildFailed) as failed:
        _obtain(python, tmp_path / "cache")
    assert "ggml.c:7: error: no such thing" in str(failed.value)
    assert "noise" not in str(failed.value)
    assert "CMAKE_BUILD_PARALLEL_LEVEL=1 make run" in str(failed.value)
    assert llama_wheel.cached(tmp_path / "cache" / RECIPE.key) is None
    assert not list((tmp_path / "cache").glob(".building-*"))


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path: Path) -> None:
    python = _fake_python(tmp_path, ': >"$into/llama_cpp_python-0.3.36-py3-none-any.whl"')
    (tmp_path / "file").touch()
    assert _obtain(python, tmp_path / "file" / "cache").exists()


def test_progress_is_said_at_least_every_so_often(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watched, "EVERY_SECONDS", 0.2)
    slow = "print('[3/78] Building CXX object x.o', flush=True); time.sleep(1); print('[ 50%] Building C object')"
    script = f"import time; {slow}"
    said = io.StringIO()
    with redirect_stdout(said):
        assert watched.run([sys.executable, "-c", script], {}, tmp_path / "log") == 0
    assert said.getvalue().count("compiling 3/78") >= 3
    assert "[ 50%]" in (tmp_path / "log").read_text()


def test_phases_are_read_from_the_output_of_pip() -> None:
    progress = watched.Progress()
    seen = []
    for line in (
        "Collecting llama-cpp-python==0.3.36",
        "  Installing build dependencies: started",
        "  Collecting scikit-build-core",
        "  *** Configuring CMake...",
        "  [12/78] Building CXX",
        "  *** Installing project into wheel...",
    ):
        progress.feed(line)
        seen.append(str(progress))
    assert seen == [
        "downloading the source",
        "fetching the build tools",
        "fetching the build tools",
        "configuring",
        "compiling 12/78",
        "packing the wheel",
    ]
