"""At which token a prompt parts from all that is cached: in running slots, in parked states, inside a block."""

from __future__ import annotations

from typing import Any

import pytest

from arriero.core.runner import Adapters
from arriero.engine.sequence import SequenceSpec
from tests.unit.engine.harness import SAMPLER, World, make_info

BASE = [(3 * i * i + i) % 59 for i in range(100)]


def _common(world: World, tokens: list[int], adapters: Adapters = ()) -> int:
    return world.engine.common_length(SequenceSpec(999, tokens, SAMPLER, adapters=adapters))


@pytest.mark.parametrize("kind", [{}, {"window": 32}, {"spill_blocks": 1, "parked_blocks": 8}], ids=str)
@pytest.mark.parametrize("running", [True, False])
def test_the_first_token_that_differs_is_found(kind: dict[str, Any], running: bool) -> None:
    world = World(make_info(**kind))
    assert _common(world, BASE) == 0
    world.add(BASE, max_tokens=30 if running else 1)
    while not world.records[0].tokens:
        world.step()
    for cut in (0, 1, 15, 16, 17, 79, 90):
        tokens = [*BASE[:cut], 60, *BASE[cut + 1 :]]
        assert _common(world, tokens) == cut
        assert world.engine.match_length(tokens) <= cut
    assert _common(world, BASE[:50]) == 50
    assert _common(world, BASE, (("another", 1.0),)) == 0


def test_a_state_that_can_only_be_used_whole_is_told_of_all_the_same() -> None:
    world = World(make_info(prefix_sharing="whole"))
    world.add(BASE, max_tokens=1)
    world.run()
    assert _common(world, [*BASE[:98], 60, 60]) == 98
    assert world.engine.match_length([*BASE[:98], 60, 60]) == 0
    assert world.engine.match_length([*BASE, 60]) == 100


def test_paged_storage_knows_full_blocks() -> None:
    world = World(make_info(storage="paged"))
    world.add(BASE, max_tokens=1)
    world.run()
    assert _common(world, [*BASE[:50], 60]) == 48
