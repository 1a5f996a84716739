"""No telemetry: serve, run, chat and the Python client with a local model open no socket off this machine.

Every process is started with a small library preloaded that notes each connect, send and name look-up.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from pathlib import Path

import psutil
import pytest

from tests.e2e.serving import Server, clean_environment, serve

SOURCE = Path(__file__).with_name("connections.c")


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment in which every process notes what it connects to."""
    compiler = next((found for name in ("cc", "gcc", "clang") if (found := shutil.which(name))), None)
    if sys.platform != "linux":
        pytest.skip("LD_PRELOAD: only on Linux")
    if compiler is None:
        pytest.skip("cc: not installed")
    folder = tmp_path_factory.mktemp("watched")
    library = folder / "connections.so"
    command = [compiler, "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", str(library), str(SOURCE), "-ldl"]
    subprocess.run(command, check=True, timeout=60)
    return {"LD_PRELOAD": str(library), "CONNECTIONS": str(folder / "notes")}


@pytest.fixture(scope="module")
def watched_server(watched: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serve(tmp_path_factory.mktemp("home"), environment=watched) as server:
        yield server


def notes(watched: Mapping[str, str]) -> list[tuple[str, str]]:
    """What was noted so far: (connect, sendto, sendmsg or resolve; address or name)."""
    path = Path(watched["CONNECTIONS"])
    lines = path.read_text().splitlines() if path.exists() else []
    return [(what, target) for what, _, target in (line.partition(" ") for line in lines)]


def foreign(watched: Mapping[str, str]) -> list[tuple[str, str]]:
    """The notes that are not about this machine."""

    def local(target: str) -> bool:
        try:
            return ip_address(target).is_loopback
        except ValueError:
            return target == "localhost"

    return [note for note in notes(watched) if not local(note[1])]


def run(watched: Mapping[str, str], server: Server, home: Path, *command: str, stdin: str = "") -> str:
    """Run a command against `server`, watched; its output."""
    environment = clean_environment(home, {**watched, "OLLAMA_HOST": server.url})
    done = subprocess.run(command, input=stdin, env=environment, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_watch_sees_what_connects(watched: Mapping[str, str]) -> None:
    """Otherwise the tests below would prove nothing. Port 9 of a documentation address: nobody is disturbed."""
    program = "import socket; s = socket.socket(); s.setblocking(False); s.connect_ex(('192.0.2.1', 9))"
    own = {**os.environ, **watched, "CONNECTIONS": watched["CONNECTIONS"] + " of a probe"}
    subprocess.run([sys.executable, "-c", program], env=own, check=True, timeout=30)
    assert ("connect", "192.0.2.1") in notes(own)
    assert foreign(own)


@pytest.mark.parametrize(
    ("command", "stdin"),
    [
        (["run", "demo", "Hello!"], ""),
        (["run", "demo"], "Hello!\n"),
        (["list"], ""),
        (["show", "demo"], ""),
        (["ps"], ""),
        (["stop", "demo"], ""),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_commands_speak_to_the_server_alone(
    watched: Mapping[str, str], watched_server: Server, tmp_path: Path, command: list[str], stdin: str
) -> None:
    before = len(notes(watched))
    output = run(watched, watched_server, tmp_path, sys.executable, "-m", "arriero", *command, stdin=stdin)
    assert output.strip() or command[0] == "stop"
    assert ("connect", "127.0.0.1") in notes(watched)[before:]
    assert foreign(watched) == []


def test_the_python_client_and_the_engine_speak_to_nobody_else(
    watched: Mapping[str, str], watched_server: Server, tmp_path: Path
) -> None:
    program = f"""
import arriero
with arriero.Client("{watched_server.url}", model="demo") as client:
    print(client.generate("Hello!").text)
    print("".join(chunk.text for chunk in client.stream("Hello!")))
"""
    assert run(watched, watched_server, tmp_path, sys.executable, "-c", program).strip()
    assert foreign(watched) == []


def test_the_server_and_its_worker_have_no_connection_off_loopback(
    watched: Mapping[str, str], watched_server: Server
) -> None:
    watched_server.post("/api/chat", {"model": "demo", "messages": [{"role": "user", "content": "Hello!"}]})
    server = psutil.Process(watched_server.process.pid)
    for process in [server, *server.children(recursive=True)]:
        for connection in process.net_connections("inet"):
            assert ip_address(connection.laddr.ip).is_loopback
            assert not connection.raddr or ip_address(connection.raddr.ip).is_loopback
    assert len(server.children()) == 1  # the worker was looked at, too
    assert foreign(watched) == []
