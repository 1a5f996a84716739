"""Starts real servers on real ports for the tests here, and ends them; reads their metrics."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import psutil

START_LIMIT = 60.0  # seconds, generous: machines that test are busy


def free_port() -> int:
    """A port of the loopback interface that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def clean_environment(home: Path, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment without what would change a server, and with a home of its own.

    No spare worker: most tests look at the only process below a server. Those about it ask for one.
    """
    skipped = ("OLLAMA_", "ARRIERO_", "XDG_")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(skipped) and not k.lower().endswith("_proxy")}
    own = {"HOME": str(home), "ARRIERO_HOME": str(home / "arriero"), "ARRIERO_SPARE_WORKER": "0"}
    return {**kept, **own, **(extra or {})}


class Server:
    """A running `arriero serve`."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self.process, self.port, self.log = process, port, log
        self.url = f"http://127.0.0.1:{port}"

    def get(self, path: str) -> bytes:
        """GET `path`."""
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(self.url + path, timeout=30) as reply:
            return bytes(reply.read())

    def post(self, path: str, body: object) -> bytes:
        """POST `body` as JSON and read the whole answer; urllib's HTTPError for a status that is not 2xx."""
        request = urllib.request.Request(self.url + path, json.dumps(body).encode())
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=110) as reply:
            return bytes(reply.read())

    def load(self, model: str = "demo", **options: object) -> None:
        """Load `model` for good, on one thread unless `options` say otherwise.

        On a machine that runs other things too, two threads of a small model wait for each other most of the time:
        28 to 54 ms a token were measured under load, against 2 ms with one thread.
        """
        self.post("/api/generate", {"model": model, "options": {"num_thread": 1, **options}, "keep_alive": -1})

    def workers(self) -> list[psutil.Process]:
        """Its worker processes that are alive."""
        found = psutil.Process(self.process.pid).children(recursive=True)
        return [one for one in found if one.status() != psutil.STATUS_ZOMBIE]

    def metrics(self) -> dict[str, float]:
        """All samples of /metrics by name; those that differ in labels only are added up."""
        found: dict[str, float] = {}
        for line in self.get("/metrics").decode().splitlines():
            match = re.match(r"([a-zA-Z_:][\w:]*)(?:\{.*\})? (\S+)$", line)
            if match:
                found[match.group(1)] = found.get(match.group(1), 0.0) + float(match.group(2))
        return found

    def wait_for(self, name: str, condition: str, value: float, limit: float = 30.0) -> dict[str, float]:
        """Poll /metrics until `name` is == or >= `value`; AssertionError with the last reading after `limit`."""
        until = time.monotonic() + limit
        while True:
            metrics = self.metrics()
            now = metrics.get(name, 0.0)
            if (condition == "==" and now == value) or (condition == ">=" and now >= value):
                return metrics
            assert time.monotonic() < until, f"{name} is {now}, not {condition} {value}"
            time.sleep(0.02)

    def wait_until_ready(self) -> None:
        """Wait until it answers; AssertionError with its log where it ends, or is not ready in START_LIMIT seconds."""
        until = time.monotonic() + START_LIMIT
        while True:
            with contextlib.suppress(OSError):
                self.get("/ready")
                return
            assert self.process.poll() is None, f"the server ended: {self.log.read_text()}"
            assert time.monotonic() < until, f"the server is not ready: {self.log.read_text()}"
            time.sleep(0.05)

    def stop(self) -> int:
        """Ask the server to end; its exit status."""
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(20)


@contextlib.contextmanager
def serve(
    home: Path, *arguments: str, environment: Mapping[str, str] | None = None, command: Sequence[str] = ()
) -> Iterator[Server]:
    """Start a server, wait until it is ready, and end it at the end."""
    port = free_port()
    home.mkdir(parents=True, exist_ok=True)
    log = home / f"serve-{port}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                *(command or (sys.executable, "-m", "arriero")),
                "serve",
                "--host",
                "127.0.0.1",
                "--port",
                str(port),
                *arguments,
            ],
            env=clean_environment(home, environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    server = Server(process, port, log)
    try:
        server.wait_until_ready()
        yield server
    finally:
        server.stop()
