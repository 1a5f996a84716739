"""The command line as a whole: the version is quick, help is complete, every failure is one line that helps."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from arriero import __version__
from arriero.cli.version import ABSENT
from tests.unit.cli.conftest import Arriero
from tests.unit.client.scripted import Reply, Scripted, document

Ollama = Callable[[dict[str, Reply]], Scripted]


@pytest.mark.parametrize("flag", ["--version", "-v"])
@pytest.mark.parametrize(
    ("told", "lines"),
    [
        ({"version": "0.33.0", "arriero": __version__}, [f"arriero version is {__version__}"]),
        (
            {"version": "0.33.0", "arriero": "9.9.9"},
            ["arriero version is 9.9.9", f"Warning: client version is {__version__}"],
        ),
        ({"version": "0.33.0"}, ["ollama version is 0.33.0", f"Warning: client version is {__version__}"]),
        ({"error": "no"}, [ABSENT, f"Warning: client version is {__version__}"]),
        (["odd"], [ABSENT, f"Warning: client version is {__version__}"]),
    ],
    ids=["same", "another", "an Ollama", "an error", "nonsense"],
)
def test_version(
    arriero: Arriero, ollama: Ollama, monkeypatch: pytest.MonkeyPatch, flag: str, told: object, lines: list[str]
) -> None:
    monkeypatch.setenv("OLLAMA_API_KEY", "a key")
    server = ollama({"/api/version": document(told)})
    assert arriero(flag) == (0, "".join(f"{line}\n" for line in lines), "")
    assert server.asked[0].headers["Authorization"] == "Bearer a key"


@pytest.mark.parametrize("host", ["127.0.0.1:1", "http://127.0.0.1:notaport"])
def test_version_without_a_server(arriero: Arriero, monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setenv("OLLAMA_HOST", host)
    assert arriero("-v") == (0, f"{ABSENT}\nWarning: client version is {__version__}\n", "")


def _loads(code: str) -> set[str]:
    """Which of the slow packages are loaded after `code`."""
    slow = "{'aiohttp', 'uvicorn', 'starlette', 'typer', 'rich', 'prompt_toolkit', 'numpy', 'jinja2'}"
    script = f"import sys; {code}; print(*({slow} & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    return set(out.splitlines()[-1].split())


def test_a_command_line_loads_only_what_it_needs() -> None:
    """Starting takes as long as loading does: this is what keeps it quick."""
    assert _loads("from arriero.cli.main import run; run(['--version'])") == set()
    assert _loads("from arriero.cli.main import run; run(['--help'])") <= {"typer"}
    assert _loads("from arriero.cli.main import run; run(['run', '--help'])") <= {"typer"}


@pytest.mark.parametrize("arguments", [[], ["eval"]])
def test_a_bare_name_tells_its_help(arriero: Arriero, arguments: list[str]) -> None:
    status, out, errors = arriero(*arguments)
    assert (status, errors) == (0, "")
    assert out.startswith(f"Usage: {' '.join(['arriero', *arguments])} [OPTIONS] COMMAND")


def test_help_names_every_command(arriero: Arriero) -> None:
    out = arriero("--help").out
    for command in ("serve", "run", "list", "show", "ps", "stop"):
        assert f"\n  {command} " in out
        assert arriero(command, "--help").out.startswith(f"Usage: arriero {command} ")


@pytest.mark.parametrize("arguments", [["nonsense"], ["list", "--nonsense"], ["show"], ["serve", "--port", "70000"]])
def test_a_wrong_command_line_is_an_error(arriero: Arriero, arguments: list[str]) -> None:
    ran = arriero(*arguments)
    assert ran.status == 1
    assert ran.err.startswith("Error: ")
    assert ran.err.endswith(". `arriero --help` tells how it is used\n")


def test_a_slip_in_a_commands_name_is_told_as_a_question(arriero: Arriero) -> None:
    assert (
        arriero("rnu").err
        == "Error: No such command 'rnu'. Did you mean 'run'? `arriero --help` tells how it is used\n"
    )


@pytest.mark.parametrize("arguments", [["ps"], ["stop", "demo"]])
def test_without_a_server_ps_and_stop_name_serve(
    arriero: Arriero, arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:1")
    assert arriero(*arguments) == (
        1,
        "",
        "Error: no server answers at http://127.0.0.1:1. `arriero serve` starts one\n",
    )


def test_failures_say_what_to_do(arriero: Arriero, ollama: Ollama, monkeypatch: pytest.MonkeyPatch) -> None:
    server = ollama({"/api/show": document({"error": "model 'x' not found"}, 404)})
    assert arriero("show", "x").err == (
        "Error: model 'x' not found. `arriero list` names the models there are, `arriero pull` fetches one\n"
    )
    server.replies["/api/show"] = document({"error": "missing key"}, 401)
    assert arriero("show", "x").err == "Error: missing key. Set ARRIERO_API_KEY to the server's key\n"
    server.replies["/api/pull"] = document({"error": "insecure protocol http"}, 400)
    assert arriero("pull", "http://h/m.gguf").err == "Error: insecure protocol http. --insecure allows it\n"
    monkeypatch.setenv("OLLAMA_HOST", "ftp://x")
    assert arriero("list").err == "Error: 'ftp://x' is no address of a server: use http:// or https://\n"


def test_a_bug_is_not_hidden(arriero: Arriero, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: object, **options: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("arriero.cli.server.connected", broken)
    with pytest.raises(ZeroDivisionError):
        arriero("list")


def test_interrupted_and_cut_off(arriero: Arriero, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("arriero.cli.server.connected", interrupted)
    assert arriero("list").status == 130


NO_FULL_DISK = pytest.mark.skipif(
    not Path("/dev/full").exists(),
    reason="a full disk: only Linux has /dev/full, which stands for one",
)


@pytest.mark.parametrize(
    ("shell", "status", "said"),
    [
        ("list | true", 0, ""),
        pytest.param("list > /dev/full", 1, "Error: No space left on device\n", marks=NO_FULL_DISK),
        ("list >&-", 0, ""),
        ("run demo <&-", 1, 'Error: nothing was asked. Give a prompt: arriero run demo "Hello"\n'),
        ("perplexity pyproject.toml - <&-", 1, "Error: standard input is empty\n"),
        ("show $(printf '\\351')", 1, "Error: what was to be sent is no text: '\\udce9'\n"),
    ],
    ids=["nobody reads", "a full disk", "closed output", "closed input", "no input", "a name in Latin-1"],
)
def test_odd_shells(ollama: Ollama, tmp_path: Path, shell: str, status: int, said: str) -> None:
    """A process of its own: what the option parser and the interpreter make of these shows only there."""
    server = ollama({"/api/tags": document({"models": []})})
    line = f"set -o pipefail; {shlex.quote(sys.executable)} -m arriero {shell}"
    environment = os.environ | {"OLLAMA_HOST": server.url, "ARRIERO_HOME": str(tmp_path), "LC_ALL": "C"}
    ran = subprocess.run(["bash", "-c", line], capture_output=True, text=True, env=environment, check=False)
    assert (ran.returncode, ran.stderr) == (status, said)
