"""Starts the two servers of a race, each with given settings, and ends them."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import msgspec
import psutil

from arriero.client.bench.local import tree_bytes
from arriero.client.bench.target import Target

PATIENCE_S = 120.0
POLL_S = 0.004
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Started:
    """A server process on a loopback port, from `start` to `end`."""

    name = ""
    ready = ""

    def __init__(self, log: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = log
        self._output: IO[bytes] | None = None
        self.process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        """What to run."""
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        """With which variables: none of those that would set a server up."""
        ours = ("OLLAMA_", "ARRIERO_", "LLAMA_", "GGML_", "OMP_")
        return {name: value for name, value in os.environ.items() if not name.startswith(ours)}

    async def start(self) -> None:
        """Start it and wait until it is ready; RuntimeError with the end of its log if it never is."""
        self.process = self._spawn()
        until = time.monotonic() + PATIENCE_S
        while True:
            try:
                with _DIRECT.open(f"{self.url}{self.ready}", timeout=5):
                    if not self._listens():
                        raise OSError("somebody else answers there")
                    return
            except (urllib.error.URLError, OSError):
                if self.process.poll() is not None or time.monotonic() > until:
                    tail = self._log.read_text(errors="replace").strip().splitlines()[-3:]
                    await self.end()
                    raise RuntimeError(f"{self.name} did not start: {' / '.join(tail)}") from None
            await asyncio.sleep(POLL_S)

    def _listens(self) -> bool:
        """Whether it is this server that answers at its port."""
        assert self.process is not None
        taken = psutil.Process(self.process.pid).net_connections("tcp")
        return any(one.status == psutil.CONN_LISTEN and one.laddr.port == self.port for one in taken)

    def _spawn(self) -> subprocess.Popen[bytes]:
        if self._output is None:
            self._output = self._log.open("wb")
        command, own = self.command(), self.environment()
        return subprocess.Popen(command, env=own, stdin=subprocess.DEVNULL, stdout=self._output, stderr=self._output)

    async def end(self) -> None:
        """End it and wait for that."""
        if self.process is not None:
            self.process.terminate()
            try:
                await asyncio.to_thread(self.process.wait, 20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.end()
        if self._output is not None:
            self._output.close()
            self._output = None

    def post(self, path: str, body: object) -> bytes:
        """POST as JSON and read all of the answer. Blocks."""
        request = urllib.request.Request(self.url + path, msgspec.json.encode(body))
        request.add_header("Content-Type", "application/json")
        with _DIRECT.open(request, timeout=PATIENCE_S) as reply:
            return bytes(reply.read())

    def get(self, path: str) -> bytes:
        """GET. Blocks."""
        with _DIRECT.open(self.url + path, timeout=PATIENCE_S) as reply:
            return bytes(reply.read())

    def memory(self) -> int:
        """PSS in bytes of the process and all below it."""
        assert self.process is not None
        return tree_bytes(self.process.pid)

    def target(self, kind: str, version: str, model: str) -> Target:
        """What a benchmark asks."""
        return Target(name=self.name, url=self.url, model=model, kind=kind, version=version)


class Arriero(Started):
    """`arriero serve` with one model, on `threads` threads, for `slots` sequences of `context` tokens."""

    name = "arriero"
    ready = "/ready"
    model = "race"

    def __init__(
        self,
        home: Path,
        model: Path,
        *,
        threads: int,
        slots: int,
        context: int,
        extra: dict[str, str] | None = None,
        options: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(home / "arriero.log")
        self._home, self._file = home, model
        self._slots, self._context = slots, context
        self._extra = extra or {}
        self.options = {"num_thread": threads, **(options or {})}
        """With which the model is loaded."""

    def command(self) -> list[str]:
        """See Started."""
        where = ["--host", "127.0.0.1", "--port", str(self.port)]
        return [sys.executable, "-m", "arriero", "serve", *where, "--model", f"{self.model}={self._file}"]

    def environment(self) -> dict[str, str]:
        """See Started."""
        places = {
            "HOME": str(self._home),
            "ARRIERO_HOME": str(self._home / "arriero"),
            "OLLAMA_MODELS": str(self._home / "models"),
        }
        return {**super().environment(), **places, **self.settings()}

    def settings(self) -> dict[str, str]:
        """What a user would set for this work."""
        return {
            "OLLAMA_NUM_PARALLEL": str(self._slots),
            "OLLAMA_CONTEXT_LENGTH": str(self._context),
            "OLLAMA_KEEP_ALIVE": "-1",
            **self._extra,
        }

    async def load(self) -> None:
        """Load the model, as the first request would."""
        body = {"model": self.model, "options": self.options, "keep_alive": -1}
        await asyncio.to_thread(self.post, "/api/generate", body)

    async def unload(self) -> None:
        """Unload the model and wait until it is gone."""
        await asyncio.to_thread(self.post, "/api/generate", {"model": self.model, "keep_alive": 0})
        until = time.monotonic() + PATIENCE_S
        while msgspec.json.decode(await asyncio.to_thread(self.get, "/api/ps"))["models"]:
            if time.monotonic() > until:
                raise RuntimeError("arriero did not unload the model")
            await asyncio.sleep(0.02)


class LlamaServer(Started):
    """llama-server with one model and `flags`."""

    name = "llama-server"
    ready = "/health"

    def __init__(self, binary: Path, home: Path, model: Path, *, threads: int, flags: Sequence[str]) -> None:
        super().__init__(home / "llama-server.log")
        self._binary, self._file = binary, model
        self._threads, self._flags = threads, tuple(flags)

    def command(self) -> list[str]:
        """See Started."""
        where = ["--host", "127.0.0.1", "--port", str(self.port), "--no-webui"]
        return [str(self._binary), "-m", str(self._file), *where, *self.settings()]

    def settings(self) -> list[str]:
        """Threads and flags."""
        threads = [] if "-t" in self._flags else ["-t", str(self._threads), "-tb", str(self._threads)]
        return [*threads, *self._flags]


_given: set[int] = set()


def free_port() -> int:
    """A loopback port that nobody listens on, and that was given to nobody before: who asked for it may be late."""
    while True:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            port: int = listener.getsockname()[1]
        if port not in _given:
            _given.add(port)
            return port


def scratch() -> tempfile.TemporaryDirectory[str]:
    """A home for servers that is gone behind them."""
    return tempfile.TemporaryDirectory(prefix="arriero-race-")
