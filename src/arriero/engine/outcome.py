"""Outcome: what a step's output means for the sequences that were in it. It plans nothing."""

from __future__ import annotations

from collections.abc import Sequence as Items

from arriero.core.errors import ErrorInfo
from arriero.core.runner import Batch, Choice, Span, StepOutput
from arriero.engine.events import EngineEvent, PromptScores, Started, TokenEvent
from arriero.engine.roster import Roster
from arriero.engine.sequence import Sequence, Status
from arriero.engine.stats import EngineStats
from arriero.engine.storage import KVStorage


class Outcome:
    """Takes in what batches gave: tokens, ends, failures, counters."""

    def __init__(self, roster: Roster, storage: KVStorage, stats: EngineStats, block_size: int, capacity: int) -> None:
        self._roster = roster
        self._storage = storage
        self._stats = stats
        self._block_size = block_size
        self._capacity = capacity

    def commit(self, batch: Batch, members: Items[Sequence], output: StepOutput, told: int = 0) -> list[EngineEvent]:
        """Return what happened in `batch`; `members` holds the sequence of each span.

        The step was repeated `told` times, and as many draws of each sequence are known to whom events are for.
        """
        lost = self._apply_failures(batch, output)
        error = output.error
        if error is None and len(output.choices) != len(batch.spans):
            error = f"{len(output.choices)} choices for {len(batch.spans)} spans"
        if error is not None:
            return self.fail(batch, members, ErrorInfo("internal", error))
        self._count(batch, members, output.counters, told)
        events: list[EngineEvent] = []
        for index, sequence in enumerate(members):
            if sequence.slot in lost:
                self._roster.retry(sequence)
            else:
                self._commit_span(sequence, batch.spans[index], output, index, events, told)
        if lost:
            self._retry_absent(lost, members)
        return events

    def fail(self, batch: Batch, members: Items[Sequence], error: ErrorInfo) -> list[EngineEvent]:
        """End everybody who was in a failed step."""
        self._stats.failed_steps += 1
        self._retry_absent({restore.slot for restore in batch.restores}, members)
        return [self._roster.end(sequence, "error", error) for sequence in members]

    def _retry_absent(self, slots: set[int], members: Items[Sequence]) -> None:
        """Let those compute everything whose slot was to be filled, and who had no turn in this step."""
        for sequence in [one for one in self._roster.running if one.slot in slots]:
            if sequence not in members:
                self._roster.retry(sequence)

    def _commit_span(
        self, sequence: Sequence, span: Span, output: StepOutput, index: int, events: list[EngineEvent], told: int
    ) -> None:
        roster = self._roster
        sequence.advance(span.end)
        whole = span.start < sequence.admitted_tokens <= span.end  # and with it all that it claims
        if whole or span.end // self._block_size > span.start // self._block_size:
            self._storage.computed(sequence)
            done = roster.claims.cancel(sequence.id) if whole else None
            roster.wake(roster.claims.fulfil(sequence.id, span.end // self._block_size) if done is None else done)
        if not sequence.started:
            sequence.started = True
            self._stats.prompt_tokens += sequence.prompt_len
            self._stats.cached_tokens += sequence.cached_tokens
            events.append(Started(sequence.id, sequence.cached_tokens))
        if index in output.scores:
            events.append(PromptScores(sequence.id, span.start + 1, tuple(output.scores[index])))
        if span.sampler is None:
            return
        choice = output.choices[index]
        if choice is None:
            events.append(roster.end(sequence, "error", ErrorInfo("internal", "the runner drew no token")))
            return
        further = output.further.get(index, ())
        if span.draft:
            self._count_draft(sequence, len(span.draft), len(further))
        self._draw(sequence, choice, events, told=told > 0)
        for place, choice in enumerate(further, 1):  # the token before is computed already
            if sequence.status is not Status.RUNNING:
                return
            sequence.advance(len(sequence.tokens))
            if not len(sequence.tokens) % self._block_size:
                self._storage.computed(sequence)
            self._draw(sequence, choice, events, told=told > place)

    def _draw(self, sequence: Sequence, choice: Choice, events: list[EngineEvent], *, told: bool) -> None:
        """Take a drawn token in, and end the sequence where it says so."""
        roster = self._roster
        if choice.error is not None:
            events.append(roster.end(sequence, "error", ErrorInfo("internal", choice.error)))
            return
        self._stats.decoded_tokens += 1
        roster.shares.charge(sequence.spec.tenant, 1)
        sequence.append(choice.token)
        spec, drawn = sequence.spec, sequence.num_output
        if not told:
            events.append(TokenEvent(sequence.id, choice.token, choice.logprob, choice.top))
        if choice.end or (choice.token in spec.stop_ids and drawn > spec.min_tokens):
            events.append(roster.end(sequence, "stop"))
        elif 0 <= spec.max_tokens <= drawn or len(sequence.tokens) > self._capacity:
            events.append(roster.end(sequence, "length"))

    def _count_draft(self, sequence: Sequence, drafted: int, accepted: int) -> None:
        sequence.drafted += drafted
        sequence.accepted += accepted
        self._stats.drafted_tokens += drafted
        self._stats.accepted_tokens += accepted

    def _apply_failures(self, batch: Batch, output: StepOutput) -> set[int]:
        """Tell the storage what parks took and what the runner could not do; return the slots that hold nothing."""
        lost: set[int] = set()
        if output.parked_sizes:
            self._storage.parks_sized(output.parked_sizes)
        for state in output.failed_parks:
            self._storage.park_failed(state)
        for restore in batch.restores if output.failed_parks or output.failed_restores else ():
            source_lost = restore.from_slot in lost or restore.from_parked in output.failed_parks
            if source_lost or restore.slot in output.failed_restores:
                lost.add(restore.slot)
                self._storage.restore_failed(restore)  # a state that its disk has just lost counts as one of the disk's
        if output.spilled or output.failed_spills or output.evicted_spills:
            self._storage.spills_told(output.spilled, output.failed_spills, output.evicted_spills)
        if output.fetched:
            self._storage.fetched(output.fetched)
        return lost

    def _count(self, batch: Batch, members: Items[Sequence], counters: dict[str, int], told: int) -> None:
        stats = self._stats
        for name, value in counters.items():
            stats.runner[name] = stats.runner.get(name, 0) + value
        if not batch.spans:
            return
        stats.decode_calls += 1 + told
        stats.batch_sequences_total += len(batch.spans) * (1 + told)
        for sequence, span in zip(members, batch.spans, strict=True):
            size = span.end - span.start + len(span.draft) + told
            stats.executed_tokens += size
            if span.start < sequence.admitted_tokens:
                stats.prefilled_tokens += span.end - span.start
