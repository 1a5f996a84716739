"""Scheduler: decides what the next step computes. It acts on nothing and reads no clock.

Decode first, then chunks of prompts and admission: by priority, then the least served tenant, then who is due first.
Who stands where is the roster's (roster.py), what a step's output means is outcome.py's.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence as Items

from arriero.core.errors import ContextLengthExceeded, ErrorInfo
from arriero.core.runner import Adapters, Batch, Drafter, RunnerInfo, Span, StepOutput
from arriero.engine.adapter_turns import AdapterTurns
from arriero.engine.events import EngineEvent
from arriero.engine.options import EngineOptions
from arriero.engine.outcome import Outcome
from arriero.engine.pace import Pace
from arriero.engine.preemption import Preemption
from arriero.engine.prefixes import Prefixes
from arriero.engine.queue_times import QueuePlace, QueueTimes
from arriero.engine.roster import PATIENCE_ALONE, Roster
from arriero.engine.run_ahead import LONGEST, RunAhead, TellEarly, steps_ahead
from arriero.engine.sequence import Sequence, SequenceSpec, Status
from arriero.engine.speculation import Speculation
from arriero.engine.stats import EngineStats
from arriero.engine.storage import KVStorage

LEAST_CHUNK = 64
"""Prompt tokens of a chunk at least, where as many are left and a step is not too small for it. Measured (135 M
parameters, Q8_0 and Q4_0, 512 tokens, processor time of one thread): chunks of 64 to 256 cost the same, one of 512 8 to
11 % more, and those of 32 1 to 6 % more; smaller ones read the weights for ever fewer rows."""
GATHER_SHARE = 0.04
"""Of the time that prompts will take, what they wait for others to be computed with them. Measured (135 M parameters,
Q8_0, prompts of 38 tokens): one by itself takes 1.8 ms a token, eight together 1.3."""
SHORT_REST = 128
"""Prompt tokens: what has no more to compute shares a step with as many others as fit. They are over at once, and come
in bursts; of longer prompts a step takes only as many tokens as somebody who comes just then should wait for."""
_LOOKUPS = 16  # prefix look-ups in a step at most: each walks a whole prompt, and streams wait meanwhile


class Scheduler:
    """Plans steps for the sequences of one roster, over one KV storage.

    Every batch that `schedule` returns must come back through `commit` or `fail` before the next one.
    """

    def __init__(
        self,
        info: RunnerInfo,
        options: EngineOptions,
        storage: KVStorage,
        stats: EngineStats,
        drafter: Drafter | None = None,
    ) -> None:
        self._storage = storage
        self._stats = stats
        self._block_size = info.block_size
        self._repeats = info.repeats
        self.tell_early: TellEarly | None = None  # to whom tokens go that are drawn before the next plan
        self._align = info.chunk_align
        self._budget = min(options.max_batch_tokens, info.max_batch_tokens)
        self._prefill_chunk = options.prefill_chunk or self._budget
        least = max(1, self._align)  # tokens that the oldest prompt under way must find room for, else it starves
        if least > self._budget:
            raise ValueError(f"steps of {self._budget} tokens cannot hold a chunk of {least}")
        self._least_chunk = max(least, min(LEAST_CHUNK, self._budget // 8))
        self._pace = Pace(options.inter_token_target, self._least_chunk)
        self._queue_times = QueueTimes()
        self._preemption = Preemption(options.preemption, exact=info.deterministic or info.chunk_align > 0)
        bounds = [info.max_sequences, self._budget - least + 1, options.max_running or info.max_sequences]
        self.max_running = min(bounds)
        self.capacity = min(info.max_sequence_tokens, info.active_blocks * info.block_size)
        self._watermark = math.ceil(options.watermark * info.active_blocks)
        self._roster = Roster(options, storage, stats)
        self._prefixes = Prefixes(storage, self._roster)
        self._turns = AdapterTurns()
        self._outcome = Outcome(self._roster, storage, stats, info.block_size, self.capacity)
        self._speculation = Speculation(info, options, self.capacity, drafter)
        self._batch: Batch | None = None
        self._in_batch: list[Sequence] = []  # the sequence of each span
        self._prompt_tokens = 0  # of prompts in this step
        self._room = 0  # for them, as far as the runner goes
        self._long_end = 0  # of the step, for prompts of which more is left than SHORT_REST
        self._speaking: str | None = None  # the tenant who gets a first token by this step
        self._left_out = False  # whether others' prompts have no part in it for that,
        self._may_leave_out = True  # which does not happen twice in a row
        self._events: list[EngineEvent] = []  # not about a step; told by the next one
        self._arrivals = 0

    @property
    def has_work(self) -> bool:
        """Whether a step would do or tell anything."""
        return bool(self._roster.live or self._events or self._storage.has_operations())

    @property
    def gather_seconds(self) -> float:
        """How long the next step may wait for more prompts to begin with it; 0 where somebody is under way."""
        cost, live = self._pace.token_seconds, self._roster.live
        if self._roster.running or cost is None or self._align or not 0 < len(live) < self.max_running:
            return 0.0
        goes_on = self._storage.goes_on
        return GATHER_SHARE * cost * sum(len(one.tokens) for one in live.values() if not goes_on(one.chain))

    @property
    def num_running(self) -> int:
        """Sequences that hold a slot."""
        return len(self._roster.running)

    @property
    def cells_unused(self) -> int:
        """Places in the blocks of running sequences that hold no token yet; each is one sequence's own."""
        held = ((len(s.block_table) * self._block_size, s.num_computed) for s in self._roster.running)
        return sum(places - stored for places, stored in held)

    def waiting(self) -> Counter[int]:
        """Sequences that have not ended and hold no slot, by the priority they came with."""
        return self._roster.waiting()

    def by_model(self) -> tuple[dict[str, dict[str, int]], dict[str, dict[str, float]]]:
        """Counters and gauges of sequences by the model that they were asked of."""
        tallies, live = self._roster.tallies, self._roster.live.values()
        return tallies.counters(live), tallies.gauges(live)

    def _num_waiting(self) -> int:
        return len(self._roster.live) - len(self._roster.running)

    def place(self, spec: SequenceSpec | None = None) -> QueuePlace:
        """Where `spec` would stand if it came now; without one, whoever is behind all that wait."""
        ahead = self._num_waiting() if spec is None else self._roster.ahead(spec)
        slots = self.num_running < self.max_running and self._storage.num_free_slots > 0
        return self._queue_times.place(ahead, free=slots and self._roster.stalled is None)

    def add(self, spec: SequenceSpec) -> None:
        """Take a sequence in. One that can never fit ends with ContextLengthExceeded. ValueError for a used id."""
        if spec.id in self._roster.live:
            raise ValueError(f"sequence {spec.id} is there already")
        sequence = Sequence(spec, self._arrivals, self._block_size)
        self._arrivals += 1
        self._roster.enter(sequence)
        if sequence.prompt_len > self.capacity:
            error = ContextLengthExceeded(
                f"the prompt has {sequence.prompt_len} tokens, the context holds {self.capacity}",
                prompt_tokens=sequence.prompt_len,
                context_length=self.capacity,
            )
            self._events.append(self._roster.end(sequence, "error", error.info()))
        elif spec.max_tokens == 0:
            self._events.append(self._roster.end(sequence, "length"))
        else:
            self._roster.queue(sequence)

    def end(self, sequence_id: int, reason: str) -> bool:
        """End a sequence from outside, in whatever state; False if it is not known (any more)."""
        sequence = self._roster.live.get(sequence_id)
        if sequence is None:
            return False
        self._events.append(self._roster.end(sequence, reason))
        if not self._roster.live:
            self._pace.pause()
            self._speculation.pause()
        return True

    def schedule(self, now: float) -> Batch | None:
        """Return the next step, None if there is nothing to do. `now` in seconds: what waits rises by it.

        At most one span a slot. Every running sequence is in it that has a token to decode and the step's adapters. A
        prompt under way lets a waiting one of its class go first whose tenant was served less.
        """
        if self._batch is not None:
            raise RuntimeError("the last batch was neither committed nor failed")
        batch = Batch()
        self._in_batch = []
        self._prompt_tokens = 0
        self._speaking, self._may_leave_out, self._left_out = None, not self._left_out, False
        self._events += self._roster.begin_step(now)
        admitted = self._roster.admitted
        self._pace.begin(now)
        batch.adapters = self._next_adapters(now)
        self._speculation.begin(now)
        budget, prefilling, preempted = self._schedule_decodes(batch)
        decoded, room = len(batch.spans), budget
        self._long_end = room
        if prefilling or self._num_waiting():
            patience = self._roster.patience() if decoded else self._roster.patience_alone()
            self._long_end = self._pace.bound(room, min(patience, PATIENCE_ALONE))
            budget = self._pace.bound(room, patience) if decoded else room
        self._room = room
        paced = budget < room
        standing = self._roster.shares.standing
        for sequence in sorted(prefilling, key=lambda s: (-s.rank, standing(s.spec.tenant), s.place)):
            if sequence.status is Status.RUNNING:
                budget = budget if preempted else self._admit(batch, budget, now, sequence)
                budget -= self._add_chunk(batch, sequence, budget)
        if not preempted:
            self._admit(batch, budget, now)
        self._pace.planned(decoded, self._prompt_tokens)
        self._speculation.planned(0 if self._prompt_tokens else self._budget - room)
        self._stats.paced_steps += paced and self._prompt_tokens > 0
        self._queue_times.step(now, self._roster.admitted - admitted, self._num_waiting())
        if 0 < decoded == len(self._roster.running) == len(batch.spans) and not preempted:
            batch.repeat = self._run_ahead()
        self._storage.take_operations(batch)
        if not (batch.spans or batch.parks or batch.spills or batch.frees or batch.drops or batch.fetches):
            return None
        self._batch = batch
        return batch

    def _next_adapters(self, now: float) -> Adapters:
        """The set that this step computes with: of those that run, in turns, else that of who is next."""
        if not self._roster.running:
            first = self._roster.line.first(now)
            return () if first is None else self._turns.choose([first[0].spec.adapters])
        chosen = self._turns.choose(sequence.spec.adapters for sequence in self._roster.running)
        self._stats.adapter_changes = self._turns.changes
        return chosen

    def _schedule_decodes(self, batch: Batch) -> tuple[int, list[Sequence], bool]:
        """Add a token of each decoding sequence; return the budget left, prompts under way, and if any lost out."""
        running, block_size, budget = self._roster.running, self._block_size, self._budget
        prefilling: list[Sequence] = []
        mine = [sequence for sequence in running if sequence.spec.adapters == batch.adapters]
        coming = min(self._num_waiting(), self.max_running - len(running))
        drafts = self._speculation.plan(mine, budget - len(mine), coming)
        preempted, index = False, 0
        while index < len(running):
            sequence = running[index]
            index += 1
            length = len(sequence.tokens)
            if sequence.spec.adapters != batch.adapters:
                continue
            if sequence.num_computed < length - 1:
                prefilling.append(sequence)
                continue
            while len(sequence.block_table) * block_size < length and not self._storage.grow(sequence):
                self._preempt(running[-1])
                preempted = True
                if sequence.status is not Status.RUNNING:
                    break
            else:
                draft = drafts.get(sequence.id, [])
                if len(sequence.block_table) * block_size < length + len(draft):
                    draft = draft if self._storage.grow(sequence, len(draft)) else []
                self._add_span(batch, sequence, length, draft)
                budget -= 1 + len(draft)
        return budget, prefilling, preempted

    def _run_ahead(self) -> RunAhead | None:
        """Leave to repeat a step in which all that run draw a token, where the next plans would be the same."""
        if not self._repeats or self.tell_early is None or self._num_waiting():
            return None
        most = min(LONGEST, self._speculation.quiet)
        steps = steps_ahead(self._in_batch, most, self.capacity, self._storage)
        return RunAhead(self._in_batch, steps, self.tell_early) if steps else None

    def _preempt(self, sequence: Sequence) -> None:
        shared = self._storage.shared_tokens(sequence)
        swap = self._preemption.swaps(sequence.num_computed, shared, self._pace.token_seconds)
        self._roster.preempt(sequence, swap=swap)

    def _add_chunk(self, batch: Batch, sequence: Sequence, budget: int) -> int:
        """Add the next chunk of a prompt; return its tokens, 0 where it does not fit."""
        if self._leaves_out(sequence, sequence.num_computed):
            return 0
        size = self._chunk(sequence.num_computed, len(sequence.tokens), budget)
        if size == len(sequence.tokens) - sequence.num_computed and len(self._roster.running) < self.max_running:
            size -= self._prefixes.put_off(sequence, SHORT_REST)
        if size:
            end = sequence.num_computed + size
            fresh = min(end, sequence.prompt_len) - max(sequence.num_computed, sequence.high_water)
            self._roster.shares.charge(sequence.spec.tenant, max(0, fresh))  # what is computed once more was paid for
            self._add_span(batch, sequence, end)
            self._prompt_tokens += size
            if self._speaking is None and end == len(sequence.tokens) and not sequence.num_output:
                self._speaking = sequence.spec.tenant
        return size

    def _leaves_out(self, sequence: Sequence, start: int) -> bool:
        """Whether a prompt has to wait for the next step, for another tenant's first token is to come soon.

        What is small enough not to be felt goes with it; where a full step is short anyway, so does everything.
        """
        if not self._may_leave_out or self._speaking in (None, sequence.spec.tenant) or self._long_end == self._room:
            return False
        out = len(sequence.tokens) - start > self._least_chunk - self._prompt_tokens
        self._left_out = self._left_out or out
        return out

    def _chunk(self, start: int, length: int, budget: int) -> int:
        if self._align:
            end = min(length, (start // self._align + 1) * self._align)
            return end - start if end - start <= budget else 0
        wanted = min(length - start, self._prefill_chunk)
        if length - start > SHORT_REST:
            budget = min(budget, self._long_end - self._prompt_tokens)
        least = min(wanted, self._least_chunk)
        if not self._prompt_tokens or least <= budget:
            return max(0, min(wanted, budget))
        # What others have left of the step is not worth a call of its own, unless a little more makes it one.
        return least if least <= 2 * budget and least <= self._room - self._prompt_tokens else 0

    def _add_span(self, batch: Batch, sequence: Sequence, end: int, draft: Items[int] = ()) -> None:
        tokens = sequence.tokens
        batch.spans.append(
            Span(
                sequence.slot,
                tokens,
                sequence.num_computed,
                end,
                sequence.prompt_len,
                sequence.block_table,
                sequence.spec.sampler if end == len(tokens) else None,
                sequence.spec.scorer if sequence.num_computed < sequence.prompt_len - 1 else None,
                draft,
            )
        )
        self._in_batch.append(sequence)

    def _admit(self, batch: Batch, budget: int, now: float, before: Sequence | None = None) -> int:
        """Start waiting sequences in order, until the first that does not fit; return the budget left.

        With `before`, a prompt under way, only those that it lets go first.
        """
        roster = self._roster
        for _ in range(_LOOKUPS):
            if budget <= 0 or len(roster.running) >= self.max_running or not self._storage.num_free_slots:
                break
            first = roster.line.first(now, before)
            if first is None or (roster.stalled == first[0].id and roster.running):
                break
            sequence, rank = first
            match = self._prefixes.match(sequence)
            if match is None:
                continue
            if roster.running and self._storage.comes_later(match):
                break  # nobody's stream waits for a disk
            here = sequence.spec.adapters == batch.adapters  # else it gets its slot now, and tokens in its turn
            start = match.blocks * self._block_size + match.tail
            size = 0 if self._leaves_out(sequence, start) else self._chunk(start, len(sequence.tokens), budget)
            if (here and not size) or not roster.admit(sequence, rank, match, self._watermark if roster.running else 0):
                break
            self._prefixes.claim(sequence, match)
            budget -= self._add_chunk(batch, sequence, budget) if here else 0
        return budget

    def commit(self, output: StepOutput, now: float) -> list[EngineEvent]:
        """Take in what the last batch gave; return what happened. `now` in seconds, as for `schedule`."""
        batch = self._take_batch()
        self._preemption.learn(batch, output.counters)
        told = batch.repeat.told if isinstance(batch.repeat, RunAhead) else 0
        self._pace.repeated(1 + told)
        self._speculation.repeated(1 + told)
        return self._told(self._outcome.commit(batch, self._in_batch, output, told))

    def fail(self, error: ErrorInfo) -> list[EngineEvent]:
        """The runner raised: nobody knows how far it came. The batch's sequences end, the others go on."""
        batch = self._take_batch()
        self._storage.redo(batch)
        return self._told(self._outcome.fail(batch, self._in_batch, error))

    def drain(self) -> list[EngineEvent]:
        """Return what is to be told and belongs to no step."""
        events, self._events = self._events, []
        return events

    def _told(self, events: list[EngineEvent]) -> list[EngineEvent]:
        if not self._roster.live:
            self._pace.pause()
            self._speculation.pause()
        return [*self.drain(), *events]

    def _take_batch(self) -> Batch:
        if self._batch is None:
            raise RuntimeError("there is no batch under way")
        batch, self._batch = self._batch, None
        return batch

    def check(self) -> None:
        """Raise AssertionError if lists, claims and storage contradict each other."""
        self._roster.check(self.max_running)
