"""How the engine schedules: one frozen value, born in the configuration."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

PreemptionMode = Literal["auto", "swap", "recompute"]


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """What may be tuned. ValueError for a value that no runner could honour."""

    max_batch_tokens: int = 512
    """Tokens in a step at most (the runner's own bound counts too). Smaller: steadier streams, slower prompts."""
    max_running: int | None = None
    """Sequences that run at the same time at most; None: as many as the runner has slots."""
    prefix_cache: bool = True
    """Reuse the computed blocks of equal prefixes."""
    watermark: float = 0.01
    """Share of the blocks that admission leaves free while others run, so that they can grow."""
    prefill_chunk: int | None = None
    """Prompt tokens of one sequence in a step at most; None: as many as the step has room for."""
    inter_token_target: float = 0.05
    """Seconds that prompts may add to a step for which running streams wait; 0 for no bound. Half of the tenth of a
    second that people take for no delay (Nielsen, "Usability Engineering", 1993), and a small step more often costs
    prompts little: weights are read once more for every 64 tokens at least."""
    preemption: PreemptionMode = "auto"
    """What happens to a sequence whose room others need: its state is parked and restored ("swap"), or its tokens are
    computed again as far as no cached prefix has them ("recompute"). "auto": what costs less, and a swap where results
    must not depend on others."""
    ageing: float = 10.0
    """Seconds of waiting by which a lower priority rises by one class, up to the highest that waits."""
    tenant_weights: Mapping[str, float] = field(default_factory=dict)
    """Shares of tenants that differ from 1: of two with work at all times, each gets tokens in this proportion."""

    speculation: bool = True
    """Guess tokens that a sequence's own text foretells, and check several in a step; not where results are exact."""

    def __post_init__(self) -> None:
        if self.max_batch_tokens < 1:
            raise ValueError(f"max_batch_tokens must be at least 1, not {self.max_batch_tokens}")
        if self.max_running is not None and self.max_running < 1:
            raise ValueError(f"max_running must be at least 1, not {self.max_running}")
        if not 0.0 <= self.watermark < 1.0:
            raise ValueError(f"watermark must be at least 0 and less than 1, not {self.watermark}")
        if self.prefill_chunk is not None and self.prefill_chunk < 1:
            raise ValueError(f"prefill_chunk must be at least 1, not {self.prefill_chunk}")
        if not 0 <= self.inter_token_target < math.inf:
            raise ValueError(f"inter_token_target must be 0 or more seconds, not {self.inter_token_target}")
        if self.preemption not in get_args(PreemptionMode):
            raise ValueError(f"preemption must be auto, swap or recompute, not {self.preemption!r}")
        if not self.ageing > 0:
            raise ValueError(f"ageing must be more than 0 seconds, not {self.ageing}")
        if any(not 0 < weight < math.inf for weight in self.tenant_weights.values()):
            raise ValueError("tenant_weights must be finite and more than 0")
