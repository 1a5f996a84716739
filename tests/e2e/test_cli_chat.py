"""The chat in a real terminal (a pty): a question, a stopped answer, and the lines that are remembered."""

from __future__ import annotations

import os
import pty
import re
import select
import stat
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.serving import Server, clean_environment

LIMIT = 60.0
CURSOR_ASKED, CURSOR_TOLD = b"\x1b[6n", b"\x1b[1;1R"


class Terminal:
    """A chat in a pty."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            os.execve(sys.executable, [sys.executable, "-m", "arriero", "run", "demo"], environment)
        self._shown = b""
        self._seen = 0

    def press(self, keys: str) -> None:
        """Type."""
        os.write(self._fd, keys.encode())

    def wait_for(self, pattern: str) -> str:
        """Wait until what is shown since the last match matches; return it without control sequences."""
        until = time.monotonic() + LIMIT
        while time.monotonic() < until:
            text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", self._shown[self._seen :].decode("utf-8", "replace"))
            found = re.search(pattern, text, re.DOTALL)
            if found:
                self._seen = len(self._shown)
                return text
            if select.select([self._fd], [], [], 0.2)[0]:
                piece = os.read(self._fd, 65536)
                if CURSOR_ASKED in piece:
                    os.write(self._fd, CURSOR_TOLD)
                self._shown += piece
        raise AssertionError(f"no {pattern!r} in {self._shown[self._seen :]!r}")

    def status(self) -> int:
        """Wait for the end; the exit status."""
        while True:
            try:
                os.read(self._fd, 65536)
            except OSError:
                break
        _, status = os.waitpid(self.pid, 0)
        os.close(self._fd)
        return os.waitstatus_to_exitcode(status)


@pytest.fixture
def terminal(server: Server, tmp_path: Path) -> Iterator[Terminal]:
    """A chat with the demo model."""
    environment = clean_environment(tmp_path, {"OLLAMA_HOST": server.url, "TERM": "xterm"})
    opened = Terminal(environment)
    yield opened
    try:
        os.kill(opened.pid, 9)
        os.waitpid(opened.pid, 0)
    except (ProcessLookupError, ChildProcessError):
        pass


def test_a_chat(terminal: Terminal, server: Server, tmp_path: Path) -> None:
    terminal.wait_for(">>> .*Send a message")
    terminal.press("Hello!\r")
    terminal.wait_for(r"Hello!.*\w+.*\n.*>>> .*Send a message")
    terminal.press("/set parameter temperature 0\r")
    terminal.wait_for("Set parameter 'temperature' to '0'.*>>> ")
    for line in ("/set nohistory", "/set secret", "/set history"):
        terminal.press(f"{line}\r")
        terminal.wait_for(">>> .*Send a message")
    before = server.metrics().get("arriero_requests_failed_total", 0.0)
    for _ in range(20):  # the whole answer takes a quarter of a second: the key may come too late
        terminal.press("Count to 100.\r")
        terminal.wait_for("1, 2")
        terminal.press("\x03")  # stops the answer, not the chat
        terminal.wait_for(">>> .*Send a message")
        server.wait_for("arriero_requests_in_flight", "==", 0)
        if server.metrics().get("arriero_requests_failed_total", 0.0) > before:  # cancelled: the server stopped too
            break
    else:
        pytest.fail("no answer was stopped")
    terminal.press("\x04")
    assert terminal.status() == 0
    history = tmp_path / "arriero" / "history"
    assert "+Hello!\n" in history.read_text()
    assert "secret" not in history.read_text()
    assert stat.S_IMODE(history.stat().st_mode) == 0o600
    assert not (tmp_path / ".ollama").exists()


def test_no_history_is_kept_when_that_is_set(server: Server, tmp_path: Path) -> None:
    environment = {"OLLAMA_HOST": server.url, "TERM": "xterm", "OLLAMA_NOHISTORY": "1"}
    opened = Terminal(clean_environment(tmp_path, environment))
    opened.wait_for(">>> .*Send a message")
    opened.press("/set quiet\r")
    opened.wait_for("Set 'quiet' mode.*>>> ")
    opened.press("/bye\r")
    assert opened.status() == 0
    assert not (tmp_path / "arriero" / "history").exists()


def test_a_message_may_be_written_in_an_editor(server: Server, tmp_path: Path) -> None:
    """Ctrl-G opens it; what it leaves is the line, and Enter sends it."""
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\nprintf "/set verbose" > "$1"\n')
    editor.chmod(0o755)
    environment = {"OLLAMA_HOST": server.url, "TERM": "xterm", "OLLAMA_EDITOR": str(editor)}
    opened = Terminal(clean_environment(tmp_path, environment))
    opened.wait_for(">>> .*Send a message")
    opened.press("\x07")
    opened.wait_for("/set verbose")
    opened.press("\r")
    opened.wait_for("Set 'verbose' mode.*>>> ")
    opened.press("/bye\r")
    assert opened.status() == 0
