"""Debian's docker-registry as a child process on loopback, with a configuration and a folder of its own."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

COMMAND = "docker-registry"
START_LIMIT = 30.0
CONFIG = """\
version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage:
  filesystem: {{rootdirectory: {folder}}}
  delete: {{enabled: true}}
http:
  addr: 127.0.0.1:{port}
"""


@contextlib.contextmanager
def running(folder: Path) -> Iterator[str]:
    """Run a registry that stores below `folder`; give its `host:port`. Skips where it is not installed."""
    if shutil.which(COMMAND) is None:
        pytest.skip("docker-registry: not installed")
    folder.mkdir(parents=True, exist_ok=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    config = folder / "config.yml"
    config.write_text(CONFIG.format(folder=folder / "data", port=port))
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [COMMAND, "serve", str(config)], stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    try:
        until = time.monotonic() + START_LIMIT
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        while True:
            with contextlib.suppress(OSError), opener.open(f"http://127.0.0.1:{port}/v2/", timeout=5):
                break
            assert process.poll() is None, f"docker-registry ended: {log.read_text()}"
            assert time.monotonic() < until, f"docker-registry is not ready: {log.read_text()}"
            time.sleep(0.05)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)
