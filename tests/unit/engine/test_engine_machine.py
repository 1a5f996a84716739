"""Random operations on engine and fake runner: every answer is the one that its sequence gets alone."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from arriero.core.runner import Adapters
from arriero.engine.events import Ended, TokenEvent
from arriero.engine.options import EngineOptions
from arriero.engine.sequence import SequenceSpec
from tests.unit.engine.harness import N_VOCAB, SAMPLER, World, alone, make_info

BLOCK = 4
BASES = [[(7 * n + 3 * i * i) % N_VOCAB for i in range(40)] for n in range(3)]  # prefixes to share

infos = st.fixed_dictionaries(
    {
        "storage": st.sampled_from(["paged", "sequence"]),
        "max_sequences": st.integers(1, 5),
        "max_sequence_tokens": st.integers(20, 60),
        "max_batch_tokens": st.integers(9, 40),
        "active_blocks": st.integers(5, 30),
        "parked_blocks": st.sampled_from([0, 3, 8, 20]),
        "parked_bytes": st.sampled_from([0, 0, 40, 100, 300]),
        "prefix_sharing": st.sampled_from(["any", "any", "any", "whole", "whole", "none"]),
        "window": st.sampled_from([0, 0, 6, 8, 15]),
        "spill_blocks": st.sampled_from([0, 1, 3]),
        "chunk_align": st.sampled_from([0, 0, 0, 4, 6, 8]),
        "max_draws": st.sampled_from([0, 6, 32, 32]),
        "even_drafts": st.booleans(),
        "repeats": st.booleans(),
        "deterministic": st.booleans(),
    }
)
engine_options = st.builds(
    EngineOptions,
    max_batch_tokens=st.integers(9, 40),
    max_running=st.one_of(st.none(), st.integers(1, 4)),
    prefix_cache=st.sampled_from([True, True, True, False]),
    watermark=st.sampled_from([0.0, 0.01, 0.2]),
    prefill_chunk=st.one_of(st.none(), st.integers(1, 20)),
    ageing=st.sampled_from([1.0, 10.0]),
    inter_token_target=st.sampled_from([0.0, 0.05, 2.0]),
    preemption=st.sampled_from(["auto", "swap", "recompute"]),
    tenant_weights=st.sampled_from([{}, {"a": 3.0, "b": 0.5}]),
)


class EngineMachine(RuleBasedStateMachine):
    """Adds, aborts, finishes and steps, with a runner that sometimes fails."""

    world: World
    now = 0.0

    @initialize(facts=infos, options=engine_options)
    def begin(self, facts: dict[str, Any], options: EngineOptions) -> None:
        self.world = World(make_info(block_size=BLOCK, **facts), options)

    @rule(
        base=st.integers(0, len(BASES) - 1),
        cut=st.integers(0, 40),
        own=st.lists(st.integers(0, N_VOCAB - 1), max_size=9),
        max_tokens=st.integers(-1, 12),
        priority=st.integers(-1, 1),
        tenant=st.sampled_from(["", "a", "b"]),
        adapters=st.sampled_from([(), (), (("a", 1.0),), (("b", 0.5),)]),
        stops=st.frozensets(st.integers(0, N_VOCAB - 1), max_size=4),
        min_tokens=st.integers(0, 3),
        foretold=st.sampled_from([0, 2, 4, 100]),
        times=st.integers(1, 3),
        patience=st.sampled_from([None, None, -1.0, 0.0, 0.3, 9.0, 40.0]),
    )
    def add(
        self,
        base: int,
        cut: int,
        own: list[int],
        max_tokens: int,
        priority: int,
        tenant: str,
        adapters: Adapters,
        stops: frozenset[int],
        min_tokens: int,
        foretold: int,
        times: int,
        patience: float | None,
    ) -> None:
        prompt = [*BASES[base][:cut], *own] or [1]
        answer = alone(tuple(prompt), 16, adapters) if foretold else ()
        for _ in range(times):
            self.world.add(
                prompt,
                prediction=tuple((token + (place % foretold == 0)) % N_VOCAB for place, token in enumerate(answer, 1)),
                max_tokens=max_tokens,
                priority=priority,
                tenant=tenant,
                adapters=adapters,
                stop_ids=stops,
                min_tokens=min_tokens,
                deadline=None if patience is None else self.now + patience,
            )

    @rule(times=st.integers(1, 6), seconds=st.sampled_from([0.0, 0.1, 4.0]))
    def step(self, times: int, seconds: float) -> None:
        for _ in range(times):
            self.now += seconds
            had_work = self.world.engine.has_work
            events = self.world.step(self.now)
            self.check_deadlines()
            assert had_work or not events
            # whoever ran had a share in the step: with work, something was computed, moved or told
            assert not had_work or events or self.world.runner.last is not None

    def check_deadlines(self) -> None:
        """Whoever is late has drawn something or ended; nobody ended so who was not late, or had drawn something."""
        for record in self.world.records.values():
            deadline = record.spec.deadline
            late = deadline is not None and deadline <= self.now
            assert not late or record.tokens or record.ended
            error = record.ended[0].error if record.ended else None
            if error is not None and error.code == "deadline_exceeded":
                assert late
                assert not record.tokens

    @rule(pick=st.randoms(use_true_random=False), how=st.sampled_from(["abort", "finish"]))
    def end(self, pick: Any, how: str) -> None:
        live = [number for number, record in self.world.records.items() if not record.ended]
        if not live:
            assert not self.world.engine.abort(-1)
            return
        number = pick.choice(live)
        engine = self.world.engine
        known = engine.abort(number) if how == "abort" else engine.finish(number, "stop string")
        # unknown only where its end is decided and not yet told
        if not known:
            self.world.step()
            assert self.world.records[number].ended
        self.world.engine.check()

    @rule(kind=st.sampled_from(["raise", "raise late", "error", "park", "restore", "spill", "evict"]))
    def break_runner(self, kind: str) -> None:
        faults = self.world.runner.faults
        if kind.startswith("raise"):
            faults.raising, faults.raise_after_operations = RuntimeError("broken on purpose"), kind == "raise late"
        elif kind == "error":
            faults.error = "broken on purpose"
        elif kind == "park":
            faults.parks += 1
        elif kind == "spill":
            faults.spills += 1
        elif kind == "evict":
            faults.evict = True
        else:
            faults.restores += 1

    @precondition(lambda self: hasattr(self, "world"))
    @invariant()
    def consistent(self) -> None:
        engine = self.world.engine
        engine.check()
        place = engine.place(SequenceSpec(-1, [1], SAMPLER, tenant="a"))
        assert 0 <= place.ahead <= engine.stats().waiting
        assert place.seconds is None or place.seconds >= 0

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.world.finish()


EngineMachine.TestCase.settings = settings(
    max_examples=150, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestEngineMachine = EngineMachine.TestCase


def test_events_have_the_shape_that_the_machine_relies_on() -> None:
    world = World(make_info())
    world.add([1, 2, 3], max_tokens=2)
    kinds = []
    while world.engine.has_work:
        kinds += [type(event) for event in world.step()]
    assert kinds[1:] == [TokenEvent, TokenEvent, Ended]
