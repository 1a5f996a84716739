"""Tallies: what is counted of sequences by the model that each was asked of; several may share one engine."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass

from arriero.engine.sequence import Sequence, Status


@dataclass(slots=True)
class Tally:
    """Of one model: counters under the names of EngineStats, which counts the same over all of them."""

    added: int = 0
    finished: int = 0
    failed: int = 0
    aborts: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    decoded_tokens: int = 0
    drafted_tokens: int = 0
    accepted_tokens: int = 0

    def take(self, sequence: Sequence) -> None:
        """Add what `sequence` has had so far."""
        if sequence.started:
            self.prompt_tokens += sequence.prompt_len
            self.cached_tokens += sequence.cached_tokens
        self.decoded_tokens += sequence.num_output
        self.drafted_tokens += sequence.drafted
        self.accepted_tokens += sequence.accepted

    @property
    def counters(self) -> dict[str, int]:
        """All counters by name."""
        return asdict(self)


class Tallies:
    """Counts whoever enters and ends, by `SequenceSpec.model`; a step costs nothing."""

    def __init__(self) -> None:
        self._tallies: dict[str, Tally] = {}

    def enter(self, sequence: Sequence) -> None:
        """Count a new sequence."""
        self._tallies.setdefault(sequence.spec.model, Tally()).added += 1

    def end(self, sequence: Sequence, reason: str, *, failed: bool) -> None:
        """Count a sequence that ends; each is told once."""
        tally = self._tallies[sequence.spec.model]
        tally.take(sequence)
        if reason == "abort":
            tally.aborts += 1
        elif failed:
            tally.failed += 1
        else:
            tally.finished += 1

    def counters(self, live: Iterable[Sequence]) -> dict[str, dict[str, int]]:
        """Return all counters by model, with what the `live` sequences have had so far. They only grow."""
        found = {model: Tally(**tally.counters) for model, tally in self._tallies.items()}
        for sequence in live:
            found[sequence.spec.model].take(sequence)
        return {model: tally.counters for model, tally in found.items()}

    def gauges(self, live: Iterable[Sequence]) -> dict[str, dict[str, float]]:
        """Return by model how many of the `live` sequences run and wait, named as in EngineStats."""
        names = ("running", "waiting", "waiting_low", "waiting_normal", "waiting_high")
        found: dict[str, dict[str, float]] = {model: dict.fromkeys(names, 0) for model in self._tallies}
        for sequence in live:
            mine = found[sequence.spec.model]
            if sequence.status is not Status.WAITING:
                mine["running"] += 1
                continue
            priority = sequence.spec.priority
            mine["waiting"] += 1
            mine["waiting_low" if priority < 0 else "waiting_high" if priority else "waiting_normal"] += 1
        return found
