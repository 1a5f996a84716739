"""`arriero serve`: start a server. The only command that imports the server's rooms."""

from __future__ import annotations

import errno
import http.client
import os
import signal
import socket
import sys
import threading
from pathlib import Path
from typing import Annotated

import typer


def serve(
    host: Annotated[str | None, typer.Option(help="Where to listen; OLLAMA_HOST's host or 127.0.0.1.")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="The port; OLLAMA_HOST's or 11434. 0 takes any free one.")
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option("--model", metavar="NAME=PATH", help="Serve this GGUF file. Repeatable.")
    ] = None,
    models_dir: Annotated[
        list[str] | None, typer.Option("--models-dir", metavar="DIR", help="Serve this folder's GGUFs. Repeatable.")
    ] = None,
    no_auth: Annotated[bool, typer.Option("--no-auth", help="Ask for no key, also off loopback.")] = False,
    config: Annotated[Path | None, typer.Option("--config", metavar="FILE", help="Read this config file.")] = None,
    port_file: Annotated[Path | None, typer.Option(hidden=True, help="Write the port here once it listens.")] = None,
    tied: Annotated[bool, typer.Option("--tied", hidden=True, help="End when standard input closes.")] = False,
) -> None:
    """Serve until SIGINT or SIGTERM. Exits 1 if the address is taken, and says by whom."""
    from arriero import app
    from arriero.cli.failures import CommandFailed
    from arriero.config import ConfigError, load_config

    try:
        settings = load_config(
            os.environ,
            host=host,
            port=port,
            models=model or (),
            folders=models_dir or (),
            no_auth=no_auth,
            config_file=config,
        )
    except ConfigError as error:
        raise CommandFailed(str(error)) from None
    try:
        listener = app.bind(settings)
    except OSError as error:
        raise CommandFailed(_refused(settings.server.host, settings.server.port, error)) from None
    if port_file is not None:
        _announce(listener, port_file)
    if tied:
        threading.Thread(target=_end_with_stdin, name="tied", daemon=True).start()
    app.run(settings, listener)


def _announce(listener: socket.socket, port_file: Path) -> None:
    """Write the port whole or not at all: whoever waits for the file reads it at once."""
    draft = port_file.with_name(port_file.name + ".new")
    draft.write_text(str(listener.getsockname()[1]))
    draft.replace(port_file)


def _end_with_stdin() -> None:
    while sys.stdin.buffer.read(4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def _refused(host: str, port: int, error: OSError) -> str:
    if error.errno != errno.EADDRINUSE:
        return f"cannot listen on {host}:{port}: {error.strerror or error}"
    shown = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)
    free = free_port(host, port)
    return f"{host}:{port} is taken: {who_answers(shown, port)}. Another port: arriero serve --port {free}"


def who_answers(host: str, port: int) -> str:
    """Say what listens there, by its Server header and what it answers to GET /."""
    connection = http.client.HTTPConnection(host, port, timeout=2)
    try:
        connection.request("GET", "/")
        response = connection.getresponse()
        name = response.getheader("Server", "")
        body = response.read(200)
    except (OSError, http.client.HTTPException):
        return "something that does not speak HTTP listens there"
    finally:
        connection.close()
    if name.startswith("arriero/"):
        return f"an arriero ({name.removeprefix('arriero/')}) answers there already"
    if body.strip() == b"Ollama is running":
        return "an Ollama answers there"
    return f"a web server ({name}) answers there" if name else "a web server answers there"


def free_port(host: str, taken: int) -> int:
    """Return the next port that can be had, beginning behind `taken`."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for port in range(taken + 1, min(taken + 100, 65536)):
        with socket.socket(family) as probe:
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return port
    return 0
