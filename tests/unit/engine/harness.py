"""What the engine's tests share: a world of engine and fake runner that keeps a naive record of every sequence."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from functools import lru_cache
from typing import Any

from arriero.core.runner import Adapters, Batch, RunnerInfo, Span, StepOutput
from arriero.engine.engine import Engine
from arriero.engine.events import Ended, EngineEvent, Started, TokenEvent
from arriero.engine.options import EngineOptions
from arriero.engine.sequence import SequenceSpec
from arriero.engine.tallies import Tally
from arriero.runners.fake import FakeRunner
from arriero.runners.fake_answers import GreedySampler

N_VOCAB = 61
SAMPLER = GreedySampler()
TALLIED = tuple(field.name for field in fields(Tally))


def make_info(**changes: Any) -> RunnerInfo:
    """Return a small runner's abilities."""
    facts: dict[str, Any] = {
        "n_vocab": N_VOCAB,
        "max_sequences": 8,
        "max_sequence_tokens": 2048,
        "max_batch_tokens": 64,
        "active_blocks": 256,
        "parked_blocks": 256,
    }
    return RunnerInfo(**(facts | changes))


def make_prompt(number: int, length: int = 20) -> list[int]:
    """Return tokens that are others for another number."""
    return [(number * 31 + i * i) % N_VOCAB for i in range(length)]


class _Alone:
    """One prompt on a fake runner of its own, computed token by token."""

    def __init__(self, prompt: tuple[int, ...], adapters: Adapters) -> None:
        self._adapters = adapters
        self._runner = FakeRunner(
            make_info(max_sequences=1, max_batch_tokens=4096, active_blocks=4096, storage="paged")
        )
        self._tokens, self._start, self._prompt_len = list(prompt), 0, len(prompt)

    def answer(self, count: int) -> tuple[int, ...]:
        """Return the first `count` tokens."""
        while len(self._tokens) < self._prompt_len + count:
            end = len(self._tokens)
            table = list(range(end // 16 + 1))
            span = Span(0, self._tokens, self._start, end, self._prompt_len, table, SAMPLER)
            choice = self._runner.execute(Batch(spans=[span], adapters=self._adapters)).choices[0]
            assert choice is not None
            self._start = end
            self._tokens.append(choice.token)
        return tuple(self._tokens[self._prompt_len : self._prompt_len + count])


_alone = lru_cache(maxsize=2000)(_Alone)


def alone(prompt: tuple[int, ...], count: int, adapters: Adapters = ()) -> tuple[int, ...]:
    """Return the first `count` tokens that the fake runner answers to `prompt` when there is nobody else."""
    return _alone(prompt, adapters).answer(count)


@dataclass
class Record:
    """What is known of one sequence from its events."""

    spec: SequenceSpec
    started: list[Started] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    ended: list[Ended] = field(default_factory=list)

    def expect_tokens_as_alone(self) -> None:
        """The answer so far is the one that the sequence gets by itself."""
        assert tuple(self.tokens) == alone(tuple(self.spec.tokens), len(self.tokens), self.spec.adapters)

    def expect_reason(self, capacity: int) -> None:
        """The reason is the one that prompt and answer give."""
        (ended,) = self.ended
        assert (ended.error is not None) == (ended.reason == "error")
        if len(self.spec.tokens) > capacity:
            assert ended.reason in ("error", "abort")
            assert not self.tokens
        if ended.reason == "length":
            full = len(self.spec.tokens) + len(self.tokens) == capacity + 1
            assert full or len(self.tokens) == self.spec.max_tokens
        if ended.reason == "stop":
            assert self.tokens[-1] in self.spec.stop_ids
            assert len(self.tokens) > self.spec.min_tokens
        if ended.reason in ("stop", "length"):
            for index, token in enumerate(self.tokens[:-1]):
                assert token not in self.spec.stop_ids or index < self.spec.min_tokens


class RecordingRunner(FakeRunner):
    """A fake runner that keeps the last batch, and the shape of every one."""

    def __init__(self, info: RunnerInfo) -> None:
        super().__init__(info)
        self.last: Batch | None = None
        self.shapes: list[list[tuple[int, int, int]]] = []  # (first prompt token, start, end) of each span

    def execute(self, batch: Batch) -> StepOutput:
        self.last = batch
        self.shapes.append([(span.tokens[0], span.start, span.end) for span in batch.spans])
        return super().execute(batch)


class World:
    """An engine, its runner, and a record of each sequence; every operation is checked."""

    def __init__(self, info: RunnerInfo, options: EngineOptions | None = None) -> None:
        self.info = info
        self.runner = RecordingRunner(info)
        self.engine = Engine(self.runner, options)
        self.records: dict[int, Record] = {}
        self.told_early = 0
        self.engine.tell_early(self._tell_early)

    def add(self, tokens: list[int], **changes: Any) -> int:
        """Add a sequence; return its id."""
        number = len(self.records)
        spec = SequenceSpec(id=number, tokens=tokens, sampler=SAMPLER, **({"max_tokens": 8} | changes))
        self.records[number] = Record(spec)
        self.engine.add(spec)
        self.engine.check()
        return number

    def step(self, now: float = 0.0) -> list[EngineEvent]:
        """Do one step at `now`, in seconds, and record its events."""
        self.runner.last = None
        events = self.engine.step(now)
        self._record(events)
        self.check()
        return events

    def _tell_early(self, events: list[EngineEvent]) -> bool:
        """Sometimes somebody comes who wants the next step planned."""
        self.told_early += 1
        if self.told_early % 5 == 0:
            return False
        self._record(events)
        return True

    def _record(self, events: list[EngineEvent]) -> None:
        for event in events:
            record = self.records[event.id]
            assert not record.ended, "an event after the end"
            if isinstance(event, Started):
                assert not record.started
                record.started.append(event)
            elif isinstance(event, TokenEvent):
                assert record.started
                record.tokens.append(event.token)
                record.expect_tokens_as_alone()
            elif isinstance(event, Ended):
                record.ended.append(event)

    def check(self) -> None:
        """The engine's own invariants, and that the runner never got an impossible batch or more than fits."""
        self.engine.check()
        assert self.runner.violations == []
        assert self.runner.used_cells() <= self.info.active_blocks * self.info.block_size

    def run(self, steps: int = 10_000) -> None:
        """Step until nothing is left to do."""
        for _ in range(steps):
            if not self.engine.has_work:
                return
            self.step()
        raise AssertionError(f"still work after {steps} steps")

    def finish(self) -> None:
        """Run to the end: everybody has ended once, and nothing is left but the cache."""
        self.run()
        for record in self.records.values():
            assert len(record.ended) == 1
            record.expect_reason(self.engine.capacity)
        stats = self.engine.stats()
        assert (stats.running, stats.waiting, stats.blocks_active) == (0, 0, 0)
        if self.info.storage == "paged":
            assert stats.blocks_free + stats.blocks_cached == stats.blocks_total
        else:
            assert stats.blocks_free == stats.blocks_total
        assert self.runner.used_slots() == set()
        assert len(self.runner.parked_states()) == stats.parked_states
        assert len(self.runner.spilled_states()) == stats.spilled_states
        if self.info.parked_bytes:
            assert self.runner.parked_bytes() == stats.parked_bytes <= self.info.parked_bytes
        assert stats.added == stats.finished + stats.failed + stats.aborts == len(self.records)
        by_model = self.engine.stats_by_model()[0].values()
        assert {name: sum(one[name] for one in by_model) for name in TALLIED} == {
            name: getattr(stats, name) for name in TALLIED
        }
