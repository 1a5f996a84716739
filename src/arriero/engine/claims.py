"""Claims: which block which running sequence is about to compute, and who waits for it rather than compute it too."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence as Items

from arriero.engine.sequence import Sequence


class Claims:
    """Each key is claimed by one sequence at most. A claim ends when its block is computed or its owner gives up.

    Whoever waits waits on one key, and is handed back when that claim ends, whichever way.
    """

    def __init__(self) -> None:
        self._owner: dict[bytes, int] = {}
        self._claimed: dict[int, deque[tuple[int, bytes]]] = {}  # (index, key) in the order of computation
        self._waiting: dict[bytes, list[Sequence]] = {}

    @property
    def num_waiting(self) -> int:
        """Sequences that wait for a claim to end."""
        return sum(len(waiting) for waiting in self._waiting.values())

    def covered(self, keys: Items[bytes], start: int) -> int:
        """Return the end of the run of claimed keys that begins at `start` (`start` itself if that is unclaimed)."""
        end = start
        while end < len(keys) and keys[end] in self._owner:
            end += 1
        return end

    def claim(self, owner: int, keys: Items[bytes], start: int, end: int) -> None:
        """Claim keys[start:end] for `owner`; what another has claimed stays his."""
        mine = deque((i, keys[i]) for i in range(start, end) if self._owner.setdefault(keys[i], owner) == owner)
        if mine:
            self._claimed[owner] = mine

    def wait(self, sequence: Sequence, key: bytes) -> None:
        """Let `sequence` wait until the claim on `key` ends."""
        sequence.blocked_on = key
        self._waiting.setdefault(key, []).append(sequence)

    def awaited(self, owner: int, end: int) -> tuple[int, Items[Sequence]]:
        """Return behind how many blocks of `owner` others begin, and who: the last such place before block `end`.

        0 and nobody where none of them is waited for.
        """
        for index, key in reversed(self._claimed.get(owner, ())):
            if index < end and key in self._waiting:
                return index + 1, self._waiting[key]
        return 0, ()

    def withdraw(self, sequence: Sequence) -> bool:
        """Stop waiting (an abort); False if it did not wait."""
        if sequence.blocked_on is None:
            return False
        waiting = self._waiting[sequence.blocked_on]
        waiting.remove(sequence)
        if not waiting:
            del self._waiting[sequence.blocked_on]
        sequence.blocked_on = None
        return True

    def fulfil(self, owner: int, blocks: int) -> list[Sequence]:
        """End the claims of `owner` on its first `blocks` blocks, now computed; return who waited for them."""
        claimed = self._claimed.get(owner)
        freed: list[Sequence] = []
        if claimed is None:
            return freed
        while claimed and claimed[0][0] < blocks:
            self._end(claimed.popleft()[1], freed)
        if not claimed:
            del self._claimed[owner]
        return freed

    def cancel(self, owner: int) -> list[Sequence]:
        """End all claims of `owner`, who leaves; return who waited for them, to try for themselves."""
        freed: list[Sequence] = []
        for _, key in self._claimed.pop(owner, ()):
            self._end(key, freed)
        return freed

    def _end(self, key: bytes, freed: list[Sequence]) -> None:
        del self._owner[key]
        for sequence in self._waiting.pop(key, ()):
            sequence.blocked_on = None
            freed.append(sequence)

    def check(self, running: Items[Sequence]) -> None:
        """AssertionError unless every claim is a running sequence's and everybody waits on a claim."""
        claimed = {key: owner for owner, keys in self._claimed.items() for _, key in keys}
        assert claimed == self._owner, "claims: owner map and lists differ"
        assert self._claimed.keys() <= {sequence.id for sequence in running}, "claims: an owner does not run"
        assert self._waiting.keys() <= self._owner.keys(), "claims: somebody waits on nothing"
        for key, waiting in self._waiting.items():
            assert all(sequence.blocked_on == key for sequence in waiting), "claims: a waiter with another key"
