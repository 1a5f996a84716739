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

    def _keys(self, sequence: Sequence, blocks: int, end: int) -> list[bytes]:
        """The keys of the first blocks, and of what lies between them and `end` where that can be shared."""
        tail = sequence.chain.tail(end) if self._rules.tails else None
        return [*sequence.chain.keys(blocks)[:blocks], *([] if tail is None else [tail])]
