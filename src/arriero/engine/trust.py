"""Trust: how often a draft model has been right about one sequence lately. It asks nobody."""

from __future__ import annotations

_FIRST = 0.7  # the chance that a guess is right, before any was checked
_RATE = 0.1  # what the last check counts
_PAUSE = 48  # tokens after which a model that was not worth asking is asked again


class Trust:
    """The odds of one more right guess, from what became of those before."""

    __slots__ = ("_asked_at", "_guessed", "odds")

    def __init__(self) -> None:
        self.odds = _FIRST
        self._guessed: tuple[int, ...] = ()  # what was guessed behind `_asked_at` tokens, until it is known what came
        self._asked_at = 0

    def asked(self, length: int, guessed: list[int]) -> None:
        """The model guesses that `guessed` follows the first `length` tokens."""
        self._asked_at, self._guessed = length, tuple(guessed)

    def look(self, tokens: list[int]) -> None:
        """Compare what was guessed with what came."""
        if len(tokens) <= self._asked_at:
            return
        for place, guess in enumerate(self._guessed, self._asked_at):
            if place >= len(tokens):
                break
            hit = tokens[place] == guess
            self.odds += (hit - self.odds) * _RATE
            if not hit:
                break
        self._guessed = ()

    def due(self, length: int) -> bool:
        """Whether it is time to ask again though it does not seem to pay."""
        return length - self._asked_at >= _PAUSE
