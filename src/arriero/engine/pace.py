"""Pace: how many prompt tokens a step may hold while streams wait for it. Learned from steps' times; reads no clock."""

from __future__ import annotations

from collections import deque

_MEMORY = 0.7
"""What a step that was learned from counts after one more: the last three say two thirds."""
_BARE_STEPS = 4
"""Steps without prompts that are remembered; the shortest counts, for a busy machine only ever adds."""


class Pace:
    """Keeps what prompts add to a step near `target` seconds.

    What a decoded token costs, steps without prompts tell; what the others take beyond that is the prompts'. A step
    lasts until the next one begins, so that what stands between them (sending, commands) is counted where users feel
    it. Never less than `floor` tokens: smaller chunks would only read the weights more often. Budgets are multiples of
    half of it, so that calls keep their shapes.
    """

    def __init__(self, target: float, floor: int) -> None:
        """`target` in seconds, 0 for no bound."""
        self._target = target
        self._floor = floor
        self._unit = max(1, floor // 2)
        self._begun: float | None = None  # when the step under way began; None: what follows it says nothing of it
        self._decoded = 0
        self._prefilled = 0
        self._rounds = 1
        self._bare = deque[float](maxlen=_BARE_STEPS)  # seconds of the last steps without prompts
        self._seconds = 0.0  # that prompts took lately,
        self._tokens = 0.0  # and how many tokens that was

    @property
    def token_seconds(self) -> float | None:
        """What a prompt's token costs; None as long as nothing is known."""
        return self._seconds / self._tokens if self._tokens and self._seconds else None

    @property
    def step_seconds(self) -> float | None:
        """What a step costs in which only streams advance; None as long as nothing is known."""
        return min(self._bare, default=None)

    def begin(self, now: float) -> None:
        """The step before has ended by `now`."""
        if self._begun is not None and now > self._begun and (self._decoded or self._prefilled):
            self._learn((now - self._begun) / self._rounds)
        self._begun, self._decoded, self._prefilled, self._rounds = now, 0, 0, 1

    def planned(self, decoded: int, prefilled: int) -> None:
        """The step that has begun computes so many decoded and prompt tokens."""
        self._decoded, self._prefilled = decoded, prefilled

    def repeated(self, rounds: int) -> None:
        """The step under way was so many steps of the same kind, one behind the other."""
        self._rounds = rounds

    def pause(self) -> None:
        """Nobody is left to be computed: whenever the next step begins, this one did not last until then."""
        self._begun = None

    def bound(self, room: int, patience: float = 1.0) -> int:
        """Return how many prompt tokens a step with streams may hold, of the `room` there is.

        `patience` ≥ 1 makes both target and floor so many times greater.
        """
        cost, target = self.token_seconds, self._target * patience
        if not target or cost is None or target >= cost * room:
            return room
        wanted = max(self._floor * patience, target / cost)
        return min(room, int(wanted) // self._unit * self._unit)

    def _learn(self, seconds: float) -> None:
        if not self._prefilled:
            self._bare.append(seconds)
            return
        bare = self.step_seconds if self._decoded else None
        self._seconds = _MEMORY * self._seconds + max(0.0, seconds - (bare or 0.0))
        self._tokens = _MEMORY * self._tokens + self._prefilled
