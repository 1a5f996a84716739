"""BlockManager: the only owner of block accounting. Which blocks exist, who refers to them, what they hold.

It knows block numbers, tokens and keys; it must not know runners, slots or scheduling.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

from arriero.engine.chain import TokenChain


class BrokenInvariantError(AssertionError):
    """The accounting contradicts itself: a bug, named by the message."""


@dataclass(slots=True)
class _Block:
    refs: int = 0
    key: bytes | None = None  # of a full computed block that others may find
    parent: bytes = b""
    depth: int = 0  # blocks before it in its chain
    tokens: tuple[int, ...] = ()


@dataclass(slots=True)
class _Table:
    blocks: list[int] = field(default_factory=list)
    committed: int = 0  # leading blocks that are registered under their keys


class BlockManager:
    """A pool of `num_blocks` blocks of `block_size` tokens, handed out in tables, one a sequence.

    With `caching`, full blocks are found by key, and stay when nobody refers to them until their place is needed:
    the least recently used chain goes first, its leaf before its root. Without it, a block without references is free.
    """

    def __init__(self, num_blocks: int, block_size: int = 16, *, caching: bool = True) -> None:
        if num_blocks < 1 or block_size < 1:
            raise ValueError(f"a pool needs blocks and tokens in them, not {num_blocks} × {block_size}")
        self.num_blocks = num_blocks
        self.block_size = block_size
        self.caching = caching
        self.evictions = 0
        self._blocks = [_Block() for _ in range(num_blocks)]
        self._free = list(range(num_blocks - 1, -1, -1))
        # Registered blocks without references, least recently used first. Tables are released from their end, and an
        # ancestor has at least its descendants' references, so every descendant stands before its ancestors.
        self._cached: OrderedDict[int, None] = OrderedDict()
        self._by_key: dict[bytes, int] = {}
        self._tables: dict[int, _Table] = {}

    @property
    def num_free(self) -> int:
        """Blocks that hold nothing."""
        return len(self._free)

    @property
    def num_cached(self) -> int:
        """Blocks that nobody refers to, kept for whoever has the same prefix."""
        return len(self._cached)

    @property
    def num_active(self) -> int:
        """Blocks that at least one table refers to."""
        return self.num_blocks - len(self._free) - len(self._cached)

    @property
    def available(self) -> int:
        """Blocks that an allocation can have: free ones and cached ones."""
        return len(self._free) + len(self._cached)

    def owners(self) -> list[int]:
        """Return who has a table."""
        return list(self._tables)

    def table(self, owner: int) -> list[int]:
        """Return the block table of `owner` (the list itself: read only)."""
        return self._tables[owner].blocks

    def blocks_for(self, tokens: int) -> int:
        """Return how many blocks hold `tokens` tokens."""
        return -(-tokens // self.block_size)

    def match(self, chain: TokenChain, limit: int) -> list[int]:
        """Return the registered blocks of the longest known prefix of `chain`, at most `limit`. No side effect."""
        found: list[int] = []
        keys = chain.keys(limit)
        for index in range(limit):
            number = self._by_key.get(keys[index])
            if number is None:
                break
            block = self._blocks[number]
            if block.parent != chain.parent(index) or block.tokens != chain.block(index):
                break  # a collision of keys
            found.append(number)
        return found

    def allocate(self, owner: int, shared: Sequence[int], total: int, reserve: int = 0) -> bool:
        """Give `owner` a table of `total` blocks that begins with `shared`, all or nothing.

        False, and nothing changed, unless the rest is available with `reserve` blocks to spare.
        """
        if owner in self._tables:
            raise ValueError(f"{owner} has a table already")
        if len(shared) > total:
            raise ValueError(f"{len(shared)} shared blocks in a table of {total}")
        revived = sum(1 for number in shared if number in self._cached)
        if total - len(shared) + revived + reserve > self.available:
            return False
        committed = 0
        for number in shared:
            block = self._blocks[number]
            if not block.refs and number not in self._cached:
                raise ValueError(f"block {number} is free: it cannot be shared")
            block.refs += 1
            self._cached.pop(number, None)
            committed += block.key is not None
        table = _Table(list(shared), committed if self.caching else 0)
        table.blocks.extend(self._take() for _ in range(total - len(shared)))
        self._tables[owner] = table
        return True

    def reserve(self, owner: int, start: int, end: int) -> bool:
        """Let `owner` write the positions [start, end), which nobody shares: grow its table.

        False, and nothing changed, where blocks are missing.
        """
        table = self._tables[owner]
        blocks, size = table.blocks, self.block_size
        if not 0 <= start <= end or start > len(blocks) * size:
            raise ValueError(f"cannot write [{start}, {end}) in a table of {len(blocks)} blocks")
        touched = range(start // size, min(len(blocks), self.blocks_for(end))) if start < end else range(0)
        for index in touched:
            if index < table.committed or self._blocks[blocks[index]].refs > 1:
                raise ValueError(f"block {index} of {owner} is registered or shared: it must not change")
        missing = max(0, self.blocks_for(end) - len(blocks))
        if missing > self.available:
            return False
        blocks.extend(self._take() for _ in range(missing))
        return True

    def commit(self, owner: int, chain: TokenChain, count: int) -> None:
        """Register the first `count` blocks of `owner`, whose tokens are all computed, under their keys.

        A block that is registered already, computed by somebody else, takes the place of the owner's own copy.
        """
        if not self.caching:
            return
        table = self._tables[owner]
        keys = chain.keys(count)
        for index in range(table.committed, count):
            number, key = table.blocks[index], keys[index]
            known = self._by_key.get(key)
            if known is None:
                block = self._blocks[number]
                block.key, block.parent, block.depth, block.tokens = key, chain.parent(index), index, chain.block(index)
                self._by_key[key] = number
            elif known != number:
                twin = self._blocks[known]
                if twin.parent != chain.parent(index) or twin.tokens != chain.block(index):
                    return  # a collision: this chain ends here for whoever looks for it
                twin.refs += 1
                self._cached.pop(known, None)
                table.blocks[index] = known
                self._drop_ref(number)
            table.committed = index + 1

    def release(self, owner: int) -> None:
        """Take the table of `owner` away: registered blocks stay cached, others are free."""
        for number in reversed(self._tables.pop(owner).blocks):
            self._drop_ref(number)

    def _drop_ref(self, number: int) -> None:
        block = self._blocks[number]
        block.refs -= 1
        if block.refs:
            return
        if block.key is not None:
            self._cached[number] = None
        else:
            self._free.append(number)

    def _take(self) -> int:
        if self._free:
            number = self._free.pop()
            block = self._blocks[number]
        else:
            number, _ = self._cached.popitem(last=False)
            block = self._blocks[number]
            assert block.key is not None
            del self._by_key[block.key]
            block.key, block.parent, block.tokens = None, b"", ()
            self.evictions += 1
        block.refs = 1
        return number

    def check(self) -> None:
        """Raise BrokenInvariantError if the accounting contradicts itself. Walks everything: for tests."""
        refs = [0] * self.num_blocks
        for owner, table in self._tables.items():
            if not 0 <= table.committed <= len(table.blocks):
                raise BrokenInvariantError(f"{owner}: {table.committed} of {len(table.blocks)} blocks committed")
            if len(set(table.blocks)) != len(table.blocks):
                raise BrokenInvariantError(f"{owner}: a block twice in one table")
            for index, number in enumerate(table.blocks):
                refs[number] += 1
                if self.caching and index < table.committed and self._blocks[number].key is None:
                    raise BrokenInvariantError(f"{owner}: block {number} is committed, but has no key")
        free = set(self._free)
        if len(free) != len(self._free) or free & self._cached.keys():
            raise BrokenInvariantError("a block is free twice, or free and cached")
        if self.num_free + self.num_active + self.num_cached != self.num_blocks:
            raise BrokenInvariantError("free + active + cached is not the total")
        for number, block in enumerate(self._blocks):
            if block.refs != refs[number]:
                raise BrokenInvariantError(f"block {number}: {block.refs} references, {refs[number]} in tables")
            if (block.refs > 0) == (number in free or number in self._cached):
                raise BrokenInvariantError(f"block {number}: {block.refs} references, yet free or cached, or lost")
            if number in free and block.key is not None:
                raise BrokenInvariantError(f"block {number} is free, but has a key")
            if block.key is not None and self._by_key.get(block.key) != number:
                raise BrokenInvariantError(f"block {number} is not found under its key")
        self._check_chains()

    def _check_chains(self) -> None:
        place = {number: index for index, number in enumerate(self._cached)}
        for key, number in self._by_key.items():
            block = self._blocks[number]
            if block.key != key or len(block.tokens) != self.block_size:
                raise BrokenInvariantError(f"block {number} is found under a key that is not its own")
            if not block.depth:
                continue
            parent = self._by_key.get(block.parent)
            if parent is None or self._blocks[parent].depth != block.depth - 1:
                raise BrokenInvariantError(f"block {number} is registered, the one before it is not")
            above = self._blocks[parent]
            if above.refs < block.refs:
                raise BrokenInvariantError(f"block {number} has more references than its parent {parent}")
            if not above.refs and place[number] > place[parent]:
                raise BrokenInvariantError(f"block {parent} would be evicted before its child {number}")
