"""A cached prefix is proven by logits: whatever way it came, they are those of the prompt computed from nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from arriero.engine.engine import Engine
from arriero.engine.events import Started
from arriero.engine.options import EngineOptions
from arriero.engine.sequence import SequenceSpec
from tests.unit.runners.llama_cpp.conftest import MakeRunner
from tests.unit.runners.llama_cpp.driving import Recorder, prompt
from tests.unit.runners.llama_cpp.tiny_gguf import Shape, write_gguf

SHAPES = {"plain": Shape(), "window": Shape(layers=7, window=32), "recurrent": Shape(state=16)}
MODES: dict[str, dict[str, Any]] = {
    "unified": {"layout": "unified"},
    "streams": {"layout": "streams"},
    "deterministic": {"deterministic": True},
}
CLOSE = 0.02
COUNT = 4


@dataclass
class Asked:
    """A request: what it was drawn from, and how much of it was cached."""

    tokens: list[int]
    recorder: Recorder = field(default_factory=Recorder)
    cached: int = -1


class Asker:
    """Puts requests to an engine, several at a time, and remembers them."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.asked: list[Asked] = []

    def __call__(self, *prompts: list[int]) -> list[Asked]:
        """Ask `prompts` at once; they have all ended when this returns."""
        first = len(self.asked)
        for tokens in prompts:
            number = len(self.asked)
            self.asked.append(Asked(tokens))
            self.engine.add(SequenceSpec(number, tokens, self.asked[-1].recorder, max_tokens=COUNT))
        while self.engine.has_work:
            for event in self.engine.step(0.0):
                if isinstance(event, Started):
                    self.asked[event.id].cached = event.cached_tokens
            self.engine.check()
        return self.asked[first:]

    def late(self, running: list[int], steps: int, tokens: list[int]) -> Asked:
        """Ask `tokens` while `running`, asked `steps` steps before, is under way."""
        self.asked.append(Asked(running))
        self.engine.add(
            SequenceSpec(len(self.asked) - 1, running, self.asked[-1].recorder, max_tokens=40, draft_tokens=0)
        )
        for _ in range(steps):
            self.engine.step(0.0)
        return self(tokens)[0]


@pytest.fixture(scope="module", params=SHAPES)
def path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of each kind."""
    return write_gguf(tmp_path_factory.mktemp(request.param) / f"{request.param}.gguf", SHAPES[request.param])


@pytest.fixture(params=MODES)
def ask(request: pytest.FixtureRequest, path: Path, make_runner: MakeRunner) -> Asker:
    """An engine with a cache in each layout."""
    return Asker(Engine(make_runner(path, **MODES[request.param])))


@pytest.fixture
def fresh(path: Path, make_runner: MakeRunner, request: pytest.FixtureRequest) -> Callable[[list[int]], Asked]:
    """Ask an engine without a cache, on a runner of its own."""
    mode = request.node.callspec.params["ask"]
    alone = Asker(Engine(make_runner(path, **MODES[mode]), EngineOptions(prefix_cache=False)))
    return lambda tokens: alone(tokens)[0]


def expect_same(asked: Asked, alone: Asked, exact: bool) -> None:
    """The logits of every token drawn agree, to the bit where that is promised."""
    assert alone.cached == 0
    for ours, theirs in zip(asked.recorder.seen, alone.recorder.seen, strict=False):
        if exact:
            np.testing.assert_array_equal(ours, theirs)
        np.testing.assert_allclose(ours, theirs, atol=CLOSE)
        if ours.argmax() != theirs.argmax():
            return  # a near tie: from here on the texts differ


def exact(ask: Asker) -> bool:
    """Whether the runner promises equal bits."""
    return ask.engine._runner.info.deterministic


def shares(ask: Asker) -> str:
    """What the runner says can be shared."""
    info = ask.engine._runner.info
    return "window" if info.window else info.prefix_sharing


def test_a_conversation_goes_on(ask: Asker, fresh: Callable[[list[int]], Asked]) -> None:
    history = prompt(1, 50)
    for turn in range(4):
        (asked,) = ask(history)
        drawn = [int(logits.argmax()) for logits in asked.recorder.seen]
        expect_same(asked, fresh(history), exact(ask))
        if turn and shares(ask) != "none":
            assert asked.cached >= len(history) - COUNT - 9 - 16
        history = [*history, *drawn, *prompt(10 + turn, 9)]
    stats = ask.engine.stats()
    assert (stats.failed_parks, stats.failed_restores) == (0, 0)
    assert stats.restores == (3 if shares(ask) != "none" else 0)


def test_a_running_sequence_lends_its_prefix(ask: Asker, fresh: Callable[[list[int]], Asked]) -> None:
    shared = prompt(1, 90)
    for steps, own in ((2, 5), (9, 30)):
        tokens = [*shared[:70], *prompt(own, own)]
        asked = ask.late([*shared, *prompt(2, 3)], steps, tokens)
        expect_same(asked, fresh(tokens), exact(ask))
        assert asked.cached == {"any": 64, "window": 64, "whole": 0, "none": 0}[shares(ask)]


def test_equal_prompts_at_once_are_computed_once(ask: Asker, fresh: Callable[[list[int]], Asked]) -> None:
    tokens = prompt(3, 75)
    asked = ask(tokens, tokens, tokens)
    alone = fresh(tokens)
    for one in asked:
        expect_same(one, alone, exact(ask))
    tail = 64 if exact(ask) else 74
    cached = {"any": tail, "window": tail, "whole": 0, "none": 0}[shares(ask)]
    assert sorted(one.cached for one in asked) == [0, cached, cached]


def test_a_parked_prefix_is_cut(ask: Asker, fresh: Callable[[list[int]], Asked]) -> None:
    """Two that part early: what was parked of the first is longer than what the second has in common with it."""
    first, cut = prompt(4, 120), 80
    ask(first)
    tokens = [*first[:cut], *prompt(5, 12)]
    (asked,) = ask(tokens)
    expect_same(asked, fresh(tokens), exact(ask))
    assert asked.cached == {"any": 80, "window": 0, "whole": 0, "none": 0}[shares(ask)]


def test_more_than_there_are_slots_for(ask: Asker, fresh: Callable[[list[int]], Asked]) -> None:
    prompts = [prompt(20 + number, 40) for number in range(6)]
    ask(*prompts)
    longer = [[*tokens, 7] for tokens in prompts]
    for one, tokens in zip(ask(*longer), longer, strict=True):
        expect_same(one, fresh(tokens), exact(ask))


def test_a_prompt_is_found_again_without_its_answer(ask: Asker, fresh: Callable[[list[int]], Asked]) -> None:
    """As where a template leaves thinking out of earlier turns: states that can only be used whole end there, too."""
    first = prompt(6, 100)
    ask(first)
    tokens = [*first, *prompt(7, 20)]
    (asked,) = ask(tokens)
    expect_same(asked, fresh(tokens), exact(ask))
    most = {"any": 96 if exact(ask) else 100, "window": 100, "whole": 100, "none": 0}
    assert asked.cached == most[shares(ask)]
