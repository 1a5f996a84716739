"""Entry of a worker process: `python -m arriero.worker FD`, where FD is an inherited Unix socket to the server."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys

from arriero.worker.connection import Connection
from arriero.worker.host import Host

SWITCH_INTERVAL = 0.0005
"""Seconds that a thread may keep the interpreter while another wants it. The loop's comes back from each decode with
all cores waiting for the next one; Python's own five milliseconds are several steps of a small model."""

FIRST_TO_GO = 500
"""This process's score of 1000 when memory runs out: the server starts another worker, but nobody another server."""


def main() -> None:
    """Serve the inherited socket; leave at once when the server goes, whatever the kernels are doing."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.setswitchinterval(SWITCH_INTERVAL)
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "r+") as score:  # Linux: man 5 proc
        if int(score.read()) < FIRST_TO_GO:
            score.write(str(FIRST_TO_GO))
    sock = socket.socket(fileno=int(sys.argv[1]))
    Host(Connection(sock)).serve()
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
