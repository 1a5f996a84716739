"""Which server a command speaks to: the one at OLLAMA_HOST, or one of its own while the command runs."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from arriero.cli.failures import CommandFailed
from arriero.client import Client
from arriero.client.address import from_environment, key_from_environment
from arriero.config import Address

START_S = 60.0  # an own server listens in a second; a machine at its limits gets a minute
STOP_S = 20.0


@contextmanager
def connected(*, own: bool = True) -> Iterator[Client]:
    """Give a client of the server at OLLAMA_HOST (127.0.0.1:11434 by default).

    Where none answers on this machine and `own` is true, a private one is started on a free loopback port, and ended
    with the block, however it ends. CommandFailed if there is no server to speak to.
    """
    address = from_environment()
    if not address.loopback or answers(address):
        with Client(address.url, api_key=key_from_environment()) as client:
            yield client
        return
    if not own:
        raise CommandFailed(f"no server answers at {address.url}. `arriero serve` starts one")
    print(
        f"No server answers at {address.url}: starting one for this command. `arriero serve` keeps one running.",
        file=sys.stderr,
    )
    with private_server() as url, Client(url, api_key=key_from_environment()) as client:
        yield client


def answers(address: Address) -> bool:
    """Tell whether anything listens at the address."""
    try:
        with socket.create_connection((address.host, address.port), timeout=2):
            return True
    except OSError:
        return False


@contextmanager
def private_server() -> Iterator[str]:
    """Run `arriero serve` on a free loopback port and give its URL.

    It has a session of its own, so that Ctrl-C reaches only this process, and ends when its standard input closes:
    also when this process is killed.
    """
    command = [sys.executable, "-m", "arriero", "serve", "--host", "127.0.0.1", "--port", "0", "--tied"]
    # The folder is gone before anything else happens: nothing is left behind, whatever ends this process later.
    with tempfile.TemporaryDirectory(prefix="arriero-") as folder:
        port_file, log = Path(folder, "port"), Path(folder, "log")
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*command, "--port-file", str(port_file)],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                start_new_session=True,
                env={name: value for name, value in os.environ.items() if name != "OLLAMA_HOST"},
            )
        try:
            port = _port(process, port_file, log)
        except BaseException:
            _end(process)
            raise
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    process.stdin.close()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _port(process: subprocess.Popen[bytes], port_file: Path, log: Path) -> int:
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        if port_file.exists():
            return int(port_file.read_text())
        if process.poll() is not None:
            break
        time.sleep(0.02)
    lines = log.read_text(errors="replace").strip().splitlines()
    reason = lines[-1].removeprefix("Error: ") if lines else f"it ended with status {process.poll()}"
    raise CommandFailed(f"a server could not be started: {reason}")
