"""What is known of a parked state: its blocks, the tokens behind them, and who else holds a block."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple


class Parking(NamedTuple):
    """Keep the first `blocks` blocks and `tail` tokens behind them as the new `state` (None: nothing to keep).

    `dropped` are dropped, or spilled.
    """

    state: int | None
    blocks: int
    dropped: list[int]
    tail: int = 0


@dataclass(slots=True)
class State:
    """A parked chain: the keys of its full blocks, the tokens behind them, and its bytes, estimated until known."""

    keys: list[bytes]
    tail: tuple[int, ...]
    size: int

    @property
    def units(self) -> int:
        """Blocks that it counts for: a begun one is one."""
        return len(self.keys) + bool(self.tail)


@dataclass(slots=True)
class Node:
    """One full block of at least one parked chain."""

    parent: bytes
    tokens: tuple[int, ...]
    states: dict[int, None] = field(default_factory=dict)  # the states in memory that hold it, oldest first
    spilled: dict[int, None] = field(default_factory=dict)  # those that were spilled

    def all(self) -> list[int]:
        """Those that hold it, in the order in which they are preferred."""
        return [*reversed(self.states), *reversed(self.spilled)]

    def first(self) -> int:
        """The one that is preferred."""
        return next(reversed(self.states or self.spilled))
