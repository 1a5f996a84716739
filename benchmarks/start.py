"""How soon does a server answer, and what does it weigh? Starts `arriero serve` again and again, with no model loaded.

    python -m benchmarks.start

From the start of the process to the first 200 of `/live`, and the resident memory then. Ends with one JSON line.
"""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import psutil

from arriero.observe.machine import machine_card
from benchmarks.output import tell

_PAUSE_SECONDS = 0.003
_PATIENCE_SECONDS = 60.0


def main() -> int:
    """Measure, print, end with JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--output", type=Path, help="also write the JSON to this file")
    options = parser.parse_args()
    card = machine_card()
    with tempfile.TemporaryDirectory() as home:
        runs = [started(Path(home)) for _ in range(options.rounds)]
    seconds = [run["seconds"] for run in runs]
    weight = int(statistics.median(run["rss_bytes"] for run in runs))
    result = {
        "median_s": round(statistics.median(seconds), 3),
        "worst_s": round(max(seconds), 3),
        "rss_bytes": weight,
        "machine": card,
        "samples": runs,
    }
    print(f"answers after {result['median_s']} s (worst {result['worst_s']} s), {weight >> 20} MiB")
    tell(result, options.output)
    return 0


def started(home: Path) -> dict[str, float]:
    """Start one server, wait for its first answer, end it. Seconds and bytes; TimeoutError if it never answers."""
    port = free_port()
    command = [sys.executable, "-m", "arriero", "serve", "--host", "127.0.0.1", "--port", str(port)]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OLLAMA_", "ARRIERO_"))}
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    began = time.monotonic()
    server = subprocess.Popen(
        command,
        env={**kept, "HOME": str(home), "ARRIERO_HOME": str(home / "arriero")},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while True:
            try:
                with opener.open(f"http://127.0.0.1:{port}/live", timeout=5):
                    break
            except (urllib.error.URLError, OSError):
                if time.monotonic() - began > _PATIENCE_SECONDS or server.poll() is not None:
                    raise TimeoutError("the server did not answer") from None
                time.sleep(_PAUSE_SECONDS)
        return {"seconds": time.monotonic() - began, "rss_bytes": psutil.Process(server.pid).memory_info().rss}
    finally:
        server.terminate()
        server.wait()


def free_port() -> int:
    """A loopback port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


if __name__ == "__main__":
    sys.exit(main())
