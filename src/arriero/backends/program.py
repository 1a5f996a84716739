"""Runs a program of ours on files, in a process of its own: it may take all memory, or crash, and nobody else minds.

Its standard input stays open until it has ended: it closes when we are gone, and the program ends itself then.
"""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from typing import IO

from arriero.backends.child import WORKER_ENVIRONMENT

TICK_S = 0.5
ENVIRONMENT = {"GOMP_SPINCOUNT": WORKER_ENVIRONMENT["GOMP_SPINCOUNT"]}
"""What a program that computes takes over from workers: beside others its threads must not wait by spinning."""


class ProgramFailed(Exception):
    """It ended with another status than 0. `reason` is the last thing it said."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


def run_program(
    module: str,
    arguments: Sequence[str],
    tick: Callable[[], None],
    *,
    job: bytes = b"",
    on_line: Callable[[bytes], None] | None = None,
) -> None:
    """Run `module` to its end; ProgramFailed. Blocks.

    `job` becomes the first line of its standard input, `on_line` gets the lines of its standard output. `tick` is
    called while it runs; it and `on_line` may raise to give up, and the process is gone then.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, **ENVIRONMENT},
        start_new_session=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    said: list[bytes] = []
    lines: queue.Queue[bytes | None] = queue.Queue()  # a SimpleQueue can miss a timeout (engine/loop.py)
    readers = [
        threading.Thread(target=_forward, args=(process.stdout, lines), daemon=True),
        threading.Thread(target=lambda stream: said.append(stream.read()), args=(process.stderr,), daemon=True),
    ]
    with process:
        try:
            for reader in readers:
                reader.start()
            if job:
                _send(process.stdin, job)
            _hear(lines, tick, on_line)
            _wait(process, tick)
        except BaseException:
            process.kill()
            raise
        finally:
            for reader in readers:
                if reader.ident is not None:
                    reader.join()
    if process.returncode != 0:
        words = b"".join(said).decode("utf-8", "replace").strip().splitlines()
        reason = words[-1] if words else f"the process ended with status {process.returncode}"
        raise ProgramFailed(process.returncode, reason)


def _hear(lines: queue.Queue[bytes | None], tick: Callable[[], None], on_line: Callable[[bytes], None] | None) -> None:
    """Pass its lines on until it says no more."""
    while True:
        try:
            line = lines.get(timeout=TICK_S)
        except queue.Empty:
            tick()
            continue
        if line is None:
            return
        if on_line is not None:
            on_line(line)


def _wait(process: subprocess.Popen[bytes], tick: Callable[[], None]) -> None:
    """Wait until it has ended."""
    while True:
        try:
            process.wait(TICK_S)
        except subprocess.TimeoutExpired:
            tick()
        else:
            return


def _forward(stream: IO[bytes], lines: queue.Queue[bytes | None]) -> None:
    for line in stream:
        lines.put(line)
    lines.put(None)


def _send(stream: IO[bytes], job: bytes) -> None:
    try:
        stream.write(job + b"\n")
        stream.flush()
    except BrokenPipeError:
        pass  # it ended before it read the job, and its status says why
