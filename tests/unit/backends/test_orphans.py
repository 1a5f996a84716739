from __future__ import annotations

import subprocess
import sys
import time

import psutil

from arriero.backends.orphans import reap, reap_orphans


def test_who_is_dead_at_two_looks_is_waited_for() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as left, subprocess.Popen(["sleep", "60"]) as alive:
        dead, living = psutil.Process(left.pid), psutil.Process(alive.pid)
        while dead.status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.005)
        found = reap(set())
        assert dead in found
        assert living not in found
        assert psutil.pid_exists(left.pid)
        assert dead not in reap({dead, living})
        assert not psutil.pid_exists(left.pid)
        assert living.is_running()
        alive.kill()


async def test_only_process_1_reaps() -> None:
    await reap_orphans()  # else it never returns
