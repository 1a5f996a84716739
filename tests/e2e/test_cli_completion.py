"""Completion on the command line: a real bash, with the script that the command prints, and a real server."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.serving import Server, clean_environment, free_port

BIN = Path(sys.executable).parent


def bash(home: Path, host: str, line: str) -> list[str]:
    """What bash would offer at the end of `line`."""
    if shutil.which("bash") is None:
        pytest.skip("bash: not installed")
    script = (
        f'export PATH={shlex.quote(str(BIN))}:$PATH; eval "$(arriero completion bash)"; '
        f"COMP_LINE={shlex.quote(line)}; COMP_POINT=${{#COMP_LINE}}; "
        f'COMP_WORDBREAKS=$\' \\t\\n"><=;|&(:\'; _arriero_completion arriero; printf "%s\\n" "${{COMPREPLY[@]}}"'
    )
    environment = clean_environment(home, {"OLLAMA_HOST": host})
    done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("arriero pu", ["pull", "push"]),
        ("arriero show --mem", ["--memory"]),
        ("arriero run dem", ["demo"]),
        ("arriero rm demo kno", ["known"]),
        ("arriero show demo:", ["latest"]),  # bash took the colon for the end of a word
        ("arriero run nothing-like-it", []),
    ],
)
def test_bash_completes(known_server: Server, tmp_path: Path, line: str, offered: list[str]) -> None:
    assert bash(tmp_path, known_server.url, line) == offered


def test_without_a_server_there_are_no_names(tmp_path: Path) -> None:
    assert bash(tmp_path, f"127.0.0.1:{free_port()}", "arriero run de") == []


def test_scripts(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "arriero", "completion"]
    environment = clean_environment(tmp_path)
    for shell, mark in (("zsh", "compdef"), ("fish", "complete --command arriero")):
        done = subprocess.run([*command, shell], env=environment, capture_output=True, text=True, timeout=60)
        assert mark in done.stdout
        assert "_ARRIERO_COMPLETE" in done.stdout
    done = subprocess.run([*command, "tcsh"], env=environment, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "Error: there is no completion for 'tcsh', only for bash, zsh, fish\n"
