"""`arriero eval tools` against a real server."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.e2e.serving import Server, clean_environment


def evaluate(server: Server, home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "arriero", "eval", "tools", "demo", "--url", server.url, *arguments]
    environment = clean_environment(home)
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=110)


def test_scores_as_json_and_as_a_table(server: Server, tmp_path: Path) -> None:
    done = evaluate(server, tmp_path, "--kind", "none", "--max-tokens", "40", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert [one["kind"] for one in told["summary"]] == ["none", "all"]
    assert told["summary"][-1]["cases"] == len(told["cases"]) == 8
    assert all(one["error"] == "" for one in told["cases"])
    shown = evaluate(server, tmp_path, "--kind", "none", "--max-tokens", "40")
    assert shown.stdout.split()[:3] == ["KIND", "CASES", "CALLS"]
    assert "CUT    FAILED" in shown.stdout


def test_the_exit_status_says_what_fell_short(server: Server, tmp_path: Path) -> None:
    short = evaluate(server, tmp_path, "--kind", "list", "--max-tokens", "1", "--least", "1")
    assert (short.returncode, "are right" in short.stderr) == (1, True)
    assert short.stdout.splitlines()[-1].split() == ["all", "4", *"000000", "4", "0"]  # each answer was cut off
    wrong = evaluate(server, tmp_path, "--kind", "nothing")
    assert (wrong.returncode, "there are no cases" in wrong.stderr) == (1, True)


def test_a_failed_request_fails(server: Server, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "arriero", "eval", "tools", "nowhere", "--url", server.url, "--kind", "list"]
    done = subprocess.run(command, env=clean_environment(tmp_path), capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, "requests failed" in done.stderr) == (1, "", True)  # no table of zeros


@contextlib.contextmanager
def stuck(answers: int) -> Iterator[tuple[str, threading.Event]]:
    """A server that answers so many requests, then accepts more and says nothing; its URL, and that one waits."""
    waits, over = threading.Event(), threading.Event()
    left = [answers]

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            left[0] -= 1
            if left[0] < 0:
                waits.set()
                over.wait()
                return
            body = b'{"choices": [{"message": {"content": "no"}, "finish_reason": "stop"}]}'
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            pass

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=listening.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listening.server_port}", waits
    finally:
        over.set()
        listening.shutdown()
        listening.server_close()


def test_a_server_that_never_answers_is_left(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "arriero", "eval", "tools", "demo", "--kind", "list", "--timeout", "1", "--url"]
    with stuck(0) as (url, _):
        done = subprocess.run(
            [*command, url], env=clean_environment(tmp_path), capture_output=True, text=True, timeout=60
        )
    assert (done.returncode, done.stdout) == (1, "")
    assert "all 4 requests failed" in done.stderr
    assert f"no answer from {url} within 1 s" in done.stderr


def test_what_was_scored_is_shown_when_it_is_interrupted(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "arriero",
        "eval",
        "tools",
        "demo",
        "--kind",
        "none",
        "--concurrency",
        "1",
        "--url",
    ]
    with stuck(2) as (url, waits):
        running = subprocess.Popen(
            [*command, url], env=clean_environment(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert waits.wait(60)
        running.send_signal(signal.SIGINT)
        shown, told = running.communicate(timeout=60)
    assert running.returncode == 130
    assert shown.splitlines()[-1].split()[:2] == ["all", "2"]
    assert "interrupted: 2 of 8 cases are scored" in told
