"""`arriero serve` before it serves: taken ports, wrong configurations, the port file."""

from __future__ import annotations

import io
import os
import signal
import socket
import threading
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from arriero.cli import serve as serve_command
from tests.unit.cli.conftest import Arriero
from tests.unit.client.conftest import ServeSync
from tests.unit.client.scripted import Reply


def _page(text: str, server: str) -> Reply:
    async def reply(request: web.Request) -> web.StreamResponse:
        return web.Response(text=text, headers={"Server": server})

    return reply


@pytest.mark.parametrize(
    ("text", "name", "said"),
    [
        ("Ollama is running", "arriero/0.1.0", "an arriero (0.1.0) answers there already"),
        ("Ollama is running", "", "an Ollama answers there"),
        ("It works!", "Apache", "a web server (Apache) answers there"),
    ],
)
def test_a_taken_port_is_told_by_whom(arriero: Arriero, serve_sync: ServeSync, text: str, name: str, said: str) -> None:
    server = serve_sync({"/": _page(text, name)})
    port = server.url.rpartition(":")[2]
    ran = arriero("serve", "--host", "127.0.0.1", "--port", port)
    assert (ran.status, ran.out) == (1, "")
    start, _, other = ran.err.strip().rpartition(" ")
    assert start == f"Error: 127.0.0.1:{port} is taken: {said}. Another port: arriero serve --port"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", int(other)))


def test_a_taken_port_without_http(arriero: Arriero) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        def hang_up() -> None:
            connection, _ = taken.accept()
            connection.close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        ran = arriero("serve", "--port", str(port))
        thread.join()
    assert "is taken: something that does not speak HTTP listens there. Another port:" in ran.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--host", "0.0.0.0"], "Error: refusing to listen on 0.0.0.0 without a key"),
        (["--model", "x=/nowhere/x.gguf"], "Error: model 'x': there is no file /nowhere/x.gguf"),
        (["--model", f"x={__file__}"], f"Error: model 'x': {__file__} is no GGUF file; `arriero create` makes one of"),
        (["--host", "192.0.2.1", "--no-auth"], "Error: cannot listen on 192.0.2.1:"),
    ],
)
def test_a_configuration_that_cannot_be(arriero: Arriero, arguments: list[str], said: str) -> None:
    ran = arriero("serve", *arguments)
    assert ran.status == 1
    assert ran.err.startswith(said)


def test_flags_reach_the_server(arriero: Arriero, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[Any] = []
    monkeypatch.setattr("arriero.app.run", lambda config, listener: ran.append((config, listener.getsockname())))
    model = tmp_path / "x.gguf"
    model.write_bytes(b"GGUF")
    port_file = tmp_path / "port"
    flags = ["--host", "127.0.0.1", "--port", "0", "--model", f"x={model}", "--models-dir", str(tmp_path)]
    assert arriero("serve", *flags, "--port-file", str(port_file)).status == 0
    ((config, (host, port)),) = ran
    assert (config.server.host, host) == ("127.0.0.1", "127.0.0.1")
    assert dict(config.models) == {"x": model}
    assert config.folders == (tmp_path,)
    assert port_file.read_text() == str(port)


def test_a_tied_server_ends_with_its_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr("os.kill", lambda pid, number: sent.append((pid, number)))

    class Pipe:
        buffer = io.BytesIO(b"whatever is written does not matter")

    monkeypatch.setattr("sys.stdin", Pipe())
    serve_command._end_with_stdin()
    assert sent == [(os.getpid(), signal.SIGTERM)]
