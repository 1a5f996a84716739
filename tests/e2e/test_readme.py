"""The README's examples run as they stand there: every block of Python, every command line of arriero's."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest

from arriero.store.catalog import demo_path
from tests.e2e.serving import Server, clean_environment, free_port

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
PYTHON = [text for language, text in BLOCKS if language == "python"]
SHELL = [text for language, text in BLOCKS if language in ("console", "text", "sh", "bash")]
LINES = [re.findall(r"^[ $]*(\.venv/bin/arriero .*)$", text, re.MULTILINE) for text in SHELL]
COMMANDS = [lines for lines in LINES if lines]
MODEL_FILE = re.compile(r"/path/to/\S+\.gguf")
DEFAULT = "http://127.0.0.1:11434"
LIMIT = 100


def test_there_is_something_to_run() -> None:
    assert len(PYTHON) >= 3
    assert any("import arriero" in text for text in PYTHON)
    assert any("from ollama" in text for text in PYTHON)
    assert any("from openai" in text for text in PYTHON)
    assert sum(map(len, COMMANDS)) >= 5


@pytest.mark.parametrize("text", PYTHON, ids=lambda text: text.strip().splitlines()[0])
def test_a_block_of_python_runs(server: Server, tmp_path: Path, text: str) -> None:
    """Only the address is another one: the default port may be somebody's."""
    done = subprocess.run(
        [sys.executable, "-c", text.replace(DEFAULT, server.url)],
        env=clean_environment(tmp_path, {"OLLAMA_HOST": server.url}),
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


@pytest.mark.parametrize("lines", COMMANDS, ids=lambda lines: lines[0])
def test_a_block_of_commands_runs(tmp_path: Path, lines: list[str]) -> None:
    """On a port of its own; where a model's file is left to the reader, the demo's takes its place."""
    environment = clean_environment(tmp_path, {"OLLAMA_HOST": f"127.0.0.1:{free_port()}"})
    servers: list[subprocess.Popen[bytes]] = []
    # What asks a server goes last: a list of suggestions need not begin with `serve`.
    try:
        for line in sorted(lines, key=lambda line: " serve" not in line):
            words = shlex.split(MODEL_FILE.sub(lambda _: str(demo_path()), line), comments=True)
            command = [sys.executable, "-m", "arriero", *words[1:]]
            if words[1] == "serve":
                servers.append(start(command, environment, tmp_path / "serve.log"))
                continue
            done = subprocess.run(
                command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT
            )
            assert done.returncode == 0, done.stderr
            assert done.stdout.strip()
        for server in servers:
            server.terminate()
            assert server.wait(20) == 0
    finally:
        for server in servers:
            if server.poll() is None:
                server.kill()


def start(command: list[str], environment: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    """Start a server and wait until it says that it listens."""
    with log.open("wb") as output:
        server = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    until = time.monotonic() + LIMIT
    while "listening" not in log.read_text():
        assert server.poll() is None, log.read_text()
        assert time.monotonic() < until, log.read_text()
        time.sleep(0.05)
    return server
