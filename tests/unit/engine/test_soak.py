"""Engines under random load for a while: nothing leaks, nobody starves, every answer stays what it is alone."""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from collections.abc import Callable

import pytest

from arriero.core.runner import Adapters
from arriero.engine.options import EngineOptions, PreemptionMode
from tests.unit.engine.harness import N_VOCAB, World, alone, make_info

SECONDS = int(os.environ.get("ARRIERO_SOAK_SECONDS", "20"))
PREFIXES = [[(n + 1) * (i + n) % N_VOCAB for i in range(160)] for n in range(4)]
_ADAPTERS: tuple[Adapters, ...] = ((("a", 1.0),), (("b", 1.0),))
ROUND = 60  # sequences of one engine's life
TOLERATED_STEPS = 6_000  # far more than any order of these needs


def _world(rng: random.Random) -> World:
    align = rng.choice([0, 0, 16, 32])
    info = make_info(
        storage=rng.choice(["paged", "sequence"]),
        max_sequences=rng.choice([2, 8, 20]),
        max_batch_tokens=rng.choice([48, 128]),
        active_blocks=rng.choice([24, 60, 300]),
        parked_blocks=rng.choice([0, 20, 200]),
        parked_bytes=rng.choice([0, 0, 300, 3000]),
        max_sequence_tokens=320,
        chunk_align=align,
        max_draws=rng.choice([0, 24, 40]),
        even_drafts=rng.random() < 0.3,
        repeats=rng.random() < 0.5,
        deterministic=align > 0 and rng.random() < 0.5,
        prefix_sharing=rng.choice(["any", "any", "whole"]),
        window=rng.choice([0, 0, 48]),
        spill_blocks=rng.choice([0, 2]),
    )
    preemptions: list[PreemptionMode] = ["auto", "swap", "recompute"]
    return World(
        info,
        EngineOptions(
            watermark=rng.choice([0.0, 0.05]),
            prefix_cache=rng.random() < 0.9,
            preemption=rng.choice(preemptions),
            inter_token_target=rng.choice([0.0, 0.05, 1.0]),
        ),
    )


def _arrive(world: World, rng: random.Random, now: float) -> None:
    prefix = rng.choice(PREFIXES)[: rng.randrange(160)]
    own = [rng.randrange(N_VOCAB) for _ in range(rng.randrange(1, 20))]
    stops = frozenset(rng.sample(range(N_VOCAB), rng.choice([0, 0, 2])))
    prompt, length, adapters = [*prefix, *own], rng.randrange(1, 60), rng.choice([(), (), _ADAPTERS[0], _ADAPTERS[1]])
    foretold = list(alone(tuple(prompt), length, adapters)) if rng.random() < 0.4 else []
    wrong = rng.choice([2, 5, 60])
    foretold[wrong - 1 :: wrong] = [(token + 1) % N_VOCAB for token in foretold[wrong - 1 :: wrong]]
    world.add(
        prompt,
        max_tokens=length,
        prediction=tuple(foretold),
        stop_ids=stops,
        priority=rng.choice([0, 0, 1]),
        tenant=rng.choice("ab"),
        deadline=rng.choice([None, None, now + 2.0, now + 90.0]),
        adapters=adapters,
    )


def _disturb(world: World, rng: random.Random) -> None:
    live = [number for number, record in world.records.items() if not record.ended]
    faults = world.runner.faults

    def abort() -> None:
        world.engine.abort(rng.choice(live))

    def error() -> None:
        faults.error = "broken on purpose"

    def crash() -> None:
        faults.raising, faults.raise_after_operations = OSError("broken on purpose"), rng.random() < 0.5

    def lose() -> None:
        faults.parks, faults.restores = rng.randrange(3), rng.randrange(3)
        faults.spills, faults.evict = rng.randrange(3), True

    kinds: list[Callable[[], None]] = [abort, abort, abort, abort, error, crash, lose, lose]
    if live:
        rng.choice(kinds)()


@pytest.mark.soak
@pytest.mark.timeout(SECONDS + 120)
@pytest.mark.filterwarnings("ignore:record_property is incompatible")
def test_engines_under_random_load(record_property: Callable[[str, object], None]) -> None:
    until, seed, totals = time.monotonic() + SECONDS, 0, Counter[str]()
    while time.monotonic() < until:
        rng, seed = random.Random(seed), seed + 1
        world = _world(rng)
        now = 0.0
        for _ in range(ROUND):
            for _ in range(rng.choice([0, 0, 1, 1, 4])):
                _arrive(world, rng, now)
            if rng.random() < 0.05:
                _disturb(world, rng)
            for _ in range(rng.randrange(4)):
                world.step(now)
                now += rng.choice([0.02, 0.02, 0.4])
        world.run(TOLERATED_STEPS)
        world.finish()
        totals.update(world.engine.stats().counters)
    assert totals["finished"] > 0
    record_property("engines", seed)
    for name, value in totals.items():
        record_property(name, value)
