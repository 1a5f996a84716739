"""Sequence: legal moves work, illegal ones raise; TokenChain: keys name prefixes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arriero.engine.chain import TokenChain
from arriero.engine.sequence import IllegalMoveError, Sequence, SequenceSpec, Status
from tests.unit.engine.harness import SAMPLER


def _sequence(tokens: int = 5) -> Sequence:
    return Sequence(SequenceSpec(1, list(range(tokens)), SAMPLER), arrival=0, block_size=2)


def test_a_whole_life() -> None:
    sequence = _sequence()
    sequence.start(3, [0, 1, 2], 2)
    sequence.advance(5)
    sequence.append(9)
    assert (sequence.num_output, sequence.num_computed, sequence.cached_tokens) == (1, 5, 2)
    sequence.preempt()
    assert (sequence.status, sequence.slot, sequence.num_computed) == (Status.WAITING, -1, 0)
    assert sequence.high_water == 5
    sequence.start(0, [4, 5, 6], 0)
    sequence.advance(6)
    sequence.finish()
    assert sequence.status is Status.FINISHED


def test_illegal_moves_raise() -> None:
    sequence = _sequence()
    moves: list[Callable[[], None]] = [lambda: sequence.advance(1), lambda: sequence.append(1), sequence.preempt]
    for move in moves:
        with pytest.raises(IllegalMoveError):
            move()
    with pytest.raises(IllegalMoveError):
        sequence.start(0, [], 5)  # nothing would be left to compute
    sequence.start(0, [], 0)
    for move in (lambda: sequence.advance(0), lambda: sequence.advance(6), lambda: sequence.append(1)):
        with pytest.raises(IllegalMoveError):
            move()
    with pytest.raises(IllegalMoveError):
        sequence.start(0, [], 0)
    sequence.finish()
    moves = [sequence.finish, sequence.preempt, lambda: sequence.start(0, [], 0)]
    for move in moves:
        with pytest.raises(IllegalMoveError):
            move()


def test_the_spec_keeps_its_tokens() -> None:
    spec = SequenceSpec(1, [1, 2], SAMPLER)
    sequence = Sequence(spec, 0, 2)
    sequence.start(0, [0], 0)
    sequence.advance(2)
    sequence.append(3)
    assert spec.tokens == [1, 2]


@given(st.lists(st.integers(0, 3), max_size=12), st.lists(st.integers(0, 3), max_size=12), st.booleans())
def test_keys_are_equal_exactly_where_prefixes_are(one: list[int], other: list[int], same_salt: bool) -> None:
    first, second = TokenChain(one, 2, b"x"), TokenChain(other, 2, b"x" if same_salt else b"y")
    blocks = min(len(one), len(other)) // 2
    for index in range(blocks):
        equal = same_salt and one[: 2 * index + 2] == other[: 2 * index + 2]
        assert (first.keys(blocks)[index] == second.keys(blocks)[index]) == equal


def test_keys_grow_with_the_tokens() -> None:
    tokens = [1, 2, 3]
    chain = TokenChain(tokens, 2, b"")
    first = chain.keys(1)[0]
    with pytest.raises(ValueError, match="2 full blocks"):
        chain.keys(2)
    tokens.append(4)
    assert chain.keys(2) == TokenChain([1, 2, 3, 4], 2, b"").keys(2)
    assert chain.keys(2)[0] == first
    assert (chain.parent(0), chain.parent(1)) == (chain.root, first)
    assert chain.block(1) == (3, 4)
