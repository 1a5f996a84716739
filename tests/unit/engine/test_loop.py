"""Loop: commands in order, decisions before the next step, sleep without work, no silent death."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

import pytest

from arriero.core.runner import Batch, StepOutput
from arriero.engine import loop as loop_module
from arriero.engine.engine import Engine
from arriero.engine.events import Ended, EngineEvent, TokenEvent
from arriero.engine.loop import Command, Loop, StepStats
from arriero.engine.sequence import SequenceSpec
from arriero.runners.fake import FakeRunner
from tests.unit.engine.harness import SAMPLER, alone, make_info

TIMEOUT = 30.0  # seconds; only a broken loop waits that long


class Served:
    """A loop on its thread, and what it told."""

    def __init__(
        self, decide: Callable[[EngineEvent], Command | None] = lambda event: None, *, repeats: bool = False
    ) -> None:
        self.runner = FakeRunner(make_info(repeats=repeats))
        self.engine = Engine(self.runner)
        self.events: list[EngineEvent] = []
        self.steps: list[StepStats] = []
        self.crashes: list[BaseException] = []
        self.ended = threading.Semaphore(0)
        self._decide = decide
        self.loop = Loop(self.engine, self._sink, self.steps.append, self.crashes.append)
        self.engine.tell_early(self.loop.tell_early)
        self.thread = threading.Thread(target=self.loop.run)
        self.thread.start()

    def _sink(self, events: list[EngineEvent]) -> Iterable[Command]:
        self.events += events
        for event in events:
            if isinstance(event, Ended):
                self.ended.release()
        return [command for event in events if (command := self._decide(event)) is not None]

    def add(self, spec: SequenceSpec) -> None:
        self.loop.submit(lambda: self.engine.add(spec))

    def close(self) -> None:
        self.loop.stop()
        self.thread.join(TIMEOUT)
        assert not self.thread.is_alive()


def test_sequences_run_and_the_loop_sleeps_between_them() -> None:
    served = Served()
    for number in range(3):
        served.add(SequenceSpec(number, [1 + number, 2, 3], SAMPLER, max_tokens=5))
        assert served.ended.acquire(timeout=TIMEOUT)
    served.close()
    assert served.crashes == []
    for number in range(3):
        tokens = [e.token for e in served.events if isinstance(e, TokenEvent) and e.id == number]
        assert tuple(tokens) == alone((1 + number, 2, 3), 5)
    # five steps each, and at most one more to park and free: it does not spin while there is nothing to do
    assert 15 <= len(served.steps) <= 18
    assert sum(step.events for step in served.steps) == len(served.events)


def test_a_decision_is_applied_before_the_next_step() -> None:
    def decide(event: EngineEvent) -> Command | None:
        if isinstance(event, TokenEvent):
            return lambda: served.engine.finish(event.id, "stop string")
        return None

    served = Served(decide)
    served.add(SequenceSpec(7, [1, 2, 3], SAMPLER, max_tokens=50))
    assert served.ended.acquire(timeout=TIMEOUT)
    served.close()
    assert [type(event).__name__ for event in served.events] == ["Started", "TokenEvent", "Ended"]


def test_a_decision_on_what_was_told_early_ends_the_step_that_goes_on() -> None:
    def decide(event: EngineEvent) -> Command | None:
        seen = sum(isinstance(event, TokenEvent) for event in served.events)
        return (lambda: served.engine.finish(0, "stop string")) if seen == 3 else None

    served = Served(decide, repeats=True)
    served.add(SequenceSpec(0, [1, 2, 3], SAMPLER, max_tokens=20))
    assert served.ended.acquire(timeout=TIMEOUT)
    served.close()
    assert served.crashes == []
    tokens = [event.token for event in served.events if isinstance(event, TokenEvent)]
    assert tuple(tokens) == alone((1, 2, 3), 4)


def test_an_abort_arrives_while_others_run() -> None:
    seen = threading.Event()

    def decide(event: EngineEvent) -> Command | None:
        if isinstance(event, TokenEvent):
            seen.set()
        return None

    served = Served(decide)
    served.add(SequenceSpec(1, [1, 2, 3], SAMPLER, max_tokens=-1))
    assert seen.wait(TIMEOUT)
    served.loop.submit(lambda: served.engine.abort(1))
    assert served.ended.acquire(timeout=TIMEOUT)
    served.close()
    assert served.events[-1] in (Ended(1, "abort"), Ended(1, "length"))


def test_an_abort_waits_for_the_step_under_way_and_no_other() -> None:
    """It arrives in the middle of the third step, by which time two have ended."""
    served = Served()
    execute, entered, go_on = served.runner.execute, threading.Semaphore(0), threading.Semaphore(0)

    def slowly(batch: Batch) -> StepOutput:
        entered.release()
        assert go_on.acquire(timeout=TIMEOUT)
        return execute(batch)

    served.runner.execute = slowly  # type: ignore[method-assign]
    served.add(SequenceSpec(1, [1, 2, 3], SAMPLER, max_tokens=-1))
    for _ in range(2):
        assert entered.acquire(timeout=TIMEOUT)
        go_on.release()
    assert entered.acquire(timeout=TIMEOUT)
    arrived = served.loop.steps
    served.loop.submit(lambda: served.engine.abort(1, served.loop.steps - arrived))
    for _ in range(10):
        go_on.release()
    assert served.ended.acquire(timeout=TIMEOUT)
    served.close()
    stats = served.engine.stats()
    assert (arrived, stats.aborts, stats.abort_steps, stats.abort_steps_most) == (2, 1, 1, 1)
    assert stats.blocks_active == 0
    assert len([event for event in served.events if isinstance(event, TokenEvent)]) == 3


def test_commands_before_stop_are_done() -> None:
    served = Served()
    done: list[int] = []
    for number in range(100):
        served.loop.submit(lambda number=number: done.append(number))  # type: ignore[misc]
    served.close()
    assert done == list(range(100))


@pytest.mark.parametrize("where", ["command", "sink"])
def test_a_crash_is_told(where: str) -> None:
    def broken(*_: object) -> Command | None:
        raise LookupError("broken on purpose")

    served = Served(broken if where == "sink" else lambda event: None)
    if where == "command":
        served.loop.submit(broken)
    else:
        served.add(SequenceSpec(1, [1], SAMPLER))
    served.thread.join(TIMEOUT)
    assert not served.thread.is_alive()
    assert [type(error) for error in served.crashes] == [LookupError]


def test_without_on_crash_run_raises() -> None:
    loop = Loop(Engine(FakeRunner(make_info())), lambda events: [])

    def broken() -> None:
        raise LookupError("broken on purpose")

    loop.submit(broken)
    with pytest.raises(LookupError):
        loop.run()


class Gathering:
    """An engine that one more joins whenever it is asked how long to wait for company, until all are there."""

    def __init__(self, coming: int) -> None:
        self.loop: Loop[EngineEvent] = Loop(self, lambda events: [])
        self.coming = coming
        self.here = 0
        self.steps: list[int] = []

    @property
    def has_work(self) -> bool:
        return self.here > 0

    @property
    def gather_seconds(self) -> float:
        if self.coming:
            self.loop.submit(self.arrive)
            return TIMEOUT
        return 0.0

    def arrive(self) -> None:
        self.here += 1
        self.coming -= 1

    def step(self, now: float) -> list[EngineEvent]:
        self.steps.append(self.here)
        self.here = 0
        self.loop.stop()
        return []

    def tidy(self) -> bool:
        return False


def test_a_step_waits_for_company_as_long_as_the_engine_says() -> None:
    engine = Gathering(4)
    engine.loop.submit(engine.arrive)
    engine.loop.run()
    assert engine.steps == [4]


class Fleeting:
    """An engine that a command gives something to do, and that may wait for company for next to no time."""

    gather_seconds = 0.0

    def __init__(self, steps: int) -> None:
        self.loop: Loop[EngineEvent] = Loop(self, lambda events: [])
        self.has_work = False
        self.left = steps
        self.loop.submit(self.begin)

    def begin(self) -> None:
        self.has_work = True
        self.gather_seconds = self.left % 200 * 1e-8

    def step(self, now: float) -> list[EngineEvent]:
        self.left -= 1
        self.has_work = False
        if self.left:
            self.loop.submit(self.begin)
        else:
            self.loop.stop()
        return []

    def tidy(self) -> bool:
        return False


def test_the_shortest_wait_for_company_ends() -> None:
    engine = Fleeting(10_000)
    thread = threading.Thread(target=engine.loop.run, daemon=True)
    thread.start()
    thread.join(TIMEOUT)
    assert not thread.is_alive()


def test_the_engine_tidies_up_when_nothing_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_module, "REST", 0.01)
    served = Served()
    served.runner.untidy = 3
    served.loop.submit(lambda: None)
    served.add(SequenceSpec(1, [1, 2, 3], SAMPLER, max_tokens=5))
    assert served.ended.acquire(timeout=TIMEOUT)
    assert _comes(lambda: served.runner.untidy == 0)
    served.runner.untidy = 2  # of this nobody is told before there was work again
    served.add(SequenceSpec(2, [1, 2, 3], SAMPLER, max_tokens=5))
    assert served.ended.acquire(timeout=TIMEOUT)
    assert _comes(lambda: served.runner.untidy == 0)
    served.close()
    assert served.crashes == []


def test_work_without_end_leaves_moments_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_module, "TIDY_GAP", 0.0)
    monkeypatch.setattr(loop_module, "REST", TIMEOUT)
    served = Served()
    served.runner.untidy = 4
    served.add(SequenceSpec(1, [1, 2, 3], SAMPLER, max_tokens=3))
    assert served.ended.acquire(timeout=TIMEOUT)
    served.close()
    assert len(served.steps) < 5
    assert served.runner.untidy == 4 - len(served.steps)


def _comes(met: Callable[[], bool]) -> bool:
    end = time.monotonic() + TIMEOUT
    while not met() and time.monotonic() < end:
        time.sleep(0.001)
    return met()
