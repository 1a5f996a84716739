"""Runs command lines against scripted servers, in this process."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from arriero.cli.main import run
from tests.unit.client.conftest import ServeSync, clean_environment, serve_sync
from tests.unit.client.scripted import Reply, Scripted, document

__all__ = ["clean_environment", "serve_sync"]


class Ran(NamedTuple):
    """What a command line did."""

    status: int
    out: str
    err: str


Arriero = Callable[..., Ran]


class Terminal(io.StringIO):
    """A stdin that is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def arriero(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Arriero:
    """Run `arriero ARGUMENTS…`; `stdin` None is a terminal."""
    monkeypatch.setenv("ARRIERO_HOME", str(tmp_path / "arriero home"))

    def command(*arguments: str, stdin: str | None = None) -> Ran:
        monkeypatch.setattr("sys.stdin", Terminal() if stdin is None else io.StringIO(stdin))
        status = run(arguments)
        captured = capsys.readouterr()
        return Ran(status, captured.out, captured.err)

    return command


@pytest.fixture
def ollama(serve_sync: ServeSync, monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, Reply]], Scripted]:
    """Start a scripted Ollama where OLLAMA_HOST says."""

    def start(replies: dict[str, Reply]) -> Scripted:
        server = serve_sync({"/api/version": document({"version": "0.33.0"}), **replies})
        monkeypatch.setenv("OLLAMA_HOST", server.url)
        return server

    return start
