"""The contract between engine and kernels: a Batch in, a StepOutput out. Ids, spans and opaque handles, no tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol

Adapters = tuple[tuple[str, float], ...]
"""LoRA adapters that change the weights of a step: the file of each, and how strongly. Empty: the model as it is."""


class Choice(NamedTuple):
    """A drawn token; log probabilities only where they were asked for.

    `end`: nothing may follow it. `error`: no token could be drawn, and why; the sequence must end.
    """

    token: int
    logprob: float | None = None
    top: tuple[tuple[int, float], ...] = ()
    end: bool = False
    error: str | None = None


class Sampler(Protocol):
    """One request's sampler. A pure function of its parameters, `tokens` and `logits`: it keeps no position."""

    def sample(self, logits: Any, tokens: Sequence[int], prompt_len: int) -> Choice:
        """Draw the token after `tokens` (prompt, then output); `logits` is float32[n_vocab], may be overwritten."""


class Scorer(Protocol):
    """Says how likely the tokens of a prompt were; it keeps no position."""

    def score(self, logits: Any, token: int) -> Choice:
        """What the model thought of `token`, given the float32[n_vocab] after what stands before it."""


class Prefix(NamedTuple):
    """The tokens of a parked state, and the root of the keys under which the engine shares them."""

    root: bytes
    tokens: tuple[int, ...]


class Stored(NamedTuple):
    """A spilled state that was there when the runner started, and the bytes of its file."""

    prefix: Prefix
    size: int


@dataclass(frozen=True, slots=True)
class RunnerInfo:
    """What a runner can do, as data.

    `storage` "paged": blocks are places, cached blocks stay where they are. "sequence": KV lives in `max_sequences`
    slots, and what no running sequence holds lives in parked states of at most `parked_blocks` blocks in all, and of
    at most `parked_bytes` bytes where that is not 0: then the runner reports what each state takes.
    `active_blocks` bounds the blocks that running sequences refer to. `prefix_sharing` says which part of a cached
    state can be reused: any prefix, only the whole, none. `window` > 0: some layers see so many tokens only, so that a
    parked state of more than these can only be used whole, and a slot that was filled with one gives others a prefix
    only if that reaches the window's width beyond what the state kept. `chunk_align` > 0: prefill chunks end at its
    multiples.
    `kv_cache_type` is what K and V are kept as: a state can only be restored where that is the same.
    `max_draws` > 0: spans may have drafts; those that were drawn before draw at most so many tokens then, with those
    behind draft tokens; with `even_drafts` it is fast only where all its spans have equally many. Kernels work on
    `row_tile` rows at once: a batch with drafts is filled up to a multiple of it, unless it has several spans and
    drafts are even. `repeats`: it does further steps where a batch's `repeat` asks for them.

    Parked states of at least `spill_blocks` blocks can be spilled, 0: none can; `stored` are those of earlier runs.
    """

    n_vocab: int
    max_sequences: int
    max_sequence_tokens: int
    max_batch_tokens: int
    active_blocks: int
    parked_blocks: int = 0
    parked_bytes: int = 0
    block_size: int = 16
    storage: Literal["paged", "sequence"] = "sequence"
    prefix_sharing: Literal["any", "whole", "none"] = "any"
    window: int = 0
    spill_blocks: int = 0
    stored: Mapping[int, Stored] = field(default_factory=dict)
    layout: str = ""
    kv_cache_type: str = ""
    deterministic: bool = False
    chunk_align: int = 0
    max_draws: int = 0
    even_drafts: bool = False
    row_tile: int = 1
    repeats: bool = False
    memory: dict[str, int] = field(default_factory=dict)  # bytes: weights, kv, compute, a draft model's
    layers_total: int = 0
    layers_gpu: int = 0


@dataclass(frozen=True, slots=True)
class Park:
    """Keep the first `num_tokens` of `slot` as the parked state `parked`.

    Where the batch does not free the slot too, a runner that copies whole slots may keep more.
    """

    slot: int
    parked: int
    num_tokens: int


@dataclass(frozen=True, slots=True)
class Spill:
    """Move the parked state `parked`, of the tokens `prefix`, out of memory to where it outlives the runner.

    It can be restored and dropped as before. `last`: nothing but spills comes any more.
    """

    parked: int
    prefix: Prefix
    last: bool = False


@dataclass(frozen=True, slots=True)
class Restore:
    """Fill the empty `slot` with the first `num_tokens` of a running slot or of a parked state.

    Where `from_slot` is `slot` itself, it is not empty: it keeps so many of its tokens, for another sequence.
    """

    slot: int
    num_tokens: int
    from_slot: int | None = None
    from_parked: int | None = None


@dataclass(slots=True)
class Span:
    """The tokens `tokens[start:end]` of the sequence in `slot`; with a sampler, the token after them is drawn.

    With a scorer, so is how likely each token of the prompt was that stands behind one of them. `draft` guesses what
    is drawn: where the draw is the guess, the next token is drawn as well, and so on; of the tokens that were computed
    for it, `slot` keeps those that were drawn. Only a span of one token, that was drawn before, has a draft.
    """

    slot: int
    tokens: Sequence[int]
    start: int
    end: int
    prompt_len: int
    block_table: Sequence[int] = ()
    sampler: Sampler | None = None
    scorer: Scorer | None = None
    draft: Sequence[int] = ()

    @property
    def scored(self) -> range:
        """The places in `tokens` whose log probabilities are asked for: those in the prompt, none without a scorer."""
        return range(self.start + 1, min(self.end + 1, self.prompt_len) if self.scorer is not None else 0)


Repeat = Callable[[Sequence[Choice | None]], bool]


@dataclass(slots=True)
class Batch:
    """One step. A runner does parks, spills, frees, restores, drops and spans, in this order."""

    spans: list[Span] = field(default_factory=list)
    parks: list[Park] = field(default_factory=list)
    frees: list[int] = field(default_factory=list)  # slots
    restores: list[Restore] = field(default_factory=list)
    drops: list[int] = field(default_factory=list)  # parked states
    spills: list[Spill] = field(default_factory=list)
    adapters: Adapters = ()  # of all spans
    fetches: list[int] = field(default_factory=list)  # spilled states to bring near meanwhile: a step waits for none
    repeat: Repeat | None = None
    """Asked after each step with what it drew, in the order of `spans`: whether another one follows now, of the tokens
    just drawn, with one draw of each span again. For runners whose `repeats` says so, who may leave it unasked."""


@dataclass(slots=True)
class StepOutput:
    """`choices[i]` belongs to `spans[i]`, None where it has no sampler. Failed parks and restores name their ids.

    `scores[i]` has what the scorer of `spans[i]` said, token by token in the order of `Span.scored`. `further[i]` has
    what was drawn behind `choices[i]` because the draft had foreseen it, or because the step was repeated.

    `parked_sizes` gives the bytes of each state parked in this step, from runners that bound `parked_bytes`.
    """

    choices: list[Choice | None] = field(default_factory=list)
    scores: dict[int, list[Choice]] = field(default_factory=dict)
    further: dict[int, list[Choice]] = field(default_factory=dict)
    failed_parks: list[int] = field(default_factory=list)  # parked ids
    failed_restores: list[int] = field(default_factory=list)  # slots
    parked_sizes: dict[int, int] = field(default_factory=dict)  # parked id → bytes
    spilled: dict[int, int] = field(default_factory=dict)  # parked id → bytes, some steps after its Spill
    failed_spills: list[int] = field(default_factory=list)  # parked ids, gone, some steps after their Spill
    evicted_spills: list[int] = field(default_factory=list)  # spilled ones that made room since the last step
    fetched: list[int] = field(default_factory=list)  # parked ids, near or not to be had, some steps after `fetches`
    error: str | None = None  # the whole step failed: its spans must end
    counters: dict[str, int] = field(default_factory=dict)  # of this step: decode_calls, decoded_tokens, seq_copies, …


class Drafter(Protocol):
    """Guesses with a smaller model. Called from the runner's thread."""

    @property
    def max_texts(self) -> int:
        """How many texts it can follow at the same time."""

    def propose(self, texts: Mapping[int, Sequence[int]], count: int) -> dict[int, list[int]]:
        """Return up to `count` tokens that may follow each text, by its number; none for one it has to catch up with.

        A text is told apart by its number: it grows from call to call, or begins again.
        """

    def close(self) -> None:
        """Free its weights and its context."""


class Runner(Protocol):
    """Executes batches; owns weights and KV memory. Called from one thread."""

    @property
    def info(self) -> RunnerInfo:
        """What it can do; it does not change."""

    def execute(self, batch: Batch) -> StepOutput:
        """Do one step, blocking. What fails is in the output; an exception means that nobody knows what was done."""

    def tidy(self) -> bool:
        """Do some milliseconds' worth of what can wait until nothing is asked for; say whether there is more."""

    def close(self) -> None:
        """Free weights and KV; a second time does nothing."""
