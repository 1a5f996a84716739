"""Scheduler: decides what the next step computes and what its output means. It acts on nothing and reads no clock.

Decode first, then chunks of prompts and admission: by priority, then the least served tenant, then first come.
"""

from __future__ import annotations

import math
from collections import Counter

from arriero.core.errors import ContextLengthExceeded, ErrorInfo
from arriero.core.runner import Batch, RunnerInfo, Span, StepOutput
from arriero.engine.claims import Claims
from arriero.engine.events import Ended, EngineEvent, Started, TokenEvent
from arriero.engine.line import WaitingLine, rank_running
from arriero.engine.options import EngineOptions
from arriero.engine.sequence import Sequence, SequenceSpec, Status
from arriero.engine.shares import Shares
from arriero.engine.stats import EngineStats
from arriero.engine.storage import KVStorage, Match

_LOOKUPS = 16  # prefix look-ups in a step at most: each walks a whole prompt, and streams wait meanwhile


class Scheduler:
    """All sequences that have not ended, running, in line or in the claims' waiting room, over one KV storage.

    Every batch that `schedule` returns must come back through `commit` or `fail` before the next one.
    """

    def __init__(self, info: RunnerInfo, options: EngineOptions, storage: KVStorage, stats: EngineStats) -> None:
        self._storage = storage
        self._stats = stats
        self._rules = storage.rules
        self._block_size = info.block_size
        self._align = info.chunk_align
        self._budget = min(options.max_batch_tokens, info.max_batch_tokens)
        self._prefill_chunk = options.prefill_chunk or self._budget
        least = max(1, self._align)  # tokens that the oldest prompt under way must find room for, else it starves
        if least > self._budget:
            raise ValueError(f"steps of {self._budget} tokens cannot hold a chunk of {least}")
        bounds = [info.max_sequences, self._budget - least + 1, options.max_running or info.max_sequences]
        self.max_running = min(bounds)
        self.capacity = min(info.max_sequence_tokens, info.active_blocks * info.block_size)
        self._watermark = math.ceil(options.watermark * info.active_blocks)
        self._live: dict[int, Sequence] = {}
        self._shares = Shares(options.tenant_weights)
        self._line = WaitingLine(self._shares, options.ageing)
        self._new: list[Sequence] = []  # nobody has told yet when they came
        self._running: list[Sequence] = []  # as `rank_running` sorts them: the last one is preempted first
        self._unranked = False  # whether somebody has left since
        self._claims = Claims()
        self._batch: Batch | None = None
        self._in_batch: list[Sequence] = []  # the sequence of each span
        self._events: list[EngineEvent] = []  # not about a step; told by the next one
        self._arrivals = 0
        self._stalled: int | None = None  # the first in line that found no room; tried again when somebody leaves

    @property
    def has_work(self) -> bool:
        """Whether a step would do or tell anything."""
        return bool(self._live or self._events or self._storage.has_operations())

    @property
    def num_running(self) -> int:
        """Sequences that hold a slot."""
        return len(self._running)

    def waiting(self) -> Counter[int]:
        """Sequences that have not ended and hold no slot, by the priority they came with."""
        return Counter(s.spec.priority for s in self._live.values() if s.status is Status.WAITING)

    def add(self, spec: SequenceSpec) -> None:
        """Take a sequence in. One that can never fit ends with ContextLengthExceeded. ValueError for a used id."""
        if spec.id in self._live:
            raise ValueError(f"sequence {spec.id} is there already")
        sequence = Sequence(spec, self._arrivals, self._block_size)
        self._arrivals += 1
        self._stats.added += 1
        self._live[spec.id] = sequence
        self._shares.enter(spec.tenant)
        if sequence.prompt_len > self.capacity:
            error = ContextLengthExceeded(
                f"the prompt has {sequence.prompt_len} tokens, the context holds {self.capacity}",
                prompt_tokens=sequence.prompt_len,
                context_length=self.capacity,
            )
            self._events.append(self._end(sequence, "error", error.info()))
        elif spec.max_tokens == 0:
            self._events.append(self._end(sequence, "length"))
        else:
            self._new.append(sequence)
            self._line.add(sequence)

    def end(self, sequence_id: int, reason: str) -> bool:
        """End a sequence from outside, in whatever state; False if it is not known (any more)."""
        sequence = self._live.get(sequence_id)
        if sequence is None:
            return False
        self._events.append(self._end(sequence, reason))
        return True

    def schedule(self, now: float) -> Batch | None:
        """Return the next step, None if there is nothing to do. `now` in seconds: what waits rises by it.

        At most one span a slot. Every running sequence that has a token to decode is in it. A prompt under way lets
        a waiting one of its class go first whose tenant was served less.
        """
        if self._batch is not None:
            raise RuntimeError("the last batch was neither committed nor failed")
        batch = Batch()
        self._in_batch = []
        for sequence in self._new:
            sequence.since = now
        self._new = []
        if self._unranked:
            rank_running(self._running, self._shares)
            self._unranked = False
        budget, prefilling, preempted = self._schedule_decodes(batch)
        served = self._shares.served
        for sequence in sorted(prefilling, key=lambda s: (-s.rank, served(s.spec.tenant), s.arrival)):
            if sequence.status is Status.RUNNING:
                budget = budget if preempted else self._admit(batch, budget, now, sequence)
                budget -= self._add_chunk(batch, sequence, budget)
        if not preempted:
            self._admit(batch, budget, now)
        self._storage.take_operations(batch)
        if not (batch.spans or batch.parks or batch.frees or batch.drops):
            return None
        self._batch = batch
        return batch

    def _schedule_decodes(self, batch: Batch) -> tuple[int, list[Sequence], bool]:
        """Add a token of each decoding sequence; return the budget left, prompts under way, and if any lost out."""
        running, block_size, budget = self._running, self._block_size, self._budget
        prefilling: list[Sequence] = []
        preempted, index = False, 0
        while index < len(running):
            sequence = running[index]
            index += 1
            length = len(sequence.tokens)
            if sequence.num_computed < length - 1:
                prefilling.append(sequence)
                continue
            while len(sequence.block_table) * block_size < length and not self._storage.grow(sequence):
                self._preempt(running[-1])
                preempted = True
                if sequence.status is not Status.RUNNING:
                    break
            else:
                self._add_span(batch, sequence, length)
                budget -= 1
        return budget, prefilling, preempted

    def _add_chunk(self, batch: Batch, sequence: Sequence, budget: int) -> int:
        """Add the next chunk of a prompt; return its tokens, 0 where it does not fit."""
        size = self._chunk(sequence.num_computed, len(sequence.tokens), budget)
        if size:
            end = sequence.num_computed + size
            fresh = min(end, sequence.prompt_len) - max(sequence.num_computed, sequence.high_water)
            self._shares.charge(sequence.spec.tenant, max(0, fresh))  # what is computed once more was paid for
            self._add_span(batch, sequence, end)
        return size

    def _chunk(self, start: int, length: int, budget: int) -> int:
        if self._align:
            end = min(length, (start // self._align + 1) * self._align)
            return end - start if end - start <= budget else 0
        return min(length - start, self._prefill_chunk, budget)

    def _add_span(self, batch: Batch, sequence: Sequence, end: int) -> None:
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
            )
        )
        self._in_batch.append(sequence)

    def _admit(self, batch: Batch, budget: int, now: float, before: Sequence | None = None) -> int:
        """Start waiting sequences in order, until the first that does not fit; return the budget left.

        With `before`, a prompt under way, only those that it lets go first.
        """
        for _ in range(_LOOKUPS):
            if budget <= 0 or len(self._running) >= self.max_running or not self._storage.num_free_slots:
                break
            first = self._line.first(now, before)
            if first is None or (self._stalled == first[0].id and self._running):
                break
            sequence, rank = first
            match = self._match(sequence)
            if match is None:
                continue
            size = self._chunk(match.blocks * self._block_size + match.tail, len(sequence.tokens), budget)
            if not size:
                break
            if not self._storage.admit(sequence, match, self._watermark if self._running else 0):
                self._stalled = sequence.id
                break
            self._line.remove(sequence)
            sequence.rank = max(rank, sequence.rank)
            self._running.append(sequence)
            rank_running(self._running, self._shares)
            self._stats.recomputed_tokens += max(0, sequence.high_water - sequence.num_computed)
            self._claim(sequence, match)
            budget -= self._add_chunk(batch, sequence, budget)
        return budget

    def _match(self, sequence: Sequence) -> Match | None:
        """Find what is cached of a waiting sequence; None if it had better wait for a block now being computed."""
        if not (self._rules.enabled and sequence.use_cache):
            return Match()
        end = len(sequence.tokens) - 1  # the last token is always computed
        limit = self._rules.usable(end + 1)
        match = self._storage.match(sequence.chain, limit)
        if match.blocks == limit:
            match = self._storage.match_tail(sequence.chain, end) or match
        keys = self._keys(sequence, limit, end)
        coming = self._rules.cut(self._claims.covered(keys, match.blocks))
        if coming > match.blocks and not match.tail:
            self._line.remove(sequence)
            self._claims.wait(sequence, keys[coming - 1])
            self._stats.deferrals += 1
            return None
        return match

    def _keys(self, sequence: Sequence, blocks: int, end: int) -> list[bytes]:
        """The keys of the first blocks, and of what lies between them and `end` where that can be shared."""
        tail = sequence.chain.tail(end) if self._rules.tails else None
        return [*sequence.chain.keys(blocks)[:blocks], *([] if tail is None else [tail])]

    def _claim(self, sequence: Sequence, match: Match) -> None:
        blocks = self._rules.shareable(sequence, len(sequence.tokens))
        keys = self._keys(sequence, blocks, 0 if match.tail else len(sequence.tokens) - 1)
        if len(keys) > match.blocks:
            self._claims.claim(sequence.id, keys, match.blocks, len(keys))

    def commit(self, output: StepOutput, now: float) -> list[EngineEvent]:
        """Take in what the last batch gave; return what happened. `now` in seconds, as for `schedule`."""
        batch = self._take_batch()
        events, self._events = self._events, []
        lost = self._apply_failures(batch, output)
        error = output.error
        if error is None and len(output.choices) != len(batch.spans):
            error = f"{len(output.choices)} choices for {len(batch.spans)} spans"
        if error is not None:
            return self._fail_spans(events, ErrorInfo("internal", error))
        self._count(batch, output.counters)
        for index, sequence in enumerate(self._in_batch):
            if sequence.slot in lost:
                self._retry(sequence)
            else:
                self._commit_span(sequence, batch.spans[index], output, index, events)
        return events

    def _commit_span(
        self, sequence: Sequence, span: Span, output: StepOutput, index: int, events: list[EngineEvent]
    ) -> None:
        sequence.advance(span.end)
        whole = span.start < sequence.admitted_tokens <= span.end  # and with it all that it claims
        if whole or span.end // self._block_size > span.start // self._block_size:
            self._storage.computed(sequence)
            done = self._claims.cancel(sequence.id) if whole else None
            self._wake(self._claims.fulfil(sequence.id, span.end // self._block_size) if done is None else done)
        if not sequence.started:
            sequence.started = True
            self._stats.prompt_tokens += sequence.prompt_len
            self._stats.cached_tokens += sequence.cached_tokens
            events.append(Started(sequence.id, sequence.cached_tokens))
        if span.sampler is None:
            return
        choice = output.choices[index]
        if choice is None or choice.error is not None:
            error = ErrorInfo("internal", "the runner drew no token" if choice is None else choice.error or "")
            events.append(self._end(sequence, "error", error))
            return
        self._stats.decoded_tokens += 1
        self._shares.charge(sequence.spec.tenant, 1)
        sequence.append(choice.token)
        spec, drawn = sequence.spec, sequence.num_output
        events.append(TokenEvent(sequence.id, choice.token, choice.logprob, choice.top))
        if choice.end or (choice.token in spec.stop_ids and drawn > spec.min_tokens):
            events.append(self._end(sequence, "stop"))
        elif 0 <= spec.max_tokens <= drawn or len(sequence.tokens) > self.capacity:
            events.append(self._end(sequence, "length"))

    def fail(self, error: ErrorInfo) -> list[EngineEvent]:
        """The runner raised: nobody knows how far it came. The batch's sequences end, the others go on."""
        self._storage.redo(self._take_batch())
        events, self._events = self._events, []
        return self._fail_spans(events, error)

    def drain(self) -> list[EngineEvent]:
        """Return what is to be told and belongs to no step."""
        events, self._events = self._events, []
        return events

    def _take_batch(self) -> Batch:
        if self._batch is None:
            raise RuntimeError("there is no batch under way")
        batch, self._batch = self._batch, None
        return batch

    def _apply_failures(self, batch: Batch, output: StepOutput) -> set[int]:
        """Tell the storage what parks took and what the runner could not do; return the slots that hold nothing."""
        lost: set[int] = set()
        if output.parked_sizes:
            self._storage.parks_sized(output.parked_sizes)
        if not (output.failed_parks or output.failed_restores):
            return lost
        for state in output.failed_parks:
            self._storage.park_failed(state)
        for restore in batch.restores:
            source_lost = restore.from_slot in lost or restore.from_parked in output.failed_parks
            if source_lost or restore.slot in output.failed_restores:
                lost.add(restore.slot)
                self._storage.restore_failed(restore)
        return lost

    def _fail_spans(self, events: list[EngineEvent], error: ErrorInfo) -> list[EngineEvent]:
        self._stats.failed_steps += 1
        events.extend(self._end(sequence, "error", error) for sequence in self._in_batch)
        return events

    def _count(self, batch: Batch, counters: dict[str, int]) -> None:
        stats = self._stats
        for name, value in counters.items():
            stats.runner[name] = stats.runner.get(name, 0) + value
        if not batch.spans:
            return
        stats.decode_calls += 1
        stats.batch_sequences_total += len(batch.spans)
        for sequence, span in zip(self._in_batch, batch.spans, strict=True):
            size = span.end - span.start
            stats.executed_tokens += size
            if span.start < sequence.admitted_tokens:
                stats.prefilled_tokens += size

    def _retry(self, sequence: Sequence) -> None:
        """Its restored KV is not there: it waits again and computes everything itself."""
        self._leave(sequence, keep=False)
        high_water = sequence.high_water
        sequence.preempt()
        sequence.high_water = high_water  # what was not restored was not computed
        sequence.use_cache = False
        self._line.add(sequence)

    def _preempt(self, sequence: Sequence) -> None:
        self._leave(sequence, keep=True)
        sequence.preempt()
        self._line.add(sequence)
        self._stats.preemptions += 1

    def _leave(self, sequence: Sequence, *, keep: bool) -> None:
        """Take a running sequence out of its slot."""
        self._running.remove(sequence)
        self._unranked = True
        self._storage.release(sequence, keep=keep)
        self._wake(self._claims.cancel(sequence.id))
        self._stalled = None

    def _wake(self, sequences: list[Sequence]) -> None:
        for sequence in sequences:
            self._line.add(sequence)

    def _end(self, sequence: Sequence, reason: str, error: ErrorInfo | None = None) -> Ended:
        if sequence.status is Status.RUNNING:
            self._leave(sequence, keep=error is None)
        elif not self._claims.withdraw(sequence):
            self._line.remove(sequence)
        sequence.finish()
        del self._live[sequence.id]
        self._shares.leave(sequence.spec.tenant)
        if reason == "abort":
            self._stats.aborts += 1
        elif error is not None:
            self._stats.failed += 1
        else:
            self._stats.finished += 1
        return Ended(sequence.id, reason, error)

    def check(self) -> None:
        """Raise AssertionError if lists, claims and storage contradict each other."""
        self._storage.check(self._running)
        self._claims.check(self._running)
        assert len(self._running) <= self.max_running, "more sequences run than may"
        self._line.check()
        self._shares.check(Counter(s.spec.tenant for s in self._live.values()))
        waiting = len(self._live) - len(self._running)
        assert waiting == len(self._line) + self._claims.num_waiting, "a waiting sequence is lost"
        assert [s.order for s in self._running] == sorted(s.order for s in self._running), "out of order"
        for items, status in ((self._running, Status.RUNNING), (self._line, Status.WAITING)):
            assert all(s.status is status and self._live.get(s.id) is s for s in items), "a wrong status"
