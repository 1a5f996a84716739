"""Cut: which turns of a conversation may be dropped to make it fit, and about how many must be. Knows no template."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from arriero.core.request import Message


class Cut:
    """The turns of `messages`: the oldest go first, system messages and the last one never."""

    def __init__(self, messages: Sequence[Message]) -> None:
        self._messages = messages
        self._marks = 0.0  # characters that the template writes around each, calls and tools included

    @cached_property
    def droppable(self) -> list[int]:
        """Where those stand that may go, the first to go first."""
        return [i for i, message in enumerate(self._messages[:-1]) if message.role != "system"]

    @property
    def chars(self) -> int:
        """Characters of all messages, without what a template adds."""
        return sum([len(message.content) for message in self._messages])

    def sample(self, chars: int) -> str:
        """What the newest messages say: that many characters, or all where there are fewer."""
        found: list[str] = []
        for message in reversed(self._messages):
            if chars <= 0:
                break
            found.append(message.content[-chars:])
            chars -= len(found[-1])
        return "".join(reversed(found))

    def measure(self, chars: int, count: int) -> None:
        """The text without the oldest `count` turns has `chars` characters: guess by that from now on."""
        kept = self.kept(count)
        self._marks = max(0.0, chars - sum(len(message.content) for message in kept)) / len(kept)

    def kept(self, count: int) -> list[Message]:
        """What is left without the oldest `count` turns."""
        gone = set(self.droppable[:count])
        return [message for i, message in enumerate(self._messages) if i not in gone]

    def later_begin(self, count: int) -> int | None:
        """How many more than `count` to drop so that a user's turn is the first; None: there is none."""
        begins = (n for n, i in enumerate([*self.droppable, -1]) if self._messages[i].role == "user")
        return next((begin for begin in begins if begin > count), None)

    def guess(self, chars: float) -> int:
        """About how many turns must be dropped to leave `chars` characters of text."""
        droppable = set(self.droppable)
        chars -= sum(self._size(i) for i in range(len(self._messages)) if i not in droppable)
        for count in range(len(self.droppable), 0, -1):
            chars -= self._size(self.droppable[count - 1])
            if chars < 0:
                return count
        return 0

    def _size(self, index: int) -> float:
        return self._marks + len(self._messages[index].content)
