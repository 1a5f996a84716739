"""Beam search keeps what a search that computes everything again would keep, and knows when nothing better can come."""

from __future__ import annotations

import itertools
import math

import pytest

from arriero.engine.beams import Beam, BeamSearch

STOP = 0
WORDS = 6


def _likely(tokens: tuple[int, ...]) -> list[tuple[int, float]]:
    """A made-up model: log probabilities that depend on all tokens, the likeliest first."""
    weights = [1.0 + (hash((tokens, word)) % 97) / 9.0 for word in range(WORDS)]
    total = sum(weights)
    pairs = [(word, math.log(weight / total)) for word, weight in enumerate(weights)]
    return sorted(pairs, key=lambda pair: -pair[1])


def _searched(width: int, penalty: float, most: int, prompt_len: int = 4) -> tuple[list[Beam], int]:
    search = BeamSearch(prompt_len, width, length_penalty=penalty, max_tokens=most, stop_ids=(STOP,))
    steps = 0
    while search.beams:
        search.extend([_likely(tuple(beam.tokens))[: search.alternatives] for beam in search.beams])
        steps += 1
    return search.best(), steps


def _every(most: int) -> list[tuple[float, tuple[int, ...]]]:
    """Every answer there is, with its log probability."""
    found = []
    for length in range(1, most + 1):
        for tokens in itertools.product(range(WORDS), repeat=length):
            ends = tokens[-1] == STOP
            if STOP in tokens[:-1] or (not ends and length < most):
                continue
            found.append((sum(dict(_likely(tokens[:i]))[t] for i, t in enumerate(tokens)), tokens))
    return found


@pytest.mark.parametrize("penalty", [1.0, 0.0, 2.5, -1.0])
def test_with_beams_enough_it_finds_the_best_of_all(penalty: float) -> None:
    best, _ = _searched(WORDS**3, penalty, most=4)

    def score(pair: tuple[float, tuple[int, ...]]) -> float:
        return pair[0] / float((4 + len(pair[1]) - (pair[1][-1] == STOP)) ** penalty)

    expected = sorted(_every(4), key=score, reverse=True)[:5]
    assert [tuple(beam.tokens) for beam in best[:5]] == [tokens for _, tokens in expected]
    assert [beam.logprob for beam in best[:5]] == pytest.approx([logprob for logprob, _ in expected])


def test_a_search_ends_early_only_where_nothing_better_can_come() -> None:
    for penalty in (0.0, 1.0):
        search = BeamSearch(1, 1, length_penalty=penalty, max_tokens=50, stop_ids=(STOP,))
        search.extend([[(STOP, math.log(0.9)), (1, math.log(0.1))]])
        early = not search.beams
        assert early == (penalty == 0.0)  # with a penalty a long unlikely text may still win
        if not early:
            search.extend([[(STOP, math.log(0.999)), (1, math.log(0.001))]])
        assert search.best()[0].tokens == [STOP]


def test_one_beam_is_greedy_and_banned_tokens_never_come() -> None:
    search = BeamSearch(4, 1, max_tokens=8, banned_ids=(STOP,))
    while search.beams:
        search.extend([_likely(tuple(beam.tokens))[: search.alternatives] for beam in search.beams])
    (best,) = search.best()
    expected: list[int] = []
    for _ in range(8):
        expected.append(next(token for token, _ in _likely(tuple(expected)) if token != STOP))
    assert best.tokens == expected
    assert not best.stopped
