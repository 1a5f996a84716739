"""Weights of a mapped file are replaced where they lie, and say the same as before; where that may hurt, they stay."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import numpy.typing as npt
import psutil
import pytest

from arriero.core import allowance
from arriero.runners.llama_cpp import huge_pages, mapped_weights
from arriero.runners.llama_cpp.mapped_weights import MappedWeights
from tests.unit.runners.llama_cpp.conftest import MakeRunner
from tests.unit.runners.llama_cpp.driving import Stream, free, prompt, run

only_linux = pytest.mark.skipif(
    sys.platform != "linux",
    reason="mapped weights: elsewhere no file says where they lie, and arriero leaves them there",
)
PAGE = 4096


@pytest.fixture(autouse=True)
def _room(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with room, whose huge pages are as small as these models."""
    monkeypatch.setattr(huge_pages, "HUGE", PAGE)
    monkeypatch.setattr(mapped_weights, "may_move", lambda: True)
    _free(monkeypatch, 0.9)


def _free(monkeypatch: pytest.MonkeyPatch, share: float) -> None:
    memory = SimpleNamespace(total=1 << 34, available=int((1 << 34) * share))
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)


def _bytes_of(path: Path) -> int:
    """Whole pages in which the model's file is mapped now."""
    return sum(end - start for start, end, _, _ in mapped_weights._mappings(path))


@only_linux
def test_moved_weights_give_the_same_logits(make_runner: MakeRunner, q8_path: Path) -> None:
    runner = make_runner(q8_path, repack=False)
    weights = runner.model.mapped_weights
    assert weights is not None
    mapped = _bytes_of(q8_path)
    assert mapped > 64 * PAGE
    texts = [prompt(seed, 40) for seed in range(3)]

    def answers() -> list[npt.NDArray[np.float32]]:
        streams = [Stream(slot, list(text)) for slot, text in enumerate(texts)]
        for _ in range(6):
            run(runner, streams)
        free(runner, *range(3))
        return [logits for stream in streams for logits in stream.recorder.seen]

    before = answers()
    for _ in range(7):  # some, and then all: those that lie between are computed with, too
        assert runner.tidy()
    assert weights.bytes == 7 * PAGE == mapped - _bytes_of(q8_path)
    np.testing.assert_array_equal(answers(), before)
    while runner.tidy():
        pass
    assert weights.bytes == mapped
    assert _bytes_of(q8_path) == 0
    assert not runner.tidy()
    np.testing.assert_array_equal(answers(), before)


@only_linux
def test_they_stay_where_memory_is_short(
    make_runner: MakeRunner, q8_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = make_runner(q8_path, repack=False)
    weights = runner.model.mapped_weights
    assert weights is not None
    _free(monkeypatch, 0.49)
    assert not runner.tidy()
    assert weights.bytes == 0
    _free(monkeypatch, 0.51)  # somebody else ended
    assert runner.tidy()
    assert weights.bytes == PAGE


@only_linux
def test_who_asks_for_the_files_pages_keeps_them(make_runner: MakeRunner, q8_path: Path) -> None:
    runner = make_runner(q8_path, repack=False, use_mmap=True)
    before = _bytes_of(q8_path)
    assert before
    assert not runner.tidy()
    assert _bytes_of(q8_path) == before


@only_linux
@pytest.mark.parametrize("restored", [True, False])
def test_a_piece_that_cannot_be_replaced_is_mapped_again(
    restored: bool, make_runner: MakeRunner, q8_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = make_runner(q8_path, repack=False)
    weights = runner.model.mapped_weights
    assert weights is not None
    before = _bytes_of(q8_path)
    own = mapped_weights._map

    def refuse(address: int, size: int, rights: int, kind: int, file: int = -1, offset: int = 0) -> bool:
        return restored and file >= 0 and own(address, size, rights, kind, file, offset)

    monkeypatch.setattr(mapped_weights, "_map", refuse)
    if restored:
        assert not runner.tidy()
        assert not runner.tidy()
        assert weights.bytes == 0
        assert _bytes_of(q8_path) == before
        run(runner, [Stream(0, prompt(1, 20))])
    else:
        with pytest.raises(OSError, match="neither be moved nor mapped"):
            runner.tidy()


def test_all_parts_of_a_split_file_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = tmp_path / "m-00001-of-00002.gguf"
    lines = [
        f"1000-3000 r--s 00000000 fe:00 1 {first}",
        f"5000-6000 r--s 00002000 fe:00 2 {tmp_path}/m-00002-of-00002.gguf",
        f"7000-8000 r--s 00000000 fe:00 3 {tmp_path}/other.gguf",
        f"9000-a000 rw-p 00000000 fe:00 1 {first}",
        f"b000-c000 r--s 00000000 fe:00 4 {tmp_path}/deeper/m-00001-of-00002.gguf",
        "d000-e000 rw-p 00000000 00:00 0",
    ]
    maps = tmp_path / "maps"
    maps.write_text("\n".join(lines))
    monkeypatch.setattr(mapped_weights, "_MAPS", maps)
    found = MappedWeights(first)._find()
    assert [(address, offset) for address, offset, _ in found] == [(0x1000, 0), (0x2000, 0x1000), (0x5000, 0x2000)]


@pytest.mark.parametrize(
    ("kinds", "groups", "bounds", "may"),
    [
        ("always [madvise] never", "0::/a/b", {}, True),
        ("always madvise [never]", "0::/a/b", {}, False),
        ("[always] madvise never", "0::/a/b", {"a/b/memory.max": "max", "a/memory.max": "max"}, True),
        ("[always] madvise never", "0::/a/b", {"a/memory.max": "1073741824"}, False),
        ("[always] madvise never", "0::/", {"memory.max": "1073741824"}, False),
        ("[always] madvise never", "4:memory:/x", {"memory/x/memory.limit_in_bytes": str(1 << 62)}, True),
        ("[always] madvise never", "4:memory:/x", {"memory/x/memory.limit_in_bytes": str(1 << 30)}, False),
    ],
)
def test_only_where_nothing_bounds_the_memory(
    kinds: str, groups: str, bounds: dict[str, str], may: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    (tmp_path / "enabled").write_text(kinds)
    files = {"proc/self/cgroup": groups, **{f"sys/fs/cgroup/{name}": bound for name, bound in bounds.items()}}
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text + "\n")
    monkeypatch.setattr(mapped_weights, "_KINDS", tmp_path / "enabled")
    monkeypatch.setattr(allowance, "memory", partial(allowance.memory, root=tmp_path))
    _free(monkeypatch, 0.9)
    assert mapped_weights.may_move() is may
