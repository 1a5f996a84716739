"""Sequence, the one mutable noun: a request's tokens, how many are computed, and where it stands."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass

from arriero.core.runner import Adapters, Sampler, Scorer
from arriero.engine.chain import TokenChain
from arriero.engine.ngrams import Ngrams
from arriero.engine.stakes import Stake
from arriero.engine.trust import Trust


@dataclass(frozen=True, slots=True)
class SequenceSpec:
    """What the engine is asked to continue.

    `max_tokens` < 0: bounded by the context alone. A token of `stop_ids` ends the sequence once `min_tokens` were
    drawn. Only sequences with the same `adapters` share cached blocks, or may be in one step. A greater `priority` goes
    first; within one, the tenant (who asks) that was served least. Without `use_cache` all tokens are computed; others
    may use what that gives. A `scorer` is for all tokens of the prompt but the first, so it needs `use_cache` off.
    No more than `draft_tokens` are guessed ahead, None for as many as pay; `prediction` is text that the answer may
    repeat. `model` is the name that it was asked of, and only counted by.
    """

    id: int
    tokens: list[int]
    sampler: Sampler
    max_tokens: int = -1
    stop_ids: frozenset[int] = frozenset()
    min_tokens: int = 0
    priority: int = 0
    tenant: str = ""
    use_cache: bool = True
    draft_tokens: int | None = None
    prediction: tuple[int, ...] = ()
    deadline: float | None = None
    """When its answer must have begun, in the seconds of the steps' `now`; it ends with an error if it has not."""
    scorer: Scorer | None = None
    adapters: Adapters = ()
    model: str = ""

    @property
    def cache_salt(self) -> bytes:
        """What keeps the blocks of sequences apart that must not share any: their adapters."""
        return repr(self.adapters).encode() if self.adapters else b""


class Status(enum.Enum):
    """Where a sequence stands. WAITING ⇄ RUNNING (a preempted one waits again); both end in FINISHED."""

    WAITING = enum.auto()
    RUNNING = enum.auto()
    FINISHED = enum.auto()


class IllegalMoveError(RuntimeError):
    """A sequence was moved in a way that its status does not allow: a bug in the caller."""


class Sequence:
    """A spec under way. `tokens` is prompt, then output; the first `num_computed` have their KV stored."""

    __slots__ = (
        "accepted",
        "admitted_tokens",
        "arrival",
        "block_table",
        "blocked_on",
        "cached_tokens",
        "chain",
        "drafted",
        "held_from",
        "high_water",
        "id",
        "ngrams",
        "num_computed",
        "num_looked_up",
        "num_registered",
        "order",
        "place",
        "prompt_len",
        "rank",
        "since",
        "slot",
        "spec",
        "stake",
        "started",
        "status",
        "tail",
        "tokens",
        "trust",
        "use_cache",
    )

    def __init__(self, spec: SequenceSpec, arrival: int, block_size: int) -> None:
        """Copy the spec's tokens; `arrival` numbers sequences in the order they came."""
        if not spec.tokens:
            raise ValueError("a sequence needs at least one token")
        self.spec = spec
        self.id = spec.id
        self.arrival = arrival
        self.since: float | None = None  # seconds; when it came, as the first step after that tells
        self.place: tuple[float, int] = (math.inf, arrival)  # among its tenant's in its class: see `came`
        self.rank = spec.priority  # the highest class in which it was admitted: who waits long rises
        self.order: tuple[float, ...] = ()  # among those that run; kept by the scheduler
        self.tokens = list(spec.tokens)
        self.prompt_len = len(self.tokens)
        self.chain = TokenChain(self.tokens, block_size, spec.cache_salt)
        self.status = Status.WAITING
        self.slot = -1
        self.block_table: list[int] = []
        self.num_computed = 0
        self.held_from = 0  # the first token that every layer of its slot still holds; kept by the storage
        self.num_registered = 0  # full blocks that others may find; kept by the storage
        self.tail: bytes | None = None  # key of its prompt but for the last token, once others may find that; as above
        self.admitted_tokens = 0  # tokens at admission: what comes after them was drawn in this run
        self.cached_tokens = 0  # of the first admission
        self.high_water = 0  # tokens computed before the last preemption
        self.started = False
        self.use_cache = spec.use_cache
        self.ngrams: Ngrams | None = None  # of the tokens below num_looked_up; kept by speculation
        self.num_looked_up = 0
        self.drafted = 0  # tokens that were guessed,
        self.accepted = 0  # and of these, those that were drawn
        self.trust = Trust()  # in the draft model
        self.stake: Stake | None = None  # what guesses may cost it; kept by speculation
        self.blocked_on: bytes | None = None  # key of a block that another sequence is computing

    @property
    def num_output(self) -> int:
        """Tokens drawn so far."""
        return len(self.tokens) - self.prompt_len

    def came(self, now: float, patience: float) -> None:
        """Note when the first step began that knows of it.

        Whoever must begin earliest goes first; without a deadline, or with a late one, that is `patience` from now.
        """
        self.since = now
        due = now + patience
        self.place = (due if self.spec.deadline is None else min(due, self.spec.deadline), self.arrival)

    def start(self, slot: int, block_table: list[int], cached: int) -> None:
        """WAITING → RUNNING in `slot`, with the KV of the first `cached` tokens already there."""
        if self.status is not Status.WAITING or not 0 <= cached < len(self.tokens):
            raise IllegalMoveError(f"sequence {self.id} cannot start: {self.status.name}, {cached} tokens cached")
        self.status = Status.RUNNING
        self.slot = slot
        self.block_table = block_table
        self.num_computed = cached
        self.admitted_tokens = len(self.tokens)
        if not self.started:
            self.cached_tokens = cached

    def advance(self, computed: int) -> None:
        """Record that the KV of the first `computed` tokens is stored."""
        if self.status is not Status.RUNNING or not self.num_computed < computed <= len(self.tokens):
            raise IllegalMoveError(f"sequence {self.id} cannot advance to {computed}: {self.status.name}")
        self.num_computed = computed

    def append(self, token: int) -> None:
        """Add a drawn token; everything before it must be computed."""
        if self.status is not Status.RUNNING or self.num_computed != len(self.tokens):
            raise IllegalMoveError(f"sequence {self.id} cannot take a token: {self.status.name}")
        self.tokens.append(token)

    def preempt(self) -> None:
        """RUNNING → WAITING; its KV is given up and computed again later."""
        if self.status is not Status.RUNNING:
            raise IllegalMoveError(f"sequence {self.id} cannot be preempted: {self.status.name}")
        self.status = Status.WAITING
        self.high_water = max(self.high_water, self.num_computed)
        self._leave()

    def finish(self) -> None:
        """WAITING or RUNNING → FINISHED, for good."""
        if self.status is Status.FINISHED:
            raise IllegalMoveError(f"sequence {self.id} is already finished")
        self.status = Status.FINISHED
        self._leave()

    def _leave(self) -> None:
        self.slot = -1
        self.block_table = []
        self.num_computed = 0
        self.num_registered = 0
        self.held_from = 0

    def __repr__(self) -> str:
        return f"Sequence({self.id}, {self.status.name}, {self.num_computed}/{len(self.tokens)})"
