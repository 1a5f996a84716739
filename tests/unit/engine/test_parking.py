"""ParkedPrefixes: what is covered is not parked again, what is only a prefix goes, the budget holds."""

from __future__ import annotations

import pytest

from arriero.engine.block_manager import BrokenInvariantError
from arriero.engine.chain import TokenChain
from arriero.engine.parked_states import Parking
from arriero.engine.parking import ParkedPrefixes


def _chain(text: str, salt: bytes = b"") -> TokenChain:
    return TokenChain([ord(c) for c in text], 2, salt)


def test_a_prefix_is_found_in_the_state_that_holds_it() -> None:
    parked = ParkedPrefixes(10, 2)
    assert parked.park(_chain("aabbcc"), 3) == Parking(1, 3, [])
    assert parked.index.find(_chain("aabbxx"), 3) == (2, 1)
    assert parked.index.find(_chain("xxaabb"), 3) == (0, None)
    assert parked.index.find(_chain("aabbcc", b"tenant"), 3) == (0, None)


def test_a_covered_prefix_is_not_parked_again() -> None:
    parked = ParkedPrefixes(10, 2)
    parked.park(_chain("aabbcc"), 3)
    assert parked.park(_chain("aabb"), 2) == Parking(None, 0, [])


def test_a_longer_state_replaces_its_prefixes() -> None:
    parked = ParkedPrefixes(10, 2)
    parked.park(_chain("aabb"), 2)
    assert parked.park(_chain("aabbcc"), 3) == Parking(2, 3, [1])
    assert parked.used == 3


def test_the_least_recently_used_state_makes_room() -> None:
    parked = ParkedPrefixes(4, 2)
    parked.park(_chain("aabb"), 2)
    parked.park(_chain("ccdd"), 2)
    parked.touch(1)
    assert parked.park(_chain("eeff"), 2) == Parking(3, 2, [2])
    assert parked.evictions == 1
    assert parked.index.find(_chain("ccdd"), 2) == (0, None)


def test_covering_counts_as_use() -> None:
    parked = ParkedPrefixes(4, 2)
    parked.park(_chain("aabb"), 2)
    parked.park(_chain("ccdd"), 2)
    parked.park(_chain("aabb"), 2)
    assert parked.park(_chain("eeff"), 2).dropped == [2]


def test_a_chain_longer_than_the_budget_is_cut() -> None:
    parked = ParkedPrefixes(2, 2)
    assert parked.park(_chain("aabbcc"), 3) == Parking(1, 2, [])
    assert ParkedPrefixes(0, 2).park(_chain("aabb"), 2) == Parking(None, 0, [])


def test_what_a_state_takes_in_bytes_is_believed() -> None:
    parked = ParkedPrefixes(10, 2, byte_budget=100)  # ten bytes a block, one thinks
    parked.park(_chain("aabbcc"), 3)
    assert (parked.bytes, parked.sized(1, 48)) == (30, [])
    assert parked.bytes == 48
    assert parked.park(_chain("ddeeff"), 3) == Parking(2, 3, [])  # another 48 fit
    assert parked.bytes == 96
    assert parked.park(_chain("gg"), 1) == Parking(3, 1, [1])
    assert (parked.used, parked.bytes, parked.sized(99, 5)) == (4, 64, [])
    parked.check()


def test_a_state_larger_than_the_bytes_is_cut_or_goes() -> None:
    parked = ParkedPrefixes(10, 2, byte_budget=100)
    parked.park(_chain("aabbccddee"), 5)
    assert parked.sized(1, 101) == [1]
    assert (parked.num_states, parked.used, parked.bytes) == (0, 0, 0)
    assert parked.park(_chain("aabbccddee"), 5) == Parking(2, 4, [])  # 21 bytes a block, one learnt
    parked.check()


def test_whole_states_are_found_by_their_last_block_only() -> None:
    parked = ParkedPrefixes(10, 2, whole=True)
    parked.park(_chain("aabbcc"), 3)
    assert parked.index.find(_chain("aabbxx"), 3) == (0, None)
    assert parked.index.find(_chain("aabbccdd"), 4) == (3, 1)
    assert parked.park(_chain("aabb"), 2) == Parking(2, 2, [])  # not covered by the longer one
    assert parked.index.find(_chain("aabbxx"), 3) == (2, 2)


def test_equal_keys_of_different_tokens_do_not_match() -> None:
    parked = ParkedPrefixes(10, 2)
    parked.park(_chain("aabb"), 2)
    forged = _chain("xxyy")
    forged._keys = list(_chain("aabb").keys(2))  # as if the hash had collided
    assert parked.index.find(forged, 2) == (0, None)


@pytest.mark.parametrize("damage", ["used", "bytes", "tip", "node"])
def test_check_notices(damage: str) -> None:
    parked = ParkedPrefixes(10, 2)
    parked.park(_chain("aabbcc"), 3)
    if damage == "used":
        parked.used += 1
    elif damage == "bytes":
        parked.bytes += 1
    elif damage == "tip":
        parked.index._tips.clear()
    else:
        parked.index._nodes.popitem()
    with pytest.raises((BrokenInvariantError, KeyError)):
        parked.check()


def test_tokens_behind_the_blocks_are_kept_and_found() -> None:
    parked = ParkedPrefixes(10, 2)
    assert parked.park(_chain("aabbc"), 2, 1) == Parking(1, 2, [], 1)
    assert parked.index.find(_chain("aabbcd"), 2) == (2, 1)
    assert parked.index.further(1, _chain("aabbcd"), 2) == (1, 1)
    assert parked.index.further(1, _chain("aabbc"), 2) == (1, 0)  # the last token is to be computed
    assert parked.index.further(1, _chain("aabcc"), 1) == (1, 1)  # a block need not be had whole
    assert parked.park(_chain("aabbc"), 2, 1) == Parking(None, 0, [])
    assert parked.park(_chain("aabb"), 2) == Parking(None, 0, [])
    assert parked.park(_chain("aabbccd"), 3, 1) == Parking(2, 3, [1], 1)
    assert parked.park(_chain("aabbc"), 2, 1) == Parking(None, 0, [])
    parked.check()


def test_tokens_behind_the_blocks_go_first_where_there_is_no_room() -> None:
    parked = ParkedPrefixes(2, 2)
    assert parked.park(_chain("aabbc"), 2, 1) == Parking(1, 2, [])
    parked.check()
