"""The state machine of one worker process: spawned, starting, ready, stopping, dead. Speaks frames, knows no request.

spawn ──> STARTING ──Ready──> READY ──stop()──> STOPPING ──exit──> DEAD
             └────────────────── exit (crash, kill, failed load) ────┘
A spare one is READY when it has imported everything, and STARTING again when it is given a model.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import logging
import os
import signal
import socket
import sys
from collections import deque
from collections.abc import Callable, Mapping

from arriero.core.messages import HEADER_SIZE, Report, Shutdown, decode_reports, encode_frame, frame_length

log = logging.getLogger(__name__)
STDERR_LINES = 40
STOP_GRACE = 3.0  # seconds between asking and killing

# A waiting OpenMP thread spins this often before it sleeps: more starves the server of its core, less costs small
# models a third of their speed (figures in docs/architecture.md).
# glibc raises its bound for blocks that are mapped by themselves when such a block is freed, up to 32 MiB. From then on
# llama.cpp's buffers, made anew at each change of adapters, come from heaps, which they tear apart. A bound that is set
# stays.
WORKER_ENVIRONMENT = {
    "GOMP_SPINCOUNT": "10000",
    "PYTHONUNBUFFERED": "1",
    "MALLOC_MMAP_THRESHOLD_": str(4 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(8 << 20),
}


class ChildState(enum.Enum):
    """Where a worker process is in its life."""

    STARTING = "starting"
    READY = "ready"
    STOPPING = "stopping"
    DEAD = "dead"


def exit_reason(code: int | None) -> str:
    """Say in words how a process ended; negative codes are signals."""
    if code is None:
        return "its connection closed"
    if code == -signal.SIGILL:
        return (
            "it met an instruction that this CPU does not have (SIGILL): llama.cpp was built for another CPU; "
            "run `make rebuild`, or reinstall llama-cpp-python from source on this machine"
        )
    if code == -signal.SIGKILL:
        return "it was killed (SIGKILL; perhaps by the system, out of memory)"
    if code < 0:
        with contextlib.suppress(ValueError):
            return f"it ended by {signal.Signals(-code).name}"
    return f"it ended with status {code}"


def surroundings(environment: Mapping[str, str]) -> tuple[object, ...]:
    """What a worker that is started now with these variables takes over from here, and may read when it imports."""
    cores = frozenset(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    return sys.executable, {**os.environ, **WORKER_ENVIRONMENT, **environment}, cores


class Child:
    """One worker process and its socket. `on_reports` gets every frame's messages, `on_exit` the reason, once."""

    def __init__(self, on_reports: Callable[[list[Report]], None], on_exit: Callable[[str], None]) -> None:
        self.state = ChildState.STARTING
        self.has_spoken = False  # it has said something to whoever has it now
        self._on_reports, self._on_exit = on_reports, on_exit
        self._process: asyncio.subprocess.Process | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._stderr: deque[str] = deque(maxlen=STDERR_LINES)
        self._ended = asyncio.Event()

    @property
    def pid(self) -> int | None:
        """The process id, None before spawn()."""
        return self._process.pid if self._process else None

    async def spawn(self, environment: Mapping[str, str]) -> None:
        """Start the process. A socket pair needs no path, so no path can be too long for one."""
        ours, theirs = socket.socketpair()
        try:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "arriero.worker",
                str(theirs.fileno()),
                pass_fds=(theirs.fileno(),),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                env={**os.environ, **WORKER_ENVIRONMENT, **environment},
                start_new_session=True,  # a terminal's Ctrl-C goes to the server, which ends its workers in order
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        ours.setblocking(False)
        reader, self._writer = await asyncio.open_connection(sock=ours, limit=1 << 20)
        self._tasks = [
            asyncio.create_task(self._read_reports(reader)),
            asyncio.create_task(self._read_stderr()),
        ]

    def hand_over(self, on_reports: Callable[[list[Report]], None], on_exit: Callable[[str], None]) -> None:
        """READY → STARTING: somebody else has the process from now on, and hears what it says."""
        self.state = ChildState.STARTING
        self._on_reports, self._on_exit, self.has_spoken = on_reports, on_exit, False

    def send(self, *commands: object) -> None:
        """Send commands in one frame; nothing happens if the process is gone."""
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(encode_frame(list(commands)))

    def mark_ready(self) -> None:
        """STARTING → READY."""
        if self.state is ChildState.STARTING:
            self.state = ChildState.READY

    async def stop(self) -> None:
        """Ask the process to end, then make it; returns when it is gone."""
        if not self._tasks:  # it was never spoken to: spawning failed, or was given up
            self._kill()
            self.state = ChildState.DEAD
        if self.state is not ChildState.DEAD:
            self.state = ChildState.STOPPING
            self.send(Shutdown())
            try:
                await asyncio.wait_for(self._ended.wait(), STOP_GRACE)
            except TimeoutError:
                self._kill()
                await self._ended.wait()

    def last_words(self) -> str:
        """The last lines the process wrote to stderr."""
        return "\n".join(self._stderr)

    def _kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    async def _read_reports(self, reader: asyncio.StreamReader) -> None:
        try:
            while True:
                header = await reader.readexactly(HEADER_SIZE)
                body = await reader.readexactly(frame_length(header))
                self.has_spoken = True
                self._on_reports(decode_reports(body))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        except Exception:
            log.exception("worker %s sent something unreadable; ending it", self.pid)
        finally:
            await asyncio.shield(self._reap())

    async def _reap(self) -> None:
        """The socket is closed: the process is ending, or must."""
        assert self._process is not None
        try:
            code: int | None = await asyncio.wait_for(self._process.wait(), STOP_GRACE)
        except TimeoutError:
            self._kill()
            code = await self._process.wait()
        await asyncio.sleep(0)  # let the stderr reader have the last lines
        if self._writer is not None:
            self._writer.close()
        stopping = self.state is ChildState.STOPPING
        self.state = ChildState.DEAD
        self._ended.set()
        reason = exit_reason(code)
        if not stopping and code != 0:
            log.error("worker %s is gone: %s\n%s", self.pid, reason, self.last_words())
        self._on_exit(reason)

    async def _read_stderr(self) -> None:
        assert self._process is not None
        assert self._process.stderr is not None
        with contextlib.suppress(ConnectionError):
            while True:
                try:
                    line = await self._process.stderr.readline()
                except ValueError:
                    continue  # longer than a line may be: left out; a pipe that nobody reads would stop the worker
                if not line:
                    return
                text = line.decode("utf-8", "replace").rstrip()
                self._stderr.append(text)
                log.debug("worker %s: %s", self.pid, text)
