"""The command line against a real server, and with a server of its own that never outlives it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

import arriero
from tests.e2e.automaton import SAYS
from tests.e2e.serving import Server, clean_environment, free_port

ARRIERO = [sys.executable, "-m", "arriero"]
LIMIT = 60.0


class Shell:
    """Runs command lines in a home of their own; every process they start carries a mark in its environment."""

    def __init__(self, home: Path, host: str) -> None:
        self.mark = uuid.uuid4().hex
        self.home = home
        self.environment = clean_environment(home, {"OLLAMA_HOST": host, "ARRIERO_TEST_MARK": self.mark})

    def run(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run `arriero ARGUMENTS…` to its end."""
        given = {"input": stdin} if stdin is not None else {"stdin": subprocess.DEVNULL}
        return subprocess.run(
            [*ARRIERO, *arguments], env=self.environment, capture_output=True, text=True, timeout=LIMIT, **given
        )

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start `arriero ARGUMENTS…`."""
        return subprocess.Popen(
            [*ARRIERO, *arguments],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def processes(self) -> list[psutil.Process]:
        """What still runs of all that was started."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get("ARRIERO_TEST_MARK") == self.mark and process.status() != "zombie":
                    found.append(process)
            except (psutil.AccessDenied, psutil.NoSuchProcess):
                continue
        return found

    def all_gone(self) -> bool:
        """Wait until nothing of it runs any more."""
        return _wait(lambda: not self.processes())


def _wait(condition: Callable[[], bool]) -> bool:
    until = time.monotonic() + LIMIT
    while time.monotonic() < until:
        if condition():
            return True
        time.sleep(0.05)
    return False


@pytest.fixture
def shell(server: Server, tmp_path: Path) -> Shell:
    """A shell beside a running server."""
    return Shell(tmp_path, f"127.0.0.1:{server.port}")


@pytest.fixture
def lonely(tmp_path: Path) -> Iterator[Shell]:
    """A shell where no server answers."""
    shell = Shell(tmp_path, f"127.0.0.1:{free_port()}")
    yield shell
    for process in shell.processes():
        process.kill()


def test_a_model_is_listed_shown_asked_and_stopped(shell: Shell) -> None:
    assert shell.run("list").stdout.split()[:5] == ["NAME", "ID", "SIZE", "MODIFIED", "demo:latest"]
    assert "architecture" in shell.run("show", "demo").stdout
    asked = shell.run("run", "demo", "Hello!")
    assert asked.returncode == 0
    assert asked.stdout.strip()
    assert asked.stderr == ""
    assert "100% CPU" in shell.run("ps").stdout or "GPU" in shell.run("ps").stdout
    assert shell.run("stop", "demo").returncode == 0
    assert json.loads(shell.run("ps", "--json").stdout) == []


def test_text_can_be_piped_in(shell: Shell) -> None:
    asked = shell.run("run", "demo", "--verbose", stdin="Hello!\n")
    assert asked.returncode == 0
    assert asked.stdout.strip()
    assert "eval rate:" in asked.stderr


def test_a_taken_port_names_its_owner_and_another_port(shell: Shell, server: Server) -> None:
    refused = shell.run("serve", "--port", str(server.port))
    assert refused.returncode == 1
    assert f"127.0.0.1:{server.port} is taken: an arriero (" in refused.stderr
    assert "Another port: arriero serve --port " in refused.stderr


def test_without_a_server_one_is_started_for_the_command(lonely: Shell) -> None:
    asked = lonely.run("run", "demo", "Hello!")
    assert asked.returncode == 0
    assert asked.stdout.strip()
    assert "starting one for this command" in asked.stderr
    assert lonely.all_gone()
    unknown = lonely.run("run", "nonsense", "Hello!")
    assert unknown.returncode == 1
    assert "Error: model 'nonsense' not found" in unknown.stderr
    assert lonely.all_gone()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL, signal.SIGTERM])
def test_its_own_server_ends_however_the_command_ends(lonely: Shell, number: signal.Signals) -> None:
    command = lonely.start("run", "demo", "Count to 100.")
    assert command.stdout is not None
    assert command.stdout.read(1)  # it answers: server and worker are running
    command.send_signal(signal.SIGSTOP)  # or the answer might end while we count
    assert len(lonely.processes()) >= 3
    command.send_signal(number)
    command.send_signal(signal.SIGCONT)
    command.communicate(timeout=LIMIT)
    assert command.returncode != 0
    assert lonely.all_gone()


def test_a_broken_own_server_is_told(lonely: Shell) -> None:
    home = Path(lonely.environment["ARRIERO_HOME"])
    home.mkdir(parents=True)
    (home / "config.toml").write_text("nonsense = 1\n")
    told = lonely.run("list")
    assert told.returncode == 1
    assert "Error: a server could not be started: " in told.stderr
    assert "unknown key 'nonsense'" in told.stderr


def test_a_cut_off_list_is_no_error(shell: Shell) -> None:
    line = f"'{sys.executable}' -m arriero list | true"
    done = subprocess.run(["/bin/sh", "-c", line], env=shell.environment, capture_output=True, timeout=LIMIT)
    assert (done.returncode, done.stderr) == (0, b"")


def test_nothing_is_left_in_ollamas_folder(shell: Shell) -> None:
    assert not os.path.lexists(shell.home / ".ollama")


def test_every_command_that_tells_something_has_json(known_server: Server, tmp_path: Path) -> None:
    """A document, or one for each report, on standard output; nothing else there."""
    environment = clean_environment(tmp_path, {"OLLAMA_HOST": known_server.url})
    (tmp_path / "Modelfile").write_text("FROM demo\n")

    def told(*arguments: str) -> list[Any]:
        done = subprocess.run(
            [sys.executable, "-m", "arriero", *arguments, "--json"],
            env=environment,
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    (answer,) = told("run", "known", "Hello!")
    assert (answer["text"], answer["finish_reason"]) == (SAYS, "stop")
    assert answer["usage"]["completion_tokens"] > 1
    assert told("create", "by-json")[-1]["status"] == "success"
    assert told("cp", "by-json", "copied") == [{"copied": "by-json", "to": "copied"}]
    assert told("rm", "by-json", "copied") == [{"deleted": "by-json"}, {"deleted": "copied"}]
    assert told("show", "known")[0]["capabilities"] == ["completion", "tools"]
    assert "known:latest" in [model["name"] for model in told("list")[0]]
    assert "known:latest" in [model["name"] for model in told("ps")[0]]
    assert told("stop", "known") == [{"stopped": "known"}]
    known_server.load("known")


@pytest.mark.parametrize("flag", ["-v", "--version"])
def test_the_servers_version(shell: Shell, lonely: Shell, flag: str) -> None:
    told = shell.run(flag)
    assert (told.returncode, told.stdout, told.stderr) == (0, f"arriero version is {arriero.__version__}\n", "")
    alone = lonely.run(flag)
    assert alone.returncode == 0
    assert alone.stdout.splitlines() == [
        "Warning: could not connect to a running arriero instance",
        f"Warning: client version is {arriero.__version__}",
    ]
    assert not lonely.processes()
