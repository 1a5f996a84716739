"""EngineStats: everything that is counted, as one flat value."""

from __future__ import annotations

from dataclasses import dataclass, field, fields


@dataclass(slots=True)
class EngineStats:
    """Counters since the start (they only grow), then gauges now. Tokens, blocks, sequences and calls, no seconds."""

    executed_tokens: int = 0
    """Tokens handed to the runner: prefilled and decoded ones."""
    prefilled_tokens: int = 0
    """Of these, tokens of prompts (and of preempted sequences that are computed again)."""
    decoded_tokens: int = 0
    """Tokens drawn."""
    drafted_tokens: int = 0
    """Tokens guessed and checked."""
    accepted_tokens: int = 0
    """Of these, tokens that were drawn."""
    decode_calls: int = 0
    """Steps that computed something."""
    batch_sequences_total: int = 0
    """Sum over these steps of the sequences in them."""
    prompt_tokens: int = 0
    """Prompt tokens of the sequences that started."""
    cached_tokens: int = 0
    """Of these, tokens that came from the prefix cache."""
    added: int = 0
    finished: int = 0
    """Sequences that ended well (stop, length, a stop string)."""
    failed: int = 0
    """Sequences that ended with an error."""
    aborts: int = 0
    abort_steps: int = 0
    """Steps that ended between an abort's arrival and the release of its blocks, summed over all aborts."""
    preemptions: int = 0
    swaps: int = 0
    """Of these, sequences whose whole state was parked for them."""
    recomputed_tokens: int = 0
    """Tokens computed once more after a preemption."""
    deferrals: int = 0
    """Times that a sequence waited for a block that another was computing."""
    paced_steps: int = 0
    """Steps with prompts that held fewer of their tokens than there was room for, so that streams went on."""
    failed_steps: int = 0
    adapter_changes: int = 0
    """Steps that computed with other adapters than the one before."""
    parks: int = 0
    failed_parks: int = 0
    restores: int = 0
    failed_restores: int = 0
    evictions: int = 0
    """Cached blocks (paged) or parked states (sequence storage) that made room."""
    spills: int = 0
    """Parked states that were told to leave memory for the disk."""
    failed_spills: int = 0
    """Of these, states that did not get there."""
    spill_evictions: int = 0
    """States on the disk that made room there."""
    spill_restores: int = 0
    """Restores from the disk that were begun."""
    failed_spill_restores: int = 0

    blocks_total: int = 0
    blocks_active: int = 0
    blocks_cached: int = 0
    blocks_free: int = 0
    cells_unused: int = 0
    """Places for tokens in the blocks of running sequences that nothing was written to yet."""
    waiting: int = 0
    waiting_low: int = 0
    """Of these, sequences that came with a priority below 0."""
    waiting_normal: int = 0
    waiting_high: int = 0
    running: int = 0
    queue_seconds: float = 0.0
    """Seconds until whoever came now would have its turn behind all that wait; -1 where that is not known yet."""
    swapped: int = 0
    """Of those that wait, sequences whose state is parked for them."""
    parked_states: int = 0
    parked_blocks: int = 0
    """Sum of the lengths of parked states."""
    parked_bytes: int = 0
    """What parked states take, as the runner says."""
    spilled_states: int = 0
    spilled_bytes: int = 0
    """What states on the disk take there, of those that are written."""
    abort_steps_most: int = 0
    """The most steps that one abort waited for, so far."""

    runner: dict[str, int] = field(default_factory=dict)
    """What the runner counts of itself, summed over all steps."""

    @property
    def counters(self) -> dict[str, int]:
        """All counters by name; the runner's own begin with `runner_`."""
        found = {name: getattr(self, name) for name in _COUNTERS}
        found.update((f"runner_{name}", value) for name, value in self.runner.items())
        return found

    @property
    def gauges(self) -> dict[str, float]:
        """All gauges by name."""
        return {name: getattr(self, name) for name in _GAUGES}


_GAUGES = (
    "blocks_total",
    "blocks_active",
    "blocks_cached",
    "blocks_free",
    "cells_unused",
    "waiting",
    "waiting_low",
    "waiting_normal",
    "waiting_high",
    "running",
    "queue_seconds",
    "swapped",
    "parked_states",
    "parked_blocks",
    "parked_bytes",
    "spilled_states",
    "spilled_bytes",
    "abort_steps_most",
)
_COUNTERS = tuple(field.name for field in fields(EngineStats) if field.name not in (*_GAUGES, "runner"))
