from __future__ import annotations

import os

import pytest

from arriero.core import control_groups
from arriero.core.control_groups import MemoryBound
from arriero.observe.machine import machine_card


def test_a_card_tells_the_machine_and_what_may_be_used_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_groups, "memory_bounds", lambda root: [MemoryBound(1 << 20, 1 << 19)])
    monkeypatch.setattr(control_groups, "cpu_quota", lambda root: 0.5)
    card = machine_card()
    assert (card["allowed_memory_bytes"], card["allowed_cpus"]) == (1 << 20, 0.5)
    assert card["memory_bytes"] > 1 << 20
    assert card["threads"] == os.cpu_count()
