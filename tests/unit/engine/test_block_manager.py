"""BlockManager: allocation is atomic, eviction takes leaves first, shared partial blocks are copied before a write."""

from __future__ import annotations

import pytest

from arriero.engine.block_manager import BlockManager, BrokenInvariantError
from arriero.engine.chain import TokenChain


def _chain(*tokens: int, salt: bytes = b"") -> TokenChain:
    return TokenChain(list(tokens), 2, salt)


def _filled(manager: BlockManager, owner: int, *tokens: int) -> TokenChain:
    """Let `owner` compute `tokens` and commit their full blocks."""
    chain = _chain(*tokens)
    shared = manager.match(chain, (len(tokens) - 1) // 2)
    assert manager.allocate(owner, shared, manager.blocks_for(len(tokens)))
    manager.commit(owner, chain, len(tokens) // 2)
    return chain


def test_a_released_prefix_is_found_again() -> None:
    manager = BlockManager(8, 2)
    _filled(manager, 1, 5, 6, 7, 8)
    table = list(manager.table(1))
    manager.release(1)
    assert manager.match(_chain(5, 6, 7, 8, 9), 2) == table
    assert manager.match(_chain(5, 6, 1, 1, 9), 2) == table[:1]
    assert (manager.num_active, manager.num_cached, manager.num_free) == (0, 2, 6)


def test_another_salt_finds_nothing() -> None:
    manager = BlockManager(8, 2)
    _filled(manager, 1, 5, 6, 7, 8)
    assert manager.match(_chain(5, 6, 7, 8, salt=b"tenant"), 2) == []


def test_a_block_is_found_only_once_it_is_committed() -> None:
    manager = BlockManager(8, 2)
    assert manager.allocate(1, [], 2)
    assert manager.match(_chain(5, 6, 7, 8), 2) == []


def test_equal_keys_of_different_tokens_do_not_match() -> None:
    manager = BlockManager(8, 2)
    _filled(manager, 1, 5, 6, 7, 8)
    forged = _chain(9, 9, 9, 9)
    forged._keys = list(_chain(5, 6, 7, 8).keys(2))  # as if the hash had collided
    assert manager.match(forged, 2) == []


def test_without_caching_nothing_stays() -> None:
    manager = BlockManager(4, 2, caching=False)
    _filled(manager, 1, 5, 6, 7, 8)
    manager.release(1)
    assert manager.num_free == 4
    assert manager.match(_chain(5, 6, 7), 1) == []


def test_an_allocation_that_does_not_fit_changes_nothing() -> None:
    manager = BlockManager(4, 2)
    _filled(manager, 1, 1, 2, 3, 4)
    manager.release(1)
    shared = manager.match(_chain(1, 2, 3, 4, 5), 2)
    assert not manager.allocate(2, shared, 5)
    assert not manager.allocate(2, shared, 4, reserve=1)
    assert (manager.num_free, manager.num_cached) == (2, 2)
    assert manager.allocate(2, shared, 4)


def test_the_oldest_chain_goes_first_and_its_leaf_before_its_root() -> None:
    manager = BlockManager(6, 2)
    _filled(manager, 1, 1, 1, 2, 2)
    _filled(manager, 2, 3, 3, 4, 4)
    manager.release(1)
    manager.release(2)
    assert manager.allocate(3, [], 3)
    assert len(manager.match(_chain(1, 1, 2, 2), 2)) == 1
    assert len(manager.match(_chain(3, 3, 4, 4), 2)) == 2
    assert manager.evictions == 1
    manager.check()


def test_a_used_prefix_is_younger_than_an_unused_one() -> None:
    manager = BlockManager(4, 2)
    _filled(manager, 1, 1, 1)
    _filled(manager, 2, 3, 3)
    manager.release(1)
    manager.release(2)
    assert manager.allocate(3, manager.match(_chain(1, 1, 9), 1), 1)
    manager.release(3)
    assert manager.allocate(4, [], 3)
    assert len(manager.match(_chain(1, 1, 9), 1)) == 1
    assert manager.match(_chain(3, 3, 9), 1) == []


def test_a_block_computed_twice_is_kept_once() -> None:
    manager = BlockManager(8, 2)
    assert manager.allocate(1, [], 1)
    assert manager.allocate(2, [], 1)
    manager.commit(1, _chain(1, 2), 1)
    manager.commit(2, _chain(1, 2), 1)
    assert manager.table(1) == manager.table(2)
    assert manager.num_free == 7
    manager.check()


def test_a_registered_block_is_never_written() -> None:
    manager = BlockManager(4, 2)
    _filled(manager, 1, 1, 2, 3)
    with pytest.raises(ValueError, match="must not change"):
        manager.reserve(1, 1, 3)


def test_misuse_is_refused() -> None:
    manager = BlockManager(4, 2)
    assert manager.allocate(1, [], 1)
    with pytest.raises(ValueError, match="already"):
        manager.allocate(1, [], 1)
    with pytest.raises(ValueError, match="cannot be shared"):
        manager.allocate(2, [3], 1)
    with pytest.raises(ValueError, match="a pool needs blocks"):
        BlockManager(0)


@pytest.mark.parametrize("damage", ["lost", "refs", "key", "free", "order"])
def test_check_notices(damage: str) -> None:
    manager = BlockManager(6, 2)
    _filled(manager, 1, 1, 1, 2, 2, 3, 3)
    if damage == "lost":
        manager._free.pop()
    elif damage == "refs":
        manager._blocks[manager.table(1)[0]].refs += 1
    elif damage == "key":
        manager._by_key.popitem()
    elif damage == "free":
        manager._free.append(manager.table(1)[0])
    else:
        manager.release(1)
        manager._cached.move_to_end(next(iter(manager._cached)))
    with pytest.raises(BrokenInvariantError):
        manager.check()
