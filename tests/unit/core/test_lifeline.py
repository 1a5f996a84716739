"""A program that holds its lifeline ends when its standard input closes, and leaves with what it has said."""

from __future__ import annotations

import subprocess
import sys

BEGIN = "from arriero.core import lifeline; lifeline.hold(); print('held'); "


def start(then: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", BEGIN + then], stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def test_it_ends_when_its_input_closes() -> None:
    with start("import sys, time; sys.stdout.flush(); time.sleep(60)") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        assert process.poll() is None
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(20) == 1


def test_it_leaves_although_its_input_is_open() -> None:
    with start("lifeline.leave(3)") as process:
        assert process.wait(20) == 3
        assert process.stdout is not None
        assert process.stdout.read() == b"held\n"
