"""Sequences that share a long prefix lie in one pool: their logits stay, and what is parked there serves streams.

Their prompts are computed with fused attention, beside it.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import gguf
import numpy as np
import pytest

from arriero.core.errors import ModelLoadError
from arriero.core.runner import Batch
from arriero.engine.engine import Engine
from arriero.engine.events import Started
from arriero.engine.options import EngineOptions
from arriero.engine.sequence import SequenceSpec
from arriero.runners.llama_cpp import contexts, gathering
from arriero.runners.llama_cpp.batch import TokenBatch
from arriero.runners.llama_cpp.context import DecodeError
from arriero.runners.llama_cpp.runner import LlamaCppRunner
from arriero.runners.llama_cpp.turning import turned
from tests.unit.runners.llama_cpp.conftest import MakeRunner
from tests.unit.runners.llama_cpp.driving import Recorder, prompt

SHARED, ANSWER = 600, 6
CLOSE = 0.02


class Asker:
    """Puts prompts to an engine at once; knows what was cached, drawn from, and how many lay in the pool at most."""

    def __init__(self, runner: LlamaCppRunner, *, prefix_cache: bool = True) -> None:
        self.runner = runner
        self.engine = Engine(runner, EngineOptions(prefix_cache=prefix_cache, inter_token_target=0))
        self.most = 0
        self.asked = 0

    def __call__(self, *prompts: list[int], answer: int = ANSWER) -> list[tuple[int, Recorder]]:
        recorders, cached = dict[int, Recorder](), dict[int, int]()
        for tokens in prompts:
            recorders[self.asked] = Recorder()
            self.engine.add(SequenceSpec(self.asked, tokens, recorders[self.asked], max_tokens=answer, draft_tokens=0))
            self.asked += 1
        while self.engine.has_work:
            cached.update({e.id: e.cached_tokens for e in self.engine.step(0.0) if isinstance(e, Started)})
            self.engine.check()
            self.most = max(self.most, len(self.runner.contexts.cells))
        return [(cached[number], recorder) for number, recorder in recorders.items()]


def asking(make_runner: MakeRunner, **options: object) -> Asker:
    return Asker(make_runner(**{"num_ctx": 1024, "max_sequences": 8, "parked_bytes": 1 << 24, **options}))


def expect_same(found: Recorder, alone: Recorder) -> None:
    np.testing.assert_allclose(np.array(found.seen), np.array(alone.seen), atol=CLOSE)


def prompts(count: int) -> list[list[int]]:
    return [prompt(1, SHARED) + prompt(10 + number, 20 + 3 * number) for number in range(count)]


def test_a_prefix_in_the_pool_gives_the_logits_of_a_fresh_prefill(make_runner: MakeRunner) -> None:
    ask, alone = asking(make_runner), asking(make_runner, layout="streams", parked_bytes=0)
    texts = prompts(12)
    found = ask(*texts)
    assert (ask.most, ask.runner.contexts.moves) == (8, 0)
    assert ask.runner.contexts.fused is not None
    assert ask.runner.contexts.fused.counters["decoded_tokens"] > SHARED + 7 * 20
    assert [cached for cached, _ in found] == [0] + 11 * [592]
    for text, (_, recorder) in zip(texts, found, strict=True):
        expect_same(recorder, alone(text)[0][1])
    assert len(ask.runner.contexts.cells) == len(ask.runner.contexts.fused_cells) == alone.most == 0
    # What was parked in the pool fills a stream, and the pool once more.
    cached, recorder = ask(texts[3])[0]
    assert cached > SHARED
    expect_same(recorder, found[3][1])
    ask.most = 0
    texts = [prompt(1, SHARED) + prompt(30 + number, 20) for number in range(4)]
    for text, (cached, recorder) in zip(texts, ask(*texts), strict=True):
        assert cached in (592, 600)
        expect_same(recorder, alone(text)[0][1])
    assert ask.most == 4


def test_a_state_turned_twice_is_what_it_was(make_runner: MakeRunner) -> None:
    ask = asking(make_runner)
    ask.engine.add(SequenceSpec(0, prompt(1, SHARED), Recorder(), max_tokens=20, draft_tokens=0))
    for _ in range(5):
        ask.engine.step(0.0)
    assert ask.runner.contexts.pool is not None
    state = ask.runner.contexts.pool.state(0)
    assert state is not None
    assert not np.array_equal(turned(state), state)
    np.testing.assert_array_equal(turned(turned(state)), state)
    with pytest.raises(ValueError, match="not the state of a sequence in one stream"):
        turned(np.zeros(100, np.uint8))


def test_those_who_grow_apart_leave_the_pool(make_runner: MakeRunner) -> None:
    ask, alone = asking(make_runner), asking(make_runner, layout="streams", parked_bytes=0)
    texts = prompts(7)
    found = ask(*texts, answer=300)
    assert ask.most == 7
    assert ask.runner.contexts.moves == 7
    for text, (_, recorder) in zip(texts[::3], found[::3], strict=True):
        expect_same(recorder, alone(text, answer=300)[0][1])


def test_who_began_in_a_stream_moves_when_others_share(make_runner: MakeRunner) -> None:
    ask, alone = asking(make_runner), asking(make_runner, layout="streams", parked_bytes=0)
    other, *texts = [prompt(99, 30), *prompts(6)]
    found = ask(other, *texts)
    assert (ask.most, ask.runner.contexts.moves) == (6, 1)
    for text, (_, recorder) in zip([other, *texts], found, strict=True):
        expect_same(recorder, alone(text)[0][1])


def test_a_lone_long_prompt_leaves_when_another_comes(make_runner: MakeRunner) -> None:
    ask, alone = asking(make_runner), asking(make_runner, layout="streams", parked_bytes=0)
    first, second = prompt(1, SHARED), prompt(2, 40)
    recorders = [Recorder(), Recorder()]
    for number, text in enumerate((first, second)):
        ask.engine.add(SequenceSpec(number, text, recorders[number], max_tokens=20, draft_tokens=0))
        for _ in range(4):
            ask.engine.step(0.0)
    assert (len(ask.runner.contexts.cells), ask.runner.contexts.moves) == (0, 1)
    while ask.engine.has_work:
        ask.engine.step(0.0)
    for text, recorder in zip((first, second), recorders, strict=True):
        expect_same(recorder, alone(text, answer=20)[0][1])


@pytest.mark.parametrize("options", [{"layout": "streams"}, {"layout": "unified"}, {"deterministic": True}])
def test_no_pool_where_the_layout_is_asked_for(make_runner: MakeRunner, options: dict[str, object]) -> None:
    ask = asking(make_runner, **options)
    ask(*prompts(6))
    assert (ask.runner.plan.pool_cells, ask.most, ask.runner.contexts.pool) == (0, 0, None)


def test_a_pool_that_does_not_fit_is_done_without(make_runner: MakeRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    ask = asking(make_runner)

    def refuse(*_: object) -> None:
        raise ModelLoadError("no context for the model")

    monkeypatch.setattr(contexts, "Context", refuse)
    found = ask(*prompts(6))
    assert (ask.most, [cached for cached, _ in found]) == (0, [0] + 5 * [592])


def test_a_failed_call_empties_the_pool(make_runner: MakeRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    ask = asking(make_runner)
    for number, text in enumerate(prompts(5)):
        ask.engine.add(SequenceSpec(number, text, Recorder(), max_tokens=50, draft_tokens=0))
    for _ in range(5):
        ask.engine.step(0.0)
    runner = ask.runner
    assert len(runner.contexts.cells) == 5
    assert runner.contexts.pool is not None

    def fail(batch: TokenBatch) -> None:
        raise DecodeError("llama_decode: computing failed")

    monkeypatch.setattr(runner.contexts.pool, "decode", fail)
    ask.engine.step(0.0)
    assert len(runner.contexts.cells) == 0
    runner.execute(Batch(frees=list(range(8))))
    assert all(runner.contexts.pool.positions(slot) == (-1, -1) for slot in range(8))


def test_who_is_outnumbered_leaves(make_runner: MakeRunner) -> None:
    ask, alone = asking(make_runner), asking(make_runner, layout="streams", parked_bytes=0)
    texts = [*prompts(3), *(prompt(50 + number, 20) for number in range(3))]
    recorders = [Recorder() for _ in texts]
    for number, text in enumerate(texts):
        ask.engine.add(SequenceSpec(number, text, recorders[number], max_tokens=12, draft_tokens=0))
        if number == 2:
            for _ in range(3):
                ask.engine.step(0.0)
            assert (len(ask.runner.contexts.cells), ask.runner.contexts.moves) == (3, 0)
    while ask.engine.has_work:
        ask.engine.step(0.0)
    assert ask.runner.contexts.moves == 3
    for text, recorder in zip(texts, recorders, strict=True):
        expect_same(recorder, alone(text, answer=12)[0][1])


def test_prompts_that_find_no_room_to_be_fused_are_computed_in_the_pool(
    make_runner: MakeRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask, alone = asking(make_runner), asking(make_runner, layout="streams", parked_bytes=0)
    monkeypatch.setattr(ask.runner.contexts, "fused_room", lambda: 0)
    texts = prompts(5)
    for text, (_, recorder) in zip(texts, ask(*texts), strict=True):
        expect_same(recorder, alone(text)[0][1])
    assert ask.most == 5
    assert ask.runner.contexts.fused is not None
    assert ask.runner.contexts.fused.counters["decode_calls"] == 0


def test_a_parked_state_that_the_pool_has_no_room_for_fills_a_stream(
    make_runner: MakeRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is cut to what is shared, but only once it lies somewhere."""
    ask, alone = asking(make_runner), asking(make_runner, layout="streams", parked_bytes=0)
    monkeypatch.setattr(gathering, "LEAST_SHARED", 300)
    monkeypatch.setattr(ask.runner.contexts, "_plan", replace(ask.runner.contexts._plan, cells=768))
    ask(prompt(1, 990))
    texts = [prompt(1, 990)[:400] + prompt(10 + number, 20) for number in range(4)]
    for text, (cached, recorder) in zip(texts, ask(*texts), strict=True):
        assert cached == 400
        expect_same(recorder, alone(text)[0][1])
    assert ask.engine.stats().failed_restores == 0


def test_a_model_that_notes_places_in_images_has_no_pool(
    tiny_path: Path, tmp_path: Path, make_runner: MakeRunner
) -> None:
    """Its states have more of each cell; a lone long prompt, which would begin in a pool, is answered all the same."""
    read, path = gguf.GGUFReader(tiny_path), tmp_path / "placed.gguf"
    writer = gguf.GGUFWriter(path, "qwen2vl")
    for field in read.fields.values():
        name, value = field.name.replace("llama.", "qwen2vl."), field.contents()
        if name.startswith("GGUF.") or name == "general.architecture":
            continue
        if field.types[0] is gguf.GGUFValueType.ARRAY:
            writer.add_array(name, value)
        else:
            writer.add_key_value(name, value, field.types[0])
    writer.add_array("qwen2vl.rope.dimension_sections", [4, 4, 4, 4])
    for tensor in read.tensors:
        writer.add_tensor(tensor.name, np.array(tensor.data), raw_dtype=tensor.tensor_type)
        if tensor.name.split(".")[-2] in ("attn_q", "attn_k", "attn_v"):
            bias = np.zeros(int(tensor.shape[1]), np.float32)
            writer.add_tensor(tensor.name.replace("weight", "bias"), bias)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    ask = Asker(make_runner(path, num_ctx=1024, max_sequences=8, parked_bytes=1 << 24))
    assert ask.runner.plan.pool_cells == 0
    assert len(ask(prompt(1, SHARED))[0][1].seen) == ANSWER
