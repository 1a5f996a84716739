"""DiskStates: parked states that left memory, by number; threads of its own write and read ahead. Decides nothing.

Whatever goes wrong on the disk costs the state and is told with the next step; nothing here raises into a step.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from arriero.core.runner import Prefix, Spill, Stored
from arriero.runners.llama_cpp.bindings import PINNED_VERSION, lib, log
from arriero.runners.llama_cpp.options import LlamaCppOptions
from arriero.runners.llama_cpp.parks import ParkedState, State
from arriero.runners.llama_cpp.plan import Plan
from arriero.runners.llama_cpp.split_states import SplitState
from arriero.runners.llama_cpp.state_file import UnreadableState, header_of, read_state, write_state
from arriero.runners.llama_cpp.state_folder import StateFolder
from arriero.runners.llama_cpp.streams import in_streams, one_stream

PENDING_BYTES = 256 << 20
"""What may wait in memory to be written; a disk that is slower than that loses states, and memory stays bounded."""

NEAR = 2
"""States that may lie in memory because they were read ahead; whoever asked for one comes a step later."""


@dataclass(frozen=True, slots=True)
class _Entry:
    prefix: Prefix
    path: Path


@dataclass(slots=True)
class Happened:
    """What the thread has done since it was last asked, by number."""

    written: dict[int, int] = field(default_factory=dict)  # bytes of the file
    failed: list[int] = field(default_factory=list)
    evicted: list[int] = field(default_factory=list)


class DiskStates:
    """States of one model in a StateFolder. For the runner's thread; all but `get` and `close` return at once."""

    def __init__(self, folder: StateFolder, streams: int = 0) -> None:
        """Take over what lies in `folder`. `streams` > 0: what is kept has one, what is given so many (streams.py)."""
        self._folder = folder
        self._streams = streams
        self._entries: dict[int, _Entry] = {}
        self._numbers: dict[Path, int] = {}
        self._pending: dict[int, State] = {}  # not written yet
        self._pending_bytes = 0
        self._happened = Happened()
        self._lock = threading.Lock()
        self._jobs: queue.SimpleQueue[tuple[int, _Entry] | Path | None] = queue.SimpleQueue()
        self._near: OrderedDict[int, npt.NDArray[np.uint8] | None] = OrderedDict()  # read ahead; None: in vain
        self._fetched: list[int] = []
        self._readers = ThreadPoolExecutor(1, thread_name_prefix="disk reader")
        self._deadline: float | None = None
        self.found: dict[int, Stored] = {}
        for number, (header, size) in enumerate(folder.found(), 1):
            self.found[number] = Stored(header.prefix, size)
            self._enter(number, _Entry(header.prefix, folder.path(header.prefix)))
        self._thread = threading.Thread(target=self._work, name="disk", daemon=True)
        self._thread.start()

    def put(self, spill: Spill, state: State) -> bool:
        """Write `state` soon; False if too much waits already, and more is to come."""
        number, prefix = spill.parked, spill.prefix
        with self._lock:
            if not spill.last and self._pending and self._pending_bytes + state.nbytes > PENDING_BYTES:
                return False
            entry = _Entry(prefix, self._folder.path(prefix))
            self._enter(number, entry)
            self._pending[number] = state
            self._pending_bytes += state.nbytes
        self._jobs.put((number, entry))
        return True

    def fetch(self, number: int) -> None:
        """Read the bytes of `number` soon, for `get`; at most NEAR states are kept so."""
        self._readers.submit(self._fetch, number)

    def _fetch(self, number: int) -> None:
        found: npt.NDArray[np.uint8] | None = None
        try:
            found = self._read(number)
        finally:  # whoever waits for it is told, whatever happened
            self._keep_near(number, found)

    def _keep_near(self, number: int, found: npt.NDArray[np.uint8] | None) -> None:
        with self._lock:
            self._fetched.append(number)
            if number in self._entries:
                self._near[number] = found
                while len(self._near) > NEAR:
                    self._near.popitem(last=False)

    def fetched(self) -> list[int]:
        """Return which states have been read since the last call, of those that were to be."""
        with self._lock:
            told, self._fetched = self._fetched, []
        return told

    def get(self, number: int) -> npt.NDArray[np.uint8] | None:
        """Return the bytes of `number`, from the file if they are written; None if they are not to be had unchanged."""
        with self._lock:
            if number in self._near:
                return self._near.pop(number)
        return self._read(number)

    def _read(self, number: int) -> npt.NDArray[np.uint8] | None:
        with self._lock:
            entry, state = self._entries.get(number), self._pending.get(number)
        if entry is None:
            return None
        try:
            if isinstance(state, ParkedState):
                return state.data if state.intact else None
            found = (
                self._packed(state)
                if state is not None
                else read_state(entry.path, self._folder.identity, entry.prefix)
            )
            return in_streams(found, self._streams) if self._streams and found is not None else found
        except (OSError, UnreadableState, MemoryError):
            return None

    def drop(self, number: int) -> None:
        """Forget `number` and delete its file, if it is known."""
        with self._lock:
            entry = self._entries.pop(number, None)
            if entry is None:
                return
            self._pop_pending(number)
            self._near.pop(number, None)
            if self._numbers.get(entry.path) == number:
                del self._numbers[entry.path]
                self._jobs.put(entry.path)

    def happened(self) -> Happened:
        """Return what was done since the last call."""
        with self._lock:
            told, self._happened = self._happened, Happened()
        return told

    def close(self, seconds: float) -> None:
        """Write what waits, for `seconds` at most, and end the thread."""
        self._deadline = time.monotonic() + seconds
        self._readers.shutdown(wait=False, cancel_futures=True)
        self._jobs.put(None)
        self._thread.join(seconds + 1.0)

    def _enter(self, number: int, entry: _Entry) -> None:
        self._entries[number] = entry
        self._numbers[entry.path] = number

    def _pop_pending(self, number: int) -> None:
        data = self._pending.pop(number, None)
        if data is not None:
            self._pending_bytes -= data.nbytes

    # --- the thread ---

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            if isinstance(job, Path):
                self._delete(job)
            else:
                self._write(*job)

    def _delete(self, path: Path) -> None:
        with self._lock:
            taken = path in self._numbers  # spilled anew meanwhile: the file is, or will be, another's
        if not taken:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)

    def _write(self, number: int, entry: _Entry) -> None:
        with self._lock:
            state = self._pending.get(number)
        if state is None:
            return  # dropped meanwhile
        size: int | None = None
        gone: list[Path] = []
        with contextlib.suppress(OSError, MemoryError):
            kept = self._packed(state)
            room = None
            if kept is not None and self._go_on():
                header = header_of(self._folder.identity, entry.prefix, kept)
                room = self._folder.make_room(kept.nbytes + len(header.tokens) + 4096)
            if kept is not None and room is not None:
                gone = room
                size = write_state(entry.path, header, kept, self._go_on)
        with self._lock:
            self._pop_pending(number)
            for path in gone:
                other = self._numbers.pop(path, None)
                if other is not None and other != number:
                    self._happened.evicted.append(other)
                    self._forget(other)
            if number not in self._entries:
                self._jobs.put(entry.path)  # dropped while it was written
            elif size is not None:
                self._numbers[entry.path] = number
                self._happened.written[number] = size
            else:
                self._numbers.pop(entry.path, None)
                self._forget(number)
                self._happened.failed.append(number)

    def _forget(self, number: int) -> None:
        self._entries.pop(number, None)
        self._near.pop(number, None)

    def _packed(self, state: State) -> npt.NDArray[np.uint8] | None:
        """Return what goes into the file; None if the bytes have changed since they were parked."""
        if isinstance(state, SplitState):
            return state.whole()
        if not isinstance(state, ParkedState) or not state.intact:
            return None
        return one_stream(state.data) if self._streams else state.data

    def _go_on(self) -> bool:
        return self._deadline is None or time.monotonic() < self._deadline


def open_disk(options: LlamaCppOptions, plan: Plan, *, exact: bool, plain: bool) -> DiskStates | None:
    """Return the states of the model on the disk; None where there shall be none, or its folder cannot be had.

    `plain`: the model has one cache for all layers.
    """
    if not (options.spill_folder and options.digest and options.spill_bytes):
        return None
    streams = 1 if plan.unified else plan.max_sequences
    try:
        own = identity(options, plan, exact, 0 if plain else streams)
        folder = StateFolder(Path(options.spill_folder), options.digest, own, options.spill_bytes)
    except OSError as error:
        log.warning("no prefix is kept on the disk: %s", error)
        return None
    return DiskStates(folder, streams if plain else 0)


def identity(options: LlamaCppOptions, plan: Plan, exact: bool, streams: int) -> str:
    """Return what besides the weights makes a state unreadable, or different: it is good under the same text only.

    The context's size does not count: a state is of one sequence. `streams` are written into it, where they cannot be
    taken out (not 0). Without flash attention V is kept transposed. An exact mode's states must be of the same bits,
    which depend on the machine and the kernels.
    """
    parts = [
        f"llama.cpp {PINNED_VERSION}",
        f"kv {plan.kv_cache_type}",
        f"flash {plan.flash_attn}",
        f"streams {streams}",
    ]
    for adapter in options.adapters:
        said = Path(adapter).stat()
        parts.append(f"adapter {Path(adapter).name} {said.st_size} {said.st_mtime_ns}")
    if exact:
        parts.append(f"exact {options.repack} {options.num_gpu} {lib.llama_print_system_info()!r}")
    return "; ".join(parts)
