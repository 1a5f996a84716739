"""Prefixes on the disk: found again after eviction and restart, by logits; whatever is wrong there costs only speed."""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from arriero.core.request import SamplingParams
from arriero.engine.engine import Engine
from arriero.engine.events import Ended, EngineEvent, Started, TokenEvent
from arriero.engine.options import EngineOptions
from arriero.engine.sequence import SequenceSpec
from arriero.runners.llama_cpp import disk as disk_module
from arriero.runners.llama_cpp.runner import LlamaCppRunner
from arriero.runners.llama_cpp.slot_states import SlotStates
from arriero.runners.llama_cpp.state_file import read_state
from arriero.runners.llama_cpp.state_folder import StateFolder
from arriero.runners.sampler import NumpySampler
from tests.unit.runners.llama_cpp.conftest import MakeRunner
from tests.unit.runners.llama_cpp.driving import prompt
from tests.unit.runners.llama_cpp.test_prefix_survives import MODES, SHAPES, Asked, Asker, exact, expect_same, shares
from tests.unit.runners.llama_cpp.tiny_gguf import write_gguf

DIGEST = "ab" * 32
FIRST = prompt(1, 100)


class Disk:
    """A folder, and runners of one model that keep prefixes there, one after another."""

    def __init__(self, make: MakeRunner, folder: Path) -> None:
        self._make = make
        self.folder = folder
        self.options: dict[str, Any] = {"layout": "unified"}

    def asker(self, **options: Any) -> Asker:
        """A fresh process, so to speak."""
        given = {"spill_folder": str(self.folder), "digest": DIGEST, **self.options, **options}
        return Asker(Engine(self._make(**given)))

    def end(self, asker: Asker) -> None:
        """What a worker does at its end."""
        engine = asker.engine
        engine.spill_all()
        while engine.has_work:
            engine.step(0.0)
        disk = runner_of(asker).states.disk
        assert disk is not None
        disk.close(60.0)

    def files(self) -> list[Path]:
        """The states that are there."""
        return sorted(self.folder.rglob("*.kv"))


def runner_of(asker: Asker) -> LlamaCppRunner:
    """The runner behind an engine."""
    runner = asker.engine._runner
    assert isinstance(runner, LlamaCppRunner)
    return runner


def written(asker: Asker) -> None:
    """Wait until all is written that was told to be."""
    disk = runner_of(asker).states.disk
    assert disk is not None
    disk._jobs.put(None)
    disk._thread.join(60.0)
    disk._thread = threading.Thread(target=disk._work, daemon=True)
    disk._thread.start()


@pytest.fixture
def disk(make_runner: MakeRunner, tmp_path: Path) -> Disk:
    """An empty place."""
    return Disk(make_runner, tmp_path / "cache" / "prefixes")


@pytest.fixture
def fresh(make_runner: MakeRunner) -> Callable[[list[int]], Asked]:
    """What an engine without a cache says."""
    alone = Asker(Engine(make_runner(layout="unified"), EngineOptions(prefix_cache=False)))
    return lambda tokens: alone(tokens)[0]


def begin(disk: Disk) -> None:
    """A first process has answered FIRST and ended."""
    first = disk.asker()
    first(FIRST)
    disk.end(first)
    assert len(disk.files()) == 1


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", SHAPES)
def test_a_restart_goes_on_where_it_was(kind: str, mode: str, make_runner: MakeRunner, tmp_path: Path) -> None:
    path = write_gguf(tmp_path / f"{kind}.gguf", SHAPES[kind])
    alone = Asker(Engine(make_runner(path, **MODES[mode]), EngineOptions(prefix_cache=False)))
    disk = Disk(make_runner, tmp_path / "prefixes")
    disk.options = {"path": path, **MODES[mode]}
    first = disk.asker()
    (asked,) = first(FIRST)
    if shares(first) == "none":
        assert runner_of(first).states.disk is None
        return
    disk.end(first)
    drawn = [int(logits.argmax()) for logits in asked.recorder.seen]
    history = [*FIRST, *drawn, *prompt(5, 9)]
    moved = kind == "plain" and mode == "unified"  # a state of one cache does not depend on the layout
    again = disk.asker(layout="streams", max_sequences=3) if moved else disk.asker()
    assert again.engine.stats().spilled_states == (1 if kind == "plain" else 2)  # the prompt's end, and the answer's
    (asked,) = again(history)
    assert asked.cached >= 96
    expect_same(asked, alone(history)[0], exact(first))
    assert again.engine.stats().spill_restores == 1


def test_what_is_evicted_from_memory_is_found_again(disk: Disk, fresh: Callable[[list[int]], Asked]) -> None:
    ask = disk.asker(parked_bytes=60_000)  # two of these states
    for number in range(5):
        ask(prompt(number, 100))
    written(ask)
    for number in range(5):
        tokens = [*prompt(number, 100), 7, 8]
        (asked,) = ask(tokens)
        assert asked.cached in (100, 101)
        expect_same(asked, fresh(tokens), False)
    stats = ask.engine.stats()
    assert stats.spill_restores >= 3
    assert (stats.failed_restores, stats.failed_spills) == (0, 0)
    assert stats.parked_bytes <= 60_000


def test_streams_go_on_while_a_prefix_is_read(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    first = disk.asker()
    first(FIRST)
    disk.end(first)
    engine = disk.asker().engine
    may, readers = threading.Event(), []

    def read(*arguments: Any) -> Any:
        readers.append(threading.current_thread().name)
        assert may.wait(60.0)
        return read_state(*arguments)

    monkeypatch.setattr(disk_module, "read_state", read)
    told: list[EngineEvent] = []

    def step(times: int) -> None:
        for _ in range(times):
            told.extend(engine.step(0.0))
            engine.check()

    sampler = NumpySampler(SamplingParams(temperature=0.0), eog_ids=frozenset())
    engine.add(SequenceSpec(1, prompt(7, 20), sampler, max_tokens=150, draft_tokens=0))
    step(2)
    engine.add(SequenceSpec(2, FIRST, sampler, max_tokens=2))
    step(10)
    assert [one.id for one in told if isinstance(one, TokenEvent)] == [1] * 12  # a token a step, and 2 waits
    may.set()
    while not any(isinstance(one, Ended) and one.id == 2 for one in told):
        step(1)
    assert [one.cached_tokens for one in told if isinstance(one, Started) and one.id == 2] == [99]
    assert any(isinstance(one, Ended) and one.id == 1 for one in told) is False
    assert len(readers) == 1
    assert readers[0].startswith("disk reader")
    engine.abort(1)
    engine.add(SequenceSpec(3, FIRST, sampler, max_tokens=1))
    while engine.has_work:
        step(1)
    assert engine.stats().failed_spill_restores == 0


def test_whoever_waits_for_a_read_is_told_whatever_becomes_of_it(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    begin(disk)
    states = runner_of(disk.asker()).states.disk
    assert states is not None

    def break_off(number: int) -> None:
        raise RuntimeError("nobody thought of that")

    monkeypatch.setattr(states, "_read", break_off)
    states.fetch(1)
    states._readers.shutdown()
    assert states.fetched() == [1]
    assert states.get(1) is None


def test_files_are_their_owners_alone(disk: Disk) -> None:
    old = os.umask(0)
    try:
        begin(disk)
    finally:
        os.umask(old)
    (file,) = disk.files()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    for folder in (disk.folder, file.parent, file.parent.parent):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert file.parent.parent.name == DIGEST


def change_data(file: Path) -> None:
    raw = bytearray(file.read_bytes())
    raw[-100] ^= 1
    file.write_bytes(raw)


def change_header(file: Path) -> None:
    raw = bytearray(file.read_bytes())
    raw[40] ^= 1
    file.write_bytes(raw)


def cut_off(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def empty(file: Path) -> None:
    os.truncate(file, 0)


def lose(file: Path) -> None:
    file.unlink()


def swap_for_a_link(file: Path) -> None:
    other = file.with_name("elsewhere")
    file.rename(other)
    file.symlink_to(other)


def swap_for_a_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def swap_for_anothers(file: Path) -> None:
    """A whole state, of other tokens."""
    other = file.with_name("0" * 32 + ".kv")
    file.rename(other)
    other.rename(file.with_name("1" * 32 + ".kv"))


HARM = [change_data, change_header, cut_off, empty, lose, swap_for_a_link, swap_for_a_folder, swap_for_anothers]


@pytest.mark.parametrize("harm", HARM)
@pytest.mark.parametrize("when", ["before the start", "after it"])
def test_harm_costs_only_speed(
    harm: Callable[[Path], None], when: str, disk: Disk, fresh: Callable[[list[int]], Asked]
) -> None:
    begin(disk)
    (file,) = disk.files()
    if when == "before the start":
        harm(file)
    ask = disk.asker()
    if when == "after it":
        assert ask.engine.stats().spilled_states == 1
        harm(file)
    tokens = [*FIRST, 7]
    (asked,) = ask(tokens)
    assert asked.cached == 0
    expect_same(asked, fresh(tokens), False)
    (asked,) = ask([*tokens, 9])  # parked anew
    assert asked.cached == 101
    disk.end(ask)


def test_other_files_are_left_alone(disk: Disk) -> None:
    begin(disk)
    (file,) = disk.files()
    strangers = [file.with_name(name) for name in ("notes.txt", "core", ".kv.tmp")] + [disk.folder / "a.kv"]
    for stranger in strangers:
        stranger.write_text("mine")
    ask = disk.asker(spill_bytes=1)
    ask(prompt(2, 100))
    disk.end(ask)
    assert all(stranger.read_text() == "mine" for stranger in strangers)


@pytest.mark.parametrize(
    "options",
    [
        {"kv_cache_type": "bf16"},
        {"flash_attn": "off"},
        {"deterministic": True, "layout": "streams"},
        {"digest": "cd" * 32},
    ],
    ids=["kv type", "flash attention", "deterministic", "weights"],
)
def test_what_another_setting_left_is_not_read(options: dict[str, Any], disk: Disk) -> None:
    begin(disk)
    ask = disk.asker(**options)
    assert ask.engine.stats().spilled_states == 0
    assert ask([*FIRST, 7])[0].cached == 0
    assert len(disk.files()) == 1


def test_a_full_disk_costs_only_speed(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "no space left on device")

    ask = disk.asker(parked_bytes=60_000)
    with monkeypatch.context() as patch:
        patch.setattr("arriero.runners.llama_cpp.state_file.os.write", full)
        for number in range(5):
            ask(prompt(number, 100))
        written(ask)
        ask(prompt(9, 20))
        written(ask)
        assert [path for path in disk.folder.rglob("*") if path.is_file()] == []
    ask(prompt(10, 20))
    stats = ask.engine.stats()
    assert stats.failed_spills >= 3
    assert stats.spilled_states == stats.spills - stats.failed_spills
    assert ask([*prompt(0, 100), 7])[0].cached == 0
    assert ask([*prompt(0, 100), 7])[0].cached == 100


def test_a_place_that_cannot_be_had_is_none(make_runner: MakeRunner, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    ask = Asker(Engine(make_runner(spill_folder=str(tmp_path / "file"), digest=DIGEST)))
    assert runner_of(ask).states.disk is None
    ask(FIRST)
    assert ask([*FIRST, 7])[0].cached == 100


def test_the_bytes_are_bounded_and_the_least_used_go(disk: Disk) -> None:
    begin(disk)
    size = disk.files()[0].stat().st_size
    os.utime(disk.files()[0], (1, 1))
    ask = disk.asker(parked_bytes=30_000, spill_bytes=3 * size + 6000)
    for number in range(2, 8):
        ask(prompt(number, 100))
        written(ask)
        assert sum(file.stat().st_size for file in disk.files()) <= 3 * size + 6000
    for seed in (9, 10):  # what is written is told with the next step
        ask(prompt(seed, 20))
        written(ask)
    stats = ask.engine.stats()
    assert len(disk.files()) == stats.spilled_states == 3
    assert stats.spill_evictions >= 3
    assert stats.spilled_bytes == sum(file.stat().st_size for file in disk.files())


def test_all_files_take_a_tenth_of_what_is_free(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    begin(disk)
    (file,) = disk.files()
    size = file.stat().st_size
    folder = StateFolder(disk.folder, DIGEST, "another", 1 << 40)

    class Space:
        f_frsize = 1
        f_bavail = 10 * 5 * size

    monkeypatch.setattr("arriero.runners.llama_cpp.state_folder.os.statvfs", lambda _: Space)
    assert folder.make_room(4 * size) == []
    assert folder.make_room(5 * size) == [file]
    assert folder.make_room(6 * size) is None


def test_too_much_to_write_is_given_up(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk_module, "PENDING_BYTES", 1)
    monkeypatch.setattr(disk_module.DiskStates, "_write", lambda *_: None)  # a very slow disk
    ask = disk.asker(parked_bytes=60_000)
    for number in range(5):
        ask(prompt(number, 100))
    states = runner_of(ask).states
    assert isinstance(states, SlotStates)
    assert states.disk is not None
    assert len(states.disk._pending) == 1
    assert ask.engine.stats().failed_spills >= 2
    assert ask([*prompt(0, 100), 7])[0].cached == 100  # from what waits to be written
