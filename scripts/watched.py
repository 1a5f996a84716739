"""Run a long command in silence's stead: its output goes to a log, a line of progress to the reader."""

from __future__ import annotations

import contextlib
import os
import queue
import re
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

EVERY_SECONDS = 15.0
_STEPS = re.compile(r"^\s*\[\s*(?:(\d+)/(\d+)|(\d+)%)\]")
_ERROR = re.compile(r"\berror\b[: ]|Error\b|FAILED|Killed|No space|Could not")
_ABOUT_PIP = re.compile(r"subprocess-exited-with-error|This error originates|Failed to build one or more")
# What pip and scikit-build-core say when a phase begins, and what the reader is told.
_PHASES = (
    ("Collecting ", "downloading the source"),
    ("Installing build dependencies", "fetching the build tools"),
    ("Configuring CMake", "configuring"),
    ("Building project with", "compiling"),
    ("Installing project into wheel", "packing the wheel"),
)


class Progress:
    """The phase that a build is in, read from its output."""

    def __init__(self) -> None:
        self.phase = "starting"
        self.steps = ""

    def feed(self, line: str) -> None:
        """Take one line of output."""
        step = _STEPS.match(line)
        if step:
            done, total, percent = step.groups()
            self.phase, self.steps = "compiling", f"{percent}%" if percent else f"{done}/{total}"
            return
        for words, phase in _PHASES:
            if words in line:
                # Build dependencies are collected too: only the first download is the source's.
                if phase == _PHASES[0][1] and self.phase != "starting":
                    return
                self.phase, self.steps = phase, ""
                return

    def __str__(self) -> str:
        return f"{self.phase} {self.steps}".rstrip()


def run(command: Sequence[str], env: Mapping[str, str], log: Path) -> int:
    """Run `command` with its output in `log`, a line every EVERY_SECONDS; its exit status.

    It gets a process group of its own, which ends with us: an interrupted build leaves no compiler behind.
    """
    progress, began = Progress(), time.monotonic()
    lines: queue.Queue[str | None] = queue.Queue()
    with log.open("w", encoding="utf-8", errors="replace") as out:
        child = subprocess.Popen(
            command,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
        threading.Thread(target=_read, args=(child, lines), daemon=True).start()
        said, last = began, ""
        try:
            while True:
                try:
                    line = lines.get(timeout=max(0.1, said + EVERY_SECONDS - time.monotonic()))
                except queue.Empty:
                    line = ""
                if line is None:
                    return child.wait()
                if line:
                    out.write(line)
                    progress.feed(line)
                now = time.monotonic()
                if now >= said + EVERY_SECONDS or progress.phase != last:
                    print(f"  {_clock(now - began)}  {progress}", flush=True)
                    said, last = now, progress.phase
        finally:
            if child.poll() is None:
                _end(child)


def _end(child: subprocess.Popen[str]) -> None:
    """Interrupt the whole group, so that pip clears its folders away; then kill what is left of it."""
    os.killpg(child.pid, signal.SIGINT)
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(timeout=10)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _read(child: subprocess.Popen[str], lines: queue.Queue[str | None]) -> None:
    assert child.stdout is not None
    for line in child.stdout:
        lines.put(line)
    lines.put(None)


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def last_errors(log: Path, count: int = 12) -> list[str]:
    """The lines that say what went wrong: the last ones that mention an error, else the last ones at all."""
    lines = [line.rstrip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines()]
    errors = [line for line in lines if _ERROR.search(line) and not _ABOUT_PIP.search(line)]
    return (errors or [line for line in lines if line])[-count:]
