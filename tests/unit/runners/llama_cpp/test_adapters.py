"""LoRA adapters by request on real kernels: side by side each gets the text that it gets alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from arriero.core.errors import ModelLoadError
from arriero.core.runner import Adapters, Choice, Sampler
from arriero.engine.engine import Engine
from arriero.engine.events import Ended, Started, TokenEvent
from arriero.engine.options import EngineOptions
from arriero.engine.sequence import SequenceSpec
from arriero.runners.llama_cpp.model import Model
from arriero.runners.llama_cpp.options import LlamaCppOptions
from arriero.runners.llama_cpp.runner import LlamaCppRunner
from tests.unit.runners.llama_cpp.conftest import MakeRunner
from tests.unit.runners.llama_cpp.driving import prompt
from tests.unit.store.test_adapters import write_adapter

PROMPTS = [prompt(seed, 20 + 30 * seed) for seed in range(2)]
COUNT = 12


class Varied:
    """Greedy, but for what was said: a model with random weights would say one token for ever."""

    def sample(self, logits: Any, tokens: Sequence[int], prompt_len: int) -> Choice:
        """Take the most likely token that is new."""
        logits[list(tokens[prompt_len:])] = -1e9
        return Choice(int(logits.argmax()))


SAMPLER: Sampler = Varied()


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> list[Adapters]:
    """Nothing, each of two adapters, and both at once with scales of their own."""
    folder = tmp_path_factory.mktemp("adapters")
    one = str(write_adapter(folder / "one.gguf", seed=1))
    two = str(write_adapter(folder / "two.gguf", name="blk.1.ffn_up.weight", rows=128, seed=2))
    return [(), ((one, 8.0),), ((two, 8.0),), ((one, 4.0), (two, 2.0))]


def answers(
    runner: LlamaCppRunner, asked: list[tuple[list[int], Adapters]]
) -> tuple[list[list[int]], list[int], dict[str, int]]:
    """The answers to all at once, how many tokens each took from the cache, and the engine's counters."""
    engine = Engine(runner, EngineOptions(inter_token_target=0, speculation=False))
    for number, (tokens, adapters) in enumerate(asked):
        engine.add(SequenceSpec(number, tokens, SAMPLER, max_tokens=COUNT, adapters=adapters))
    found: list[list[int]] = [[] for _ in asked]
    cached = [0] * len(asked)
    while engine.has_work:
        for event in engine.step(0.0):
            if isinstance(event, TokenEvent):
                found[event.id].append(event.token)
            elif isinstance(event, Started):
                cached[event.id] = event.cached_tokens
        engine.check()
    return found, cached, engine.stats().counters


@pytest.mark.parametrize("options", [{"deterministic": True}, {"layout": "streams"}, {"layout": "unified"}])
def test_side_by_side_each_gets_its_own_text(
    make_runner: MakeRunner, sets: list[Adapters], options: dict[str, object]
) -> None:
    runner = make_runner(max_sequences=8, flash_attn="off", **options)  # its sums depend on neighbours the most
    for path, _ in sets[3]:
        assert runner.model.add_adapter(path) > 0
        assert runner.model.add_adapter(path) == 0
    asked = [(tokens, adapters) for adapters in sets for tokens in PROMPTS]
    alone = [answers(runner, [one])[0][0] for one in asked]
    assert len({tuple(answer) for answer in alone}) == len(asked)
    together, cached, counters = answers(runner, asked)
    assert together == alone
    assert cached == [0] * len(asked)  # each engine begins with an empty cache, and no set has another's
    assert len(sets) <= counters["adapter_changes"] + 1 <= counters["decode_calls"] / 2
    again, cached, _ = answers(runner, [*asked, *asked])
    assert again == alone + alone
    assert all(count >= 16 for count in cached[len(asked) :])


def test_an_adapter_that_cannot_be_loaded_leaves_the_model_as_it_was(
    make_runner: MakeRunner, sets: list[Adapters], tmp_path: Path, tiny_path: Path
) -> None:
    runner = make_runner()
    before = answers(runner, [(PROMPTS[0], ())])[0]
    (tmp_path / "noise.gguf").write_bytes(b"noise")
    with pytest.raises(ModelLoadError, match="the adapter cannot be loaded"):
        runner.model.add_adapter(str(tmp_path / "noise.gguf"))
    assert answers(runner, [(PROMPTS[0], ())])[0] == before
    with pytest.raises(ModelLoadError, match="the adapter cannot be loaded"):
        Model(LlamaCppOptions(path=str(tiny_path), adapters=(str(tmp_path / "noise.gguf"),)))


def test_an_adapter_that_is_dropped_can_come_back(make_runner: MakeRunner, sets: list[Adapters]) -> None:
    runner = make_runner()
    weights = runner.model.facts().weights
    one, two = (path for path, _ in sets[3])
    for path in (one, two):
        runner.model.add_adapter(path)
    asked = [(PROMPTS[0], adapters) for adapters in sets[:3]]
    before = [answers(runner, [ask])[0] for ask in asked]
    for _ in range(3):  # the contexts have it each time
        assert answers(runner, [(PROMPTS[0], sets[1])])[0] == before[1]
        runner.drop_adapter(one)
        runner.drop_adapter(one)
        assert runner.model.facts().weights == weights + Path(two).stat().st_size
        assert [answers(runner, [asked[place]])[0] for place in (0, 2)] == [before[0], before[2]]
        assert runner.model.add_adapter(one) == Path(one).stat().st_size


@pytest.mark.parametrize("layout", ["streams", "unified"])
def test_what_is_no_number_is_nobody_elses(make_runner: MakeRunner, sets: list[Adapters], layout: str) -> None:
    """Attention that is not fused multiplies what it masks, too: a NaN in a free cell would make every row one."""
    runner = make_runner(max_sequences=2, flash_attn="off", layout=layout)
    ((path, _),) = sets[1]
    runner.model.add_adapter(path)
    alone = [answers(runner, [(tokens, ())])[0][0] for tokens in PROMPTS]
    engine = Engine(runner, EngineOptions(inter_token_target=0, speculation=False, prefix_cache=False))
    ends: dict[int, str] = {}
    said: dict[int, list[int]] = {}

    def run(until: int | None = None) -> None:
        """Step to the end, or until sequence 0 has said so much."""
        while engine.has_work and (until is None or len(said.get(0, ())) < until):
            for event in engine.step(0.0):
                if isinstance(event, TokenEvent):
                    said.setdefault(event.id, []).append(event.token)
                elif isinstance(event, Ended):
                    ends[event.id] = event.reason
            engine.check()

    engine.add(SequenceSpec(0, PROMPTS[0], SAMPLER, max_tokens=COUNT))
    run(until=3)
    engine.add(SequenceSpec(1, prompt(9, 90), SAMPLER, max_tokens=COUNT, adapters=((path, 1e30),)))
    run()
    for number, tokens in enumerate(PROMPTS * 2, 2):
        engine.add(SequenceSpec(number, tokens, SAMPLER, max_tokens=COUNT))
    run()
    assert ends.pop(1) == "error"
    assert set(ends.values()) == {"length"}
    assert [said[0], *(said[number] for number in range(2, 6))] == [alone[0], *alone, *alone]
