"""`arriero bench` against a real server, beside itself."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

from tests.e2e.serving import Server, clean_environment


def bench(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "arriero", "bench", *arguments]
    return subprocess.run(command, env=clean_environment(home), capture_output=True, text=True, timeout=110)


def test_two_servers_in_turns_kept_and_compared(server: Server, tmp_path: Path) -> None:
    """One server under two names: prompts of a round are the same for both, so the second finds them cached."""
    names = [f"one={server.url}#demo", f"two={server.url}#demo"]
    done = bench(tmp_path, *names, "--case", "single", "--size", "tiny", "--pairs", "2", "--json")
    assert done.returncode == 0, done.stderr
    run = json.loads(done.stdout)
    assert [one["kind"] for one in run["servers"]] == ["arriero", "arriero"]
    assert run["machine"]["cores"] >= 1
    (single,) = run["outcomes"]
    places = [(one["server"], one["round"], one["place"]) for one in single["rounds"]]
    assert places == [("one", 0, 0), ("two", 0, 1), ("two", 1, 0), ("one", 1, 1)]
    assert all(one["figures"]["ttft"] > 0 and one["samples"][0]["completion_tokens"] == 8 for one in single["rounds"])

    kept = list((tmp_path / "arriero" / "bench").glob("*.json"))
    assert len(kept) == 1
    assert kept[0].with_suffix(".svg").is_file()
    same = bench(tmp_path, "--compare", "last", str(kept[0]))
    assert same.returncode == 0, same.stderr
    assert same.stdout.splitlines()[1].split()[0] == "single"
    assert bench(tmp_path, "--runs").stdout.strip() == kept[0].stem


def test_cases_with_many_requests(server: Server, tmp_path: Path) -> None:
    cases = [part for name in ("agents-4", "fairness", "copying", "memory") for part in ("--case", name)]
    done = bench(tmp_path, f"{server.url}#demo", *cases, "--size", "tiny", "--pairs", "1", "--json")
    assert done.returncode == 0, done.stderr
    agents, fairness, copying, memory = (outcome["rounds"][0] for outcome in json.loads(done.stdout)["outcomes"])
    assert [len(one["samples"]) for one in (agents, fairness, copying, memory)] == [8, 21, 1, 8]
    assert all(one["error"] == "" for one in (agents, fairness, copying, memory))
    assert memory["figures"]["pss"] > 10


def test_what_was_measured_before_an_interrupt_is_kept(server: Server, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "arriero", "bench", f"a={server.url}#demo", "--case", "single", "--size", "tiny"]
    terminal, its = pty.openpty()  # where somebody looks, each measurement is told of
    running = subprocess.Popen(
        [*command, "--pairs", "1000"],
        env=clean_environment(tmp_path),
        stdout=subprocess.PIPE,
        stderr=its,
        text=True,
    )
    os.close(its)
    told = b""
    while b"1 a: " not in told:
        told += os.read(terminal, 4096)
    running.send_signal(signal.SIGINT)
    shown, _ = running.communicate(timeout=60)
    os.close(terminal)
    assert running.returncode == 130
    (kept,) = (tmp_path / "arriero" / "bench").glob("*.json")
    assert str(kept) in shown
    run = json.loads(kept.read_bytes())
    assert run["interrupted"]
    assert len(run["outcomes"][0]["rounds"]) >= 1
    assert run["outcomes"][0]["summaries"]["a"]["ttft"] > 0


def test_what_cannot_be_measured_is_said(server: Server, tmp_path: Path) -> None:
    wrong = bench(tmp_path, server.url, "--case", "nothing")
    assert (wrong.returncode, "there is no case" in wrong.stderr) == (1, True)
    absent = bench(tmp_path, f"{server.url}#nowhere", "--case", "single")
    assert (absent.returncode, "does not answer" in absent.stderr) == (1, True)
