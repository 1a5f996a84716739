"""The first answer, against a stand-in for the server: ports, settings, the stream, and no process left behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from scripts import first_run

STAND_IN = """import json, os, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

port = int(sys.argv[sys.argv.index("--port") + 1])
Path({notes!r}).write_text(json.dumps({{"env": dict(os.environ), "pid": os.getpid(), "port": port}}))
if {ends!r}:
    sys.exit("error: no model here")

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/ready" else 404)
        self.end_headers()

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.end_headers()
        if {hangs!r}:
            self.wfile.write(json.dumps({{"message": {{"content": "Pa"}}, "done": False}}).encode() + b"\\n")
            self.wfile.flush()
            import time
            time.sleep(60)
        for text in ("Paris", "."):
            self.wfile.write(json.dumps({{"message": {{"content": text}}, "done": False}}).encode() + b"\\n")
        last = {{"message": {{"content": ""}}, "done": True, "eval_count": 3, "eval_duration": 100_000_000}}
        self.wfile.write(json.dumps(last).encode() + b"\\n")

    def log_message(self, *_):
        pass

HTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""


class Checkout:
    """A folder whose `arriero` is the stand-in, beside a python that runs first_run."""

    def __init__(self, folder: Path, ends: bool = False, hangs: bool = False) -> None:
        self.notes = folder / "notes.json"
        self.arriero = folder / "arriero"
        program = folder / "stand_in.py"
        program.write_text(STAND_IN.format(notes=str(self.notes), ends=ends, hangs=hangs))
        self.arriero.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{program}" "$@"\n')
        self.arriero.chmod(0o755)
        self.script = (
            "import sys; from pathlib import Path; from scripts import first_run;"
            f"sys.executable = {str(folder / 'python')!r}; sys.exit(first_run.main())"
        )
        self.root = Path(__file__).parents[3]
        self.temporary = folder / "tmp"
        self.temporary.mkdir()

    def start(self, **env: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", self.script],
            cwd=self.root,
            env={**os.environ, "TMPDIR": str(self.temporary), **env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


def _notes(checkout: Checkout) -> dict[str, object]:
    found: dict[str, object] = json.loads(checkout.notes.read_text())
    return found


def _gone(pid: object) -> bool:
    try:
        os.kill(int(str(pid)), 0)
    except ProcessLookupError:
        return True
    return False


def test_an_answer_is_streamed_and_nothing_is_left(tmp_path: Path) -> None:
    checkout = Checkout(tmp_path)
    proxy = "http://127.0.0.1:9"
    running = checkout.start(OLLAMA_HOST="1.2.3.4:5", OLLAMA_MODELS="/nowhere", HTTP_PROXY=proxy, http_proxy=proxy)
    out, err = running.communicate(timeout=60)
    assert running.returncode == 0, err
    assert "Paris." in out
    assert "3 tokens at 30 tokens/s" in out
    assert out.count(".venv/bin/arriero") == 3
    notes = _notes(checkout)
    env = notes["env"]
    assert isinstance(env, dict)
    assert not {"OLLAMA_HOST", "OLLAMA_MODELS", "HTTP_PROXY", "http_proxy"} & set(env)
    assert env["ARRIERO_HOME"].startswith(str(checkout.temporary))
    assert str(notes["port"]) in out
    assert _gone(notes["pid"])
    assert list(checkout.temporary.iterdir()) == []


def test_a_server_that_ends_is_quoted(tmp_path: Path) -> None:
    checkout = Checkout(tmp_path, ends=True)
    running = checkout.start()
    _, err = running.communicate(timeout=60)
    assert running.returncode == 1
    assert "error: no model here" in err
    assert list(checkout.temporary.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_stops_its_server(tmp_path: Path, number: signal.Signals) -> None:
    checkout = Checkout(tmp_path, hangs=True)
    running = checkout.start()
    assert running.stdout is not None
    said = ""
    while not said.endswith("\nPa"):
        assert running.poll() is None, said
        said += running.stdout.read(1)
    running.send_signal(number)
    running.communicate(timeout=60)
    assert running.returncode in (130, 143)
    until = time.monotonic() + 10
    while not _gone(_notes(checkout)["pid"]) and time.monotonic() < until:
        time.sleep(0.05)
    assert _gone(_notes(checkout)["pid"])


def test_a_taken_port_is_passed_over() -> None:
    with socket.create_server((first_run.HOST, 0)) as taken:
        port = taken.getsockname()[1]
        assert first_run.free_port(port) > port


def test_the_commands_are_plain_on_the_usual_port() -> None:
    assert ".venv/bin/arriero serve" in first_run.next_commands(first_run.USUAL_PORT, {})


def test_the_commands_name_the_port_when_something_else_would_answer() -> None:
    serve = "OLLAMA_HOST=127.0.0.1:11440 .venv/bin/arriero serve"
    assert serve in first_run.next_commands(11440, {})
    elsewhere = first_run.next_commands(first_run.USUAL_PORT, {"OLLAMA_HOST": "1.2.3.4"})
    assert all(command.startswith("OLLAMA_HOST=127.0.0.1:11434 ") for command in elsewhere)
