"""preflight.sh on machines that lack things: fake PATHs, every tool a small script."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

PREFLIGHT = Path(__file__).parents[3] / "scripts" / "preflight.sh"
DEBIAN = 'ID=debian\nVERSION_ID="12"\n'


class Machine:
    """A PATH of our own and an os-release file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bin = folder / "bin"
        self.bin.mkdir(parents=True)
        self.release = folder / "os-release"
        self.release.write_text(DEBIAN)
        self.command("id", "echo 1000")
        self.command("uname", "echo Linux")

    def command(self, name: str, body: str) -> Path:
        path = self.bin / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)
        return path

    def python(self, name: str = "python3") -> Path:
        return self.command(name, f'exec "{sys.executable}" "$@"')

    def compilers(self) -> None:
        self.command("cc", "exit 0")
        self.command("c++", "exit 0")

    def run(self, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["/bin/sh", str(PREFLIGHT)],
            env={"PATH": str(self.bin), "ARRIERO_OS_RELEASE": str(self.release), **env},
            capture_output=True,
            text=True,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "a machine")


def test_a_machine_that_has_everything_gets_the_path_of_its_python(machine: Machine) -> None:
    machine.python()
    machine.compilers()
    done = machine.run()
    assert (done.returncode, done.stderr) == (0, "")
    assert os.access(done.stdout.strip(), os.X_OK)


def test_an_empty_machine_is_told_everything_at_once_and_one_line(machine: Machine) -> None:
    done = machine.run()
    assert (done.returncode, done.stdout) == (1, "")
    for words in ("Python 3.11 or newer", "a C compiler", "a C++ compiler"):
        assert words in done.stderr
    assert "sudo apt-get update && sudo apt-get install -y python3 python3-venv build-essential\n" in done.stderr


def test_without_any_tool_at_all_it_still_answers(machine: Machine) -> None:
    for tool in machine.bin.iterdir():
        tool.unlink()
    done = machine.run()
    assert done.returncode == 1
    assert "a C compiler" in done.stderr


def test_only_what_is_missing_is_named(machine: Machine) -> None:
    machine.python()
    machine.command("cc", "exit 0")
    done = machine.run()
    assert done.returncode == 1
    assert "a C++ compiler" in done.stderr
    assert "a C compiler" not in done.stderr
    assert "Python" not in done.stderr.partition("Install")[0]
    assert "apt-get install -y build-essential\n" in done.stderr


def test_a_compiler_that_only_exists_does_not_count(machine: Machine) -> None:
    machine.python()
    machine.compilers()
    machine.command("cc", "exit 1")
    assert "a C compiler" in machine.run().stderr


def test_a_shim_that_does_not_run_is_passed_over(machine: Machine) -> None:
    machine.compilers()
    machine.command("python3.13", "echo 'pyenv: python3.13: command not found' >&2; exit 127")
    machine.python("python3.11")
    done = machine.run()
    assert done.returncode == 0, done.stderr


def test_an_older_python_is_passed_over_and_named(machine: Machine) -> None:
    machine.compilers()
    machine.command("python3", "exit 3")
    assert "Python 3.11 or newer (python3 is older)" in machine.run().stderr
    machine.python("python3.12")
    assert machine.run().returncode == 0


def test_a_python_without_ensurepip_needs_its_own_venv_package(machine: Machine) -> None:
    machine.compilers()
    machine.command("python3.12", "echo /usr/bin/python3.12; exit 4")
    done = machine.run()
    assert "venv with ensurepip for /usr/bin/python3.12" in done.stderr
    assert "apt-get install -y python3.12-venv\n" in done.stderr


def test_python_given_is_the_only_one_tried(machine: Machine) -> None:
    machine.compilers()
    machine.python()
    done = machine.run(PYTHON="no such python")
    assert done.returncode == 1
    assert "PYTHON=no such python does not run" in done.stderr
    spaced = machine.command("my python", f'exec "{sys.executable}" "$@"')
    assert machine.run(PYTHON=str(spaced)).returncode == 0


def test_cc_and_cxx_are_respected_and_may_hold_a_wrapper(machine: Machine) -> None:
    machine.python()
    machine.compilers()
    assert "CC=mycc does not compile" in machine.run(CC="mycc").stderr
    machine.command("wrap", '"$@"')
    assert machine.run(CC="wrap cc", CXX="wrap c++").returncode == 0


@pytest.mark.parametrize(
    ("release", "line"),
    [
        ("ID=debian\nVERSION_ID=12\n", "apt-get install -y python3 python3-venv build-essential"),
        ('ID=ubuntu\nID_LIKE=debian\nVERSION_ID="22.04"\n', "python3.11 python3.11-venv build-essential"),
        ('ID=linuxmint\nID_LIKE="ubuntu debian"\n', "python3 python3-venv build-essential"),
        ("ID=fedora\nVERSION_ID=42\n", "sudo dnf install -y python3 gcc gcc-c++"),
        ('ID="rocky"\nID_LIKE="rhel centos fedora"\n', "sudo dnf install -y python3.12 gcc gcc-c++"),
        ("ID=arch\n", "sudo pacman -S --needed python base-devel"),
    ],
)
def test_the_line_fits_the_system(machine: Machine, release: str, line: str) -> None:
    machine.release.write_text(release)
    assert f"{line}\n" in machine.run().stderr


def test_on_macos_without_developer_tools_a_stub_is_not_started(machine: Machine) -> None:
    machine.python()
    machine.command("uname", "echo Darwin")
    machine.command("xcode-select", "exit 2")
    touched = machine.folder / "a dialog opened"
    machine.command("cc", f": > '{touched}'")
    machine.command("c++", f": > '{touched}'")
    done = machine.run()
    assert "  xcode-select --install\n" in done.stderr
    assert not touched.exists()


def test_as_root_no_sudo(machine: Machine) -> None:
    machine.command("id", "echo 0")
    assert "  apt-get update && apt-get install" in machine.run().stderr


def test_it_writes_nothing(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    began = time.monotonic()
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "TMPDIR": str(tmp_path)}
    done = subprocess.run(["/bin/sh", str(PREFLIGHT)], env=env, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    record_property("seconds", round(time.monotonic() - began, 2))  # meant to be under two; told, not asserted
    assert list(tmp_path.iterdir()) == []
