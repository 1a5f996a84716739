"""`arriero eval tools` against a real server."""

from __future__ import annotations

import json
import subprocess
import sys
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
