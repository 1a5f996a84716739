"""RunAhead: steps that follow one another without being planned, for as long as nothing could change.

Between two calls of the kernels stands only what it takes to draw, to look for a reason to stop, and to hand the tokens
on; the engine takes in what happened when the last of them is done.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence as Items

from arriero.core.runner import Choice
from arriero.engine.events import EngineEvent, TokenEvent
from arriero.engine.sequence import Sequence
from arriero.engine.storage import KVStorage

LONGEST = 8
"""Steps at most that follow a planned one. What planning costs is spread over as many; guesses, which only planned
steps have, come late by as many tokens where a text begins to repeat another."""

TellEarly = Callable[[list[EngineEvent]], bool]
"""Takes tokens as soon as they are drawn, on the engine's thread; False, and nothing taken, where somebody has come
whom the next step must be planned for."""


class RunAhead:
    """One step's leave to go on: `Batch.repeat`. `told` draws of each sequence have been handed on."""

    __slots__ = ("_left", "_members", "_tell", "told")

    def __init__(self, members: Items[Sequence], left: int, tell: TellEarly) -> None:
        """`left` steps may follow; `members` are the sequences of the batch's spans."""
        self._members, self._left, self._tell = members, left, tell
        self.told = 0

    def __call__(self, choices: Items[Choice | None]) -> bool:
        """Whether another step follows that drew `choices`; then they have been told."""
        if self.told >= self._left:
            return False
        events: list[EngineEvent] = []
        for sequence, choice in zip(self._members, choices, strict=True):
            if choice is None or choice.end or choice.error is not None or choice.token in sequence.spec.stop_ids:
                return False
            events.append(TokenEvent(sequence.id, choice.token, choice.logprob, choice.top))
        if not self._tell(events):
            return False
        self.told += 1
        return True


def steps_ahead(members: Items[Sequence], most: int, capacity: int, storage: KVStorage) -> int:
    """Return how many steps may follow one in which all `members` draw a token, `most` at most; room is made for them.

    None may end for length before the last one.
    """
    for sequence in members:
        spec, length = sequence.spec, len(sequence.tokens)
        most = min(most, capacity - length)
        if spec.max_tokens >= 0:
            most = min(most, spec.max_tokens - sequence.num_output - 1)
    if most <= 0 or not all(storage.grow(sequence, most) for sequence in members):
        return 0
    return most
