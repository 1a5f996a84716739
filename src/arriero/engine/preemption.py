"""Preemption: whether who loses its room is swapped out or computed again. Learned from steps; acts on nothing."""

from __future__ import annotations

from collections.abc import Mapping

from arriero.core.runner import Batch
from arriero.engine.options import PreemptionMode

_MEMORY = 0.8
"""What was learned from before counts so much after one more step with moves."""


class Preemption:
    """Compares what moving a state out and back takes with what computing its tokens takes, in seconds.

    Where results must not depend on others (`exact`) it swaps: tokens that were drawn one by one have other last bits
    when they are computed again as a prompt. It also swaps as long as nothing is known: moving is the cheaper one but
    for the smallest models (0.5 B parameters on two cores: 0.01 ms a token out and back, 4 ms to compute it).
    """

    def __init__(self, mode: PreemptionMode, *, exact: bool) -> None:
        self._mode = mode
        self._exact = exact
        self._seconds = 0.0  # that moves took lately,
        self._tokens = 0.0  # and of how many tokens

    @property
    def move_seconds(self) -> float | None:
        """What it takes to copy a token's state out of the context or into it; None as long as nothing is known."""
        return self._seconds / self._tokens if self._tokens else None

    def learn(self, batch: Batch, counters: Mapping[str, int]) -> None:
        """Take in what a step's moves took, where the runner says so (`state_ns`)."""
        moved = sum(park.num_tokens for park in batch.parks)
        moved += sum(restore.num_tokens for restore in batch.restores if restore.from_parked is not None)
        if moved and "state_ns" in counters:
            self._seconds = _MEMORY * self._seconds + counters["state_ns"] / 1e9
            self._tokens = _MEMORY * self._tokens + moved

    def swaps(self, computed: int, shared: int, token_seconds: float | None) -> bool:
        """Whether to swap out a sequence with `computed` tokens, of which `shared` are also others', who keep them.

        `token_seconds`: what a prompt's token costs, None if that is not known.
        """
        if self._mode != "auto":
            return self._mode == "swap"
        moving = self.move_seconds
        if self._exact or moving is None or token_seconds is None:
            return True
        return 2 * computed * moving <= (computed - shared) * token_seconds
