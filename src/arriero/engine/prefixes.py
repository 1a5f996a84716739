"""Prefixes: what is cached of a waiting sequence's prompt, and what another is computing of it just now."""

from __future__ import annotations

from arriero.engine.roster import Roster
from arriero.engine.sequence import Sequence
from arriero.engine.storage import KVStorage, Match


class Prefixes:
    """Looks prefixes up in the storage, and keeps the roster's claims: nothing is computed twice at a time."""

    def __init__(self, storage: KVStorage, roster: Roster) -> None:
        self._storage = storage
        self._rules = storage.rules
        self._roster = roster

    def match(self, sequence: Sequence) -> Match | None:
        """Find what is cached of a sequence in line.

        None, and it is deferred, if it had better wait for a block now being computed.
        """
        swapped = self._storage.swapped(sequence)
        if swapped is not None:
            return swapped
        if not (self._rules.enabled and sequence.use_cache):
            return Match()
        end = len(sequence.tokens) - 1  # the last token is always computed
        limit = self._rules.usable(end + 1)
        match = self._storage.match(sequence.chain, limit)
        if match.blocks == limit:
            match = self._storage.match_tail(sequence.chain, end) or match
        keys = self._keys(sequence, limit, end)
        coming = self._rules.cut(self._roster.claims.covered(keys, match.blocks))
        if coming > match.blocks and not match.tail:
            self._roster.defer(sequence, keys[coming - 1])
            return None
        return self._storage.extend(match, sequence.chain)

    def claim(self, sequence: Sequence, match: Match) -> None:
        """Let others wait for what a sequence that was just admitted is about to compute."""
        blocks = self._rules.shareable(sequence, len(sequence.tokens))
        end = len(sequence.tokens) - 1
        reached = match.tail > 0 and match.blocks * self._rules.block_size + match.tail >= end
        keys = self._keys(sequence, blocks, 0 if reached else end)
        if len(keys) > match.blocks:
            self._roster.claims.claim(sequence.id, keys, match.blocks, len(keys))

    def put_off(self, sequence: Sequence, most: int) -> int:
        """Return how many of a prompt's last tokens come a step later, with those who wait for what is before them.

        They are computed with the rests of its own tenant's other prompts, which begin then: one call for all, and
        answers of equal length end together, so that what their clients ask next comes together, too. Only rests of
        `most` tokens, which are over at once.
        """
        length, size = len(sequence.tokens), self._rules.block_size
        blocks, waiting = self._roster.claims.awaited(sequence.id, (length - 1) // size)
        start = blocks * size
        if start <= sequence.num_computed or length - start > most or sequence.num_output:
            return 0
        aligned = self._rules.cut(blocks) == blocks and self._storage.num_free_slots > 0
        return length - start if aligned and any(_join(sequence, one, start + most) for one in waiting) else 0

    def _keys(self, sequence: Sequence, blocks: int, end: int) -> list[bytes]:
        """The keys of the first blocks, and of what lies between them and `end` where that can be shared."""
        tail = sequence.chain.tail(end) if self._rules.tails else None
        return [*sequence.chain.keys(blocks)[:blocks], *([] if tail is None else [tail])]


def _join(first: Sequence, other: Sequence, most: int) -> bool:
    """Whether `other`, of at most `most` tokens, may be computed in the step that `first` ends in, at no one's cost."""
    mine, others = first.spec, other.spec
    alike = (mine.tenant, mine.priority, mine.adapters) == (others.tenant, others.priority, others.adapters)
    return alike and len(other.tokens) <= most
