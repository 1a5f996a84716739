"""The fake runner: no weights, answers that depend on every stored position, and a strict reading of the contract.

What it stores for a position is a hash of the stored values before it and of the token, so that a wrong restore, copy
or block table gives another answer. It ships for tests, demos and work on the surfaces; it knows no engine.
"""

from __future__ import annotations

import time
from array import array
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any
from zlib import crc32

from arriero.core.runner import Batch, Choice, Park, Restore, RunnerInfo, Span, Spill, StepOutput
from arriero.runners.drawing import draw_along
from arriero.runners.fake_answers import Script
from arriero.runners.fake_faults import ContractViolationError, Faults

_MASK = (1 << 61) - 1
_TOKEN_BITS = 24
STATE_BYTES, TOKEN_BYTES = 8, 2
"""What a parked state takes, and each of its tokens, where parked bytes are bounded."""


@dataclass(slots=True)
class _Slot:
    values: list[int] = field(default_factory=list)
    cells: list[int] = field(default_factory=list)  # the places they are in; a place may be shared
    first: int = 0  # the first that layers with a window hold


class FakeRunner:
    """Executes batches by arithmetic. `violations` and `executed` are for tests; `faults` makes things fail."""

    def __init__(
        self,
        info: RunnerInfo | None = None,
        *,
        script: Script | None = None,
        step_seconds: float = 0.0,
        token_seconds: float = 0.0,
    ) -> None:
        """Without a script the answer is a hash chain. A step sleeps `step_seconds` and `token_seconds` a token."""
        self._info = info or RunnerInfo(
            n_vocab=512,
            max_sequences=8,
            max_sequence_tokens=2048,
            max_batch_tokens=512,
            active_blocks=1024,
            parked_blocks=1024,
        )
        self._script = script
        self._step_seconds = step_seconds
        self._token_seconds = token_seconds
        self._slots: dict[int, _Slot] = {}
        self._parked: dict[int, list[int]] = {}
        self._spilled: dict[int, list[int]] = {}
        self._fetching: list[int] = []  # told with the next step
        self._gone: set[int] = set()  # spilled states that were lost, told or not: a step that raises tells nothing
        self._blocks: dict[int, list[int | None]] = {}
        self._cells = 0
        self._adapters = 0  # a number for the step's
        self._make_logits: Callable[[int], Any] | None = None
        self.faults = Faults()
        self.violations: list[str] = []
        self.executed: Counter[str] = Counter()
        self.untidy = 0
        self.closed = False

    @property
    def info(self) -> RunnerInfo:
        """What it pretends to be."""
        return self._info

    def close(self) -> None:
        """Forget everything; executing after this is a violation."""
        self.closed = True
        self._slots.clear()
        self._parked.clear()
        self._blocks.clear()

    def tidy(self) -> bool:
        """Count down `untidy`."""
        self.untidy = max(0, self.untidy - 1)
        return self.untidy > 0

    def execute(self, batch: Batch) -> StepOutput:
        """Run one step. ContractViolationError for a batch that breaks the contract, else what `faults` says."""
        if self._step_seconds or self._token_seconds:
            tokens = sum(span.end - span.start for span in batch.spans)
            time.sleep(self._step_seconds + self._token_seconds * tokens)
        if self.faults.raising is not None and not self.faults.raise_after_operations:
            self._raise()
        self._adapters = crc32(repr(batch.adapters).encode()) if batch.adapters else 0
        output = StepOutput()
        self._operate(batch, output)
        if self.faults.raising is not None:
            self._raise()
        if self.faults.error is not None and batch.spans:
            output.error, self.faults.error = self.faults.error, None
            return output
        self._check_spans(batch.spans)
        for span in batch.spans:
            if span.slot in output.failed_restores:
                output.choices.append(None)
            else:
                choices = self._compute(span, output.scores.setdefault(len(output.choices), []))
                output.choices.append(choices[0] if choices else None)
                if len(choices) > 1:
                    output.further[len(output.choices) - 1] = choices[1:]
        output.scores = {index: found for index, found in output.scores.items() if found}
        if batch.spans:
            tokens = sum(span.end - span.start + len(span.draft) for span in batch.spans)
            output.counters = {"decode_calls": 1, "batch_sequences": len(batch.spans), "decoded_tokens": tokens}
        while batch.repeat is not None and not output.failed_restores and batch.repeat(_last_drawn(output)):
            self._repeat(batch.spans, output)
        self.executed.update(output.counters)
        return output

    def _repeat(self, spans: list[Span], output: StepOutput) -> None:
        """One step more, of the tokens that the last one drew."""
        for index, span in enumerate(spans):
            first = output.choices[index]
            assert first is not None
            drawn = [first, *output.further.setdefault(index, [])]
            tokens = [*span.tokens, *(choice.token for choice in drawn)]
            after = replace(span, tokens=tokens, start=len(tokens) - 1, end=len(tokens))
            self._check_spans([after])
            output.further[index] += self._compute(after, [])
        output.counters["decode_calls"] += 1
        output.counters["decoded_tokens"] += len(spans)

    def _raise(self) -> None:
        error, self.faults.raising = self.faults.raising, None
        assert error is not None
        raise error

    def _violated(self, what: str) -> ContractViolationError:
        self.violations.append(what)
        return ContractViolationError(what)

    def _operate(self, batch: Batch, output: StepOutput) -> None:
        if self.closed:
            raise self._violated("executed after close")
        if self._info.storage == "paged" and (batch.parks or batch.restores or batch.drops):
            raise self._violated("paged storage neither parks nor restores")
        for park in batch.parks:
            self._park(park, output)
        new = set(output.parked_sizes)
        for spill in batch.spills:
            self._spill(spill, output)
        output.fetched, self._fetching = self._fetching, batch.fetches
        if self.faults.evict and self._spilled:
            self.faults.evict = False
            state = next(iter(self._spilled))
            del self._spilled[state]
            output.evicted_spills.append(state)
            self._gone.add(state)
        for slot in batch.frees:
            self._slots.pop(slot, None)
        for restore in batch.restores:
            self._restore(restore, output)
        for state in batch.drops:
            self._parked.pop(state, None)
            self._spilled.pop(state, None)
        held = sum(-(-len(values) // self._info.block_size) for values in self._parked.values())
        if held > self._info.parked_blocks:
            raise self._violated(f"{held} blocks are parked, at most {self._info.parked_blocks} may be")
        known = sum(self._size(values) for state, values in self._parked.items() if state not in new)
        if self._info.parked_bytes and known > self._info.parked_bytes:  # what new ones take, nobody knew
            raise self._violated(f"{known} bytes are parked, at most {self._info.parked_bytes} may be")

    def _park(self, park: Park, output: StepOutput) -> None:
        slot = self._slots.get(park.slot)
        if slot is None or len(slot.values) < park.num_tokens or park.num_tokens < 1 or park.parked in self._parked:
            raise self._violated(f"{park} is impossible")
        if self.faults.parks:
            self.faults.parks -= 1
            output.failed_parks.append(park.parked)
            return
        whole = self._info.prefix_sharing == "whole"
        if (whole and len(slot.values) != park.num_tokens) or not self._reaches(slot.first, park.num_tokens):
            raise self._violated(f"{park}: the slot cannot be cut there")
        self.executed["parks"] += 1
        values = self._parked[park.parked] = slot.values[: park.num_tokens]
        if self._info.parked_bytes:
            output.parked_sizes[park.parked] = self._size(values)

    @staticmethod
    def _size(values: list[int]) -> int:
        return STATE_BYTES + TOKEN_BYTES * len(values)

    def _restore(self, restore: Restore, output: StepOutput) -> None:
        filled = restore.from_slot == restore.slot  # it stays there
        if (restore.slot in self._slots) != filled or (restore.from_slot is None) == (restore.from_parked is None):
            raise self._violated(f"{restore} is impossible")
        if self.faults.restores:
            self.faults.restores -= 1
            output.failed_restores.append(restore.slot)
            return
        count = restore.num_tokens
        if restore.from_slot is not None:
            source = self._slots.get(restore.from_slot)
            if source is None and restore.from_slot in output.failed_restores:
                output.failed_restores.append(restore.slot)
                return
            if source is None or len(source.values) < count:
                raise self._violated(f"{restore}: the slot does not have that")
            if self._info.prefix_sharing == "whole" or not self._reaches(source.first, count):
                raise self._violated(f"{restore}: the slot no longer has all of that")
            self._slots[restore.slot] = _Slot(source.values[:count], source.cells[:count], source.first)
        elif restore.from_parked is not None:
            values = self._parked.get(restore.from_parked, self._spilled.get(restore.from_parked))
            if values is None:
                if restore.from_parked not in output.failed_parks and restore.from_parked not in self._gone:
                    self.violations.append(f"{restore}: there is no such state")
                output.failed_restores.append(restore.slot)
                return
            if len(values) < count:
                raise self._violated(f"{restore}: the parked state does not have that")
            if self._info.prefix_sharing == "whole" and len(values) != count:
                raise self._violated(f"{restore}: a part of a state that is only usable whole")
            first = max(0, len(values) - self._info.window) if self._info.window else 0
            if not self._reaches(first, count):
                raise self._violated(f"{restore}: the state keeps the window before its end only")
            self._slots[restore.slot] = _Slot(values[:count], self._new_cells(count), first)
        self.executed["restores"] += 1

    def _spill(self, spill: Spill, output: StepOutput) -> None:
        """Take a state out of memory; it is there at once, which a disk is not."""
        values = self._parked.pop(spill.parked, None)
        if values is None and spill.parked not in output.failed_parks:
            raise self._violated(f"{spill}: there is no such state")
        mask = (1 << _TOKEN_BITS) - 1
        if values is not None and [value & mask for value in values] != list(spill.prefix.tokens):
            raise self._violated(f"{spill}: the state holds other tokens")
        if values is None or self.faults.spills:
            self.faults.spills = max(0, self.faults.spills - 1)
            output.failed_spills.append(spill.parked)
            self._gone.add(spill.parked)
            return
        self._spilled[spill.parked] = values
        output.spilled[spill.parked] = self._size(values)

    def spilled_states(self) -> set[int]:
        """Return the numbers of the states that left memory and are not lost."""
        return set(self._spilled)

    def _reaches(self, first: int, count: int) -> bool:
        """Whether layers with a window that hold tokens from `first` on can go on behind `count` tokens."""
        return first <= max(0, count - self._info.window)

    def _new_cells(self, count: int) -> list[int]:
        self._cells += count
        return list(range(self._cells - count, self._cells))

    def _check_spans(self, spans: list[Span]) -> None:
        info = self._info
        if sum(span.end - span.start + len(span.draft) for span in spans) > info.max_batch_tokens:
            raise self._violated("more tokens than max_batch_tokens")
        if len({span.slot for span in spans}) != len(spans):
            raise self._violated("two spans in one slot")
        draws = sum(1 + len(span.draft) for span in spans if span.start >= span.prompt_len)
        if any(span.draft for span in spans) and draws > info.max_draws:
            raise self._violated("more draws than max_draws")
        for span in spans:
            length = len(span.tokens)
            if span.draft and (span.sampler is None or span.end - span.start > 1 or span.start < span.prompt_len):
                raise self._violated(f"{span} has a draft, but computes no drawn token")
            if not (0 <= span.slot < info.max_sequences and 0 <= span.start < span.end <= length):
                raise self._violated(f"{span} is impossible")
            if span.end + len(span.draft) > info.max_sequence_tokens:
                raise self._violated("longer than max_sequence_tokens")
            if (span.sampler is not None) != (span.end == length):
                raise self._violated("a sampler belongs to the last computed token, and only there")
            if len(span.block_table) * info.block_size < span.end + len(span.draft):
                raise self._violated("the block table is too short")
            aligned = not info.chunk_align or span.end == length or span.end % info.chunk_align == 0
            if not aligned:
                raise self._violated(f"a chunk ends at {span.end}, not at a multiple of {info.chunk_align}")

    def _compute(self, span: Span, scores: list[Choice]) -> list[Choice]:
        before = self._read(span)
        total = sum(before) & _MASK
        values: list[int] = []
        following: list[int] = []  # the tokens behind the last one and behind each of the draft
        for position, token in enumerate((*span.tokens[span.start : span.end], *span.draft), span.start):
            mixed = ((total ^ (total >> 29)) * 0x9E3779B97F4A7C15 + (token + 1) * 0xBF58476D1CE4E5B9 + position) & _MASK
            mixed ^= self._adapters << _TOKEN_BITS
            value = (mixed >> _TOKEN_BITS << _TOKEN_BITS) | token
            values.append(value)
            total = (total + value) & _MASK
            if position + 1 in span.scored and span.scorer is not None:
                scores.append(span.scorer.score(self._logits(self._drawn(total)), span.tokens[position + 1]))
            if position + 1 >= span.end and span.sampler is not None:
                following.append(self._following(before + values, total, span.prompt_len))
        self._write(span, values)
        if span.sampler is None:
            return []
        logits = map(self._logits, following)
        choices = draw_along(span.sampler, logits, span.tokens, span.draft, span.prompt_len)
        self._cut(span, span.end + len(choices) - 1)
        return choices

    def _following(self, stored: list[int], total: int, prompt_len: int) -> int:
        if self._script is None:
            return self._drawn(total)
        return self._script([value & ((1 << _TOKEN_BITS) - 1) for value in stored], prompt_len)

    def _cut(self, span: Span, length: int) -> None:
        """Forget what was computed for tokens of the draft that were not drawn."""
        if self._info.storage == "sequence":
            slot = self._slots[span.slot]
            slot.values, slot.cells = slot.values[:length], slot.cells[:length]
            return
        for position in range(length, span.end + len(span.draft)):
            self._block(span, position)[position % self._info.block_size] = None

    def _drawn(self, total: int) -> int:
        """The token after stored values of this sum, where no script says another."""
        return (((total ^ (total >> 31)) * 0x94D049BB133111EB & _MASK) >> 17) % self._info.n_vocab

    def _read(self, span: Span) -> list[int]:
        if self._info.storage == "sequence":
            slot = self._slots.get(span.slot)
            found = len(slot.values) if slot is not None else 0
            if found != span.start:
                raise self._violated(f"slot {span.slot} holds {found} tokens, the span starts at {span.start}")
            return slot.values if slot is not None else []
        size, values = self._info.block_size, []
        for position in range(span.start):
            value = self._block(span, position)[position % size]
            if value is None:
                raise self._violated(f"position {position} was never computed")
            values.append(value)
        return values

    def _write(self, span: Span, values: list[int]) -> None:
        if self._info.storage == "sequence":
            slot = self._slots.setdefault(span.slot, _Slot())
            slot.values = slot.values + values
            slot.cells.extend(self._new_cells(len(values)))
            return
        for position, value in enumerate(values, span.start):
            self._block(span, position)[position % self._info.block_size] = value

    def _block(self, span: Span, position: int) -> list[int | None]:
        number = span.block_table[position // self._info.block_size]
        if not 0 <= number < self._info.active_blocks:
            raise self._violated(f"block {number} does not exist")
        return self._blocks.setdefault(number, [None] * self._info.block_size)

    def _logits(self, token: int) -> Any:
        if self._make_logits is None:
            self._make_logits = _logits_maker()
        logits = self._make_logits(self._info.n_vocab)
        logits[token] = 20.0
        return logits

    def used_cells(self) -> int:
        """Return the places that hold a token, a shared one counted once (sequence storage)."""
        return len({cell for slot in self._slots.values() for cell in slot.cells})

    def used_slots(self) -> set[int]:
        """Return the slots that hold anything (sequence storage)."""
        return set(self._slots)

    def parked_states(self) -> set[int]:
        """Return the numbers of the parked states."""
        return set(self._parked)

    def parked_bytes(self) -> int:
        """Return what the parked states take."""
        return sum(self._size(values) for values in self._parked.values())


def _last_drawn(output: StepOutput) -> list[Choice | None]:
    return [output.further[index][-1] if index in output.further else one for index, one in enumerate(output.choices)]


def _logits_maker() -> Callable[[int], Any]:
    try:
        import numpy as np  # not at the top: whoever only schedules needs none
    except ImportError:
        return lambda n_vocab: array("f", bytes(4 * n_vocab))
    return lambda n_vocab: np.zeros(n_vocab, dtype=np.float32)
