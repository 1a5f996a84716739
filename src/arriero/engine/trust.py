"""Trust: how often a draft model has been right about one sequence lately. It asks nobody."""

from __future__ import annotations

_RATE = 0.1  # what the last check counts
_PAUSE = 48  # tokens after which a model that was not worth asking is asked again


class Trust:
    """The odds of one more right guess, from what became of those before."""

    __slots__ = ("_asked_at", "_begun", "_guessed", "odds")

    def __init__(self) -> None:
        self.odds = 0.0
        self._begun = False
        self._guessed: tuple[int, ...] = ()  # what was guessed behind `_asked_at` tokens, until it is known what came
        self._asked_at = 0

    def begin(self, odds: float) -> None:
        """As long as nothing was checked, the chance that a guess is right is `odds`: what others had."""
        if not self._begun:
            self.odds = odds

    def asked(self, length: int, guessed: list[int]) -> None:
        """The model guesses that `guessed` follows the first `length` tokens."""
        self._asked_at, self._guessed = length, tuple(guessed)

    def look(self, tokens: list[int]) -> list[bool]:
        """Compare what was guessed with what came; return which guesses were right, up to the first that was not."""
        found: list[bool] = []
        if len(tokens) <= self._asked_at:
            return found
        for place, guess in enumerate(self._guessed, self._asked_at):
            if place >= len(tokens):
                break
            hit = tokens[place] == guess
            self.odds += (hit - self.odds) * _RATE
            self._begun = True
            found.append(hit)
            if not hit:
                break
        self._guessed = ()
        return found

    @property
    def known(self) -> bool:
        """Whether the model was asked before."""
        return self._asked_at > 0

    def behind(self, length: int, few: int) -> int:
        """How many of the first `length` tokens the model may not have computed; 0 where they are `few` at most."""
        missing = length - self._asked_at
        return missing if missing > few else 0

    def due(self, length: int) -> bool:
        """Whether it is time to ask again though it does not seem to pay."""
        return length - self._asked_at >= _PAUSE
