"""Entry of a worker process: `python -m arriero.worker FD`, where FD is an inherited Unix socket to the server."""

from __future__ import annotations

import os
import signal
import socket
import sys

from arriero.worker.connection import Connection
from arriero.worker.host import Host


def main() -> None:
    """Serve the inherited socket; leave at once when the server goes, whatever the kernels are doing."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sock = socket.socket(fileno=int(sys.argv[1]))
    Host(Connection(sock)).serve()
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
