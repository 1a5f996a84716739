"""Holders: which running sequences have which prefixes in their slots, and who can lend one. Pure accounting."""

from __future__ import annotations

from collections.abc import Collection

from arriero.engine.block_manager import BrokenInvariantError
from arriero.engine.chain import TokenChain, common_length
from arriero.engine.sequence import Sequence
from arriero.engine.storage import Match, PrefixRules

Table = dict[bytes, dict[int, Sequence]]
"""Key → the running sequences that have what it names, by id."""


class Holders:
    """Keys of what is computed in running slots. `window` (tokens, 0: none) as in RunnerInfo."""

    def __init__(self, rules: PrefixRules, window: int) -> None:
        self._rules = rules
        self._window = window
        # Of full computed blocks. A sequence is entered for its blocks in order, so whoever holds a block holds all
        # before it.
        self._blocks: Table = {}
        self._tails: Table = {}  # the same for prompts that end inside a block

    def find(self, chain: TokenChain, limit: int) -> Match | None:
        """Return the longest prefix of at most `limit` blocks of `chain` that a running slot can lend."""
        keys, count = chain.keys(limit), 0
        while count < limit and keys[count] in self._blocks:
            count += 1
        count = self._rules.cut(count)
        holder = None
        while count and holder is None:
            holder = self._lender(self._blocks[keys[count - 1]], count * self._rules.block_size)
            count -= 0 if holder is not None else self._rules.unit
        if holder is None or not _begins_as(holder, chain, count * self._rules.block_size):
            return None
        return Match(count, shared=tuple(holder.block_table[:count]), holder=holder)

    def find_tail(self, chain: TokenChain, end: int) -> Match | None:
        """Return who has the first `end` tokens, which end inside a block; None if nobody does, or can lend them."""
        key = chain.tail(end) if self._rules.tails else None
        holders = None if key is None else self._tails.get(key)
        holder = self._lender(holders, end) if holders else None
        if holder is None or not _begins_as(holder, chain, end):
            return None
        count = end // self._rules.block_size
        return Match(count, tuple(holder.block_table[:count]), holder, tail=end % self._rules.block_size)

    def _lender(self, holders: dict[int, Sequence], tokens: int) -> Sequence | None:
        """Return the first of `holders` that still has all that attends from token `tokens` on; None if none does.

        The first, not the latest: all that start in a step then copy from the same slot, which is read once.
        """
        least = max(0, tokens - self._window)
        return next((holder for holder in holders.values() if holder.held_from <= least), None)

    def common(self, chain: TokenChain) -> int:
        """Return the tokens that the longest common prefix of `chain` and a running slot has. Walks everything."""
        running = {holder.id: holder for holders in self._blocks.values() for holder in holders.values()}
        return max(
            (
                common_length(holder.tokens[: holder.num_computed], chain.tokens)
                for holder in running.values()
                if holder.chain.root == chain.root
            ),
            default=0,
        )

    def enter(self, sequence: Sequence, count: int) -> None:
        """Let others find the first `count` blocks of `sequence`."""
        if count <= sequence.num_registered:
            return
        keys = sequence.chain.keys(count)
        for index in range(sequence.num_registered, count):
            self._blocks.setdefault(keys[index], {})[sequence.id] = sequence
        sequence.num_registered = count

    def enter_tail(self, sequence: Sequence) -> None:
        """Let others find all but the last token of what `sequence` was admitted with, once that is there."""
        if self._rules.tails and sequence.tail is None and sequence.num_computed >= sequence.admitted_tokens - 1:
            sequence.tail = sequence.chain.tail(sequence.admitted_tokens - 1)
            if sequence.tail is not None:
                self._tails.setdefault(sequence.tail, {})[sequence.id] = sequence

    def leave(self, sequence: Sequence) -> None:
        """Forget `sequence`, whose slot is taken back."""
        registered = sequence.num_registered
        for key in sequence.chain.keys(registered)[:registered]:
            _leave(self._blocks, key, sequence)
        if sequence.tail is not None:
            _leave(self._tails, sequence.tail, sequence)
            sequence.tail = None

    def shared_tokens(self, sequence: Sequence) -> int:
        """Return how many leading tokens of a running `sequence` others have, too."""
        count = 0
        for key in sequence.chain.keys(sequence.num_registered)[: sequence.num_registered]:
            if len(self._blocks[key]) < 2:
                break
            count += 1
        return count * self._rules.block_size

    def check(self, running: Collection[Sequence]) -> None:
        """Raise BrokenInvariantError unless exactly the running sequences are found, by what they have computed."""
        blocks: dict[bytes, set[int]] = {}
        tails: dict[bytes, set[int]] = {}
        for sequence in running:
            if sequence.num_registered * self._rules.block_size > sequence.num_computed:
                raise BrokenInvariantError(f"{sequence}: {sequence.num_registered} blocks registered")
            for key in sequence.chain.keys(sequence.num_registered)[: sequence.num_registered]:
                blocks.setdefault(key, set()).add(sequence.id)
            if sequence.tail is not None:
                tails.setdefault(sequence.tail, set()).add(sequence.id)
        if blocks != {key: set(holders) for key, holders in self._blocks.items()}:
            raise BrokenInvariantError("holders and running sequences differ")
        if tails != {key: set(holders) for key, holders in self._tails.items()}:
            raise BrokenInvariantError("tails and running sequences differ")


def _begins_as(holder: Sequence, chain: TokenChain, tokens: int) -> bool:
    """Whether so many leading tokens are the same; if not, their keys have collided."""
    return holder.chain.root == chain.root and holder.tokens[:tokens] == chain.tokens[:tokens]


def _leave(table: Table, key: bytes, sequence: Sequence) -> None:
    holders = table[key]
    del holders[sequence.id]
    if not holders:
        del table[key]
