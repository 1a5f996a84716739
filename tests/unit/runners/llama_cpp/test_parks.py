"""Parked states: none is given out changed, and what they held goes back to the system."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from arriero.runners.llama_cpp.parks import ParkedStates, new_state

ROOT = Path(__file__).parents[4]
COME_AND_GO = """
import random, psutil
from arriero.runners.llama_cpp.parks import ParkedStates, new_state

dice, parks, sizes = random.Random(1), ParkedStates(), {}
before = psutil.Process().memory_info().rss
for number in range(600):
    size = dice.randrange(100_000, 2_000_000)
    while sum(sizes.values()) + size > 16_000_000:
        oldest = dice.choice(list(sizes)[:4])
        parks.drop(oldest)
        del sizes[oldest]
    state = new_state(size)
    state[::4096] = 1
    parks.keep(number, state)
    del state
    sizes[number] = size
print(parks.bytes, psutil.Process().memory_info().rss - before)
"""


def test_what_is_dropped_goes_back_to_the_system() -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run([sys.executable, "-c", COME_AND_GO], env=environment, capture_output=True, check=True)
    held, grown = map(int, done.stdout.split())
    assert 12_000_000 < held <= 16_000_000
    assert grown < held + 2_000_000


def test_room_can_be_written_and_is_as_large_as_asked() -> None:
    state = new_state(5001)
    state[:] = 7
    assert (state.size, state.nbytes, int(state.sum())) == (5001, 5001, 7 * 5001)


def test_where_no_mapping_is_left_the_heap_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr("mmap.mmap", refuse)
    state = new_state(100)
    state[:] = 1
    assert state.size == 100


@pytest.mark.parametrize("place", [0, 2500, 4999])
def test_any_flipped_bit_is_noticed(place: int) -> None:
    parks = ParkedStates()
    state = new_state(5000)
    state[:] = np.arange(5000, dtype=np.uint8)
    parks.keep(1, state)
    assert parks.get(1) is state
    for bit in range(8):
        state[place] ^= 1 << bit
        assert parks.get(1) is None
        state[place] ^= 1 << bit
    assert parks.get(1) is state
    parks.drop(1)
    assert (parks.get(1), parks.bytes, len(parks)) == (None, 0, 0)
