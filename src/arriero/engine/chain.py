"""Names for prefixes: each full block of tokens has a key chained from all blocks before it and from a salt."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import xxhash


def common_length(some: Sequence[int], others: Sequence[int]) -> int:
    """Return how many leading tokens two lists have in common."""
    return next(
        (at for at, (a, b) in enumerate(zip(some, others, strict=False)) if a != b), min(len(some), len(others))
    )


class TokenChain:
    """The block keys of one growing token list, computed once each, when they are asked for.

    Equal keys mean equal prefixes but for a hash collision; whoever finds a key must compare the tokens too.
    """

    __slots__ = ("_keys", "_tokens", "block_size", "root")

    def __init__(self, tokens: list[int], block_size: int, salt: bytes, *, root: bytes | None = None) -> None:
        """Name the prefixes of `tokens` under `salt`, or under the `root` that another chain of that salt has."""
        self._tokens = tokens
        self._keys: list[bytes] = []
        self.block_size = block_size
        self.root = root or xxhash.xxh3_128_digest(b"arriero:" + salt)

    @property
    def tokens(self) -> list[int]:
        """The token list itself; only its owner may append to it."""
        return self._tokens

    def keys(self, count: int) -> list[bytes]:
        """Return the keys of at least the first `count` full blocks (the list itself: read only)."""
        keys, size = self._keys, self.block_size
        if len(keys) >= count:
            return keys
        if count * size > len(self._tokens):
            raise ValueError(f"{count} full blocks of {size} asked of {len(self._tokens)} tokens")
        parent = keys[-1] if keys else self.root
        for index in range(len(keys), count):
            content = array("q", self._tokens[index * size : (index + 1) * size])
            parent = xxhash.xxh3_128_digest(parent + content.tobytes())
            keys.append(parent)
        return keys

    def tail(self, end: int) -> bytes | None:
        """Return the key of the first `end` tokens where they end inside a block, None where they fill their blocks."""
        full = end // self.block_size
        content = self._tokens[full * self.block_size : end]
        if not content:
            return None
        return xxhash.xxh3_128_digest(self.parent(full) + b"tail" + array("q", content).tobytes())

    def parent(self, index: int) -> bytes:
        """Return the key that block `index` is chained to: the one before it, or the root."""
        return self.keys(index)[index - 1] if index else self.root

    def block(self, index: int) -> tuple[int, ...]:
        """Return the tokens of block `index`."""
        start = index * self.block_size
        return tuple(self._tokens[start : start + self.block_size])
