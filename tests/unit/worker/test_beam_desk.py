"""Beam search on real kernels: what a search finds that computes all of every beam again, from one prefill."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from arriero.core.request import Beams, SamplingParams
from arriero.engine.engine import Engine
from arriero.engine.events import Ended, EngineEvent, Started, TokenEvent
from arriero.engine.options import EngineOptions
from arriero.engine.sequence import SequenceSpec
from arriero.runners.llama_cpp.model import Model
from arriero.runners.llama_cpp.options import LlamaCppOptions
from arriero.runners.llama_cpp.runner import LlamaCppRunner
from arriero.runners.sampler import NumpySampler
from arriero.store.catalog import demo_path
from arriero.worker.beam_desk import BeamDesk

TEXT = "<|im_start|>user\nTell me a story about a duck that lives by the sea.<|im_end|>\n<|im_start|>assistant\nOne day"
WIDTH, LENGTH = 3, 14


@pytest.fixture(scope="module", params=["unified", "streams"])
def runner(request: pytest.FixtureRequest) -> Iterator[LlamaCppRunner]:
    options = LlamaCppOptions(
        path=str(demo_path()), num_ctx=256, num_thread=1, max_sequences=4, flash_attn="off", layout=request.param
    )
    made = LlamaCppRunner(Model(options), options)
    yield made
    made.close()


class _World:
    def __init__(self, runner: LlamaCppRunner) -> None:
        self.eog = runner.model.vocab.eog_ids
        self.prompt = runner.model.vocab.encode(TEXT, add_special=True, parse_special=True)
        self.engine = Engine(runner, EngineOptions())
        self.desk = BeamDesk(self.engine, self.sampler, self.eog)

    def sampler(self, params: SamplingParams, mask: None = None) -> NumpySampler:
        return NumpySampler(params, eog_ids=self.eog, mask=mask)

    def spec(self, number: int, max_tokens: int = LENGTH) -> SequenceSpec:
        sampler = self.sampler(SamplingParams(temperature=0.0))
        return SequenceSpec(number, self.prompt, sampler, max_tokens=max_tokens, stop_ids=self.eog)

    def run(self) -> list[EngineEvent]:
        told: list[EngineEvent] = []
        while self.engine.has_work:
            told += self.desk.told(self.engine.step(0.0))
            self.engine.check()
        return told


def _again(runner: LlamaCppRunner, prompt: list[int], eog: frozenset[int], width: int) -> list[list[int]]:
    """The same search, written down as it is defined; every beam is computed from its first token on."""
    engine, number = Engine(runner, EngineOptions(prefix_cache=False)), 0
    beams: list[tuple[float, list[int]]] = [(0.0, [])]
    ended: list[tuple[float, list[int]]] = []

    def score(beam: tuple[float, list[int]]) -> float:
        return beam[0] / (len(prompt) + len(beam[1]) - (beam[1][-1] in eog))

    for _ in range(LENGTH):
        found = []
        for logprob, tokens in beams:
            params = SamplingParams(temperature=0.0, logprobs=2 * width)
            sampler = NumpySampler(params, eog_ids=eog)
            engine.add(SequenceSpec(number, [*prompt, *tokens], sampler, max_tokens=1, use_cache=False))
            number += 1
            while engine.has_work:
                for event in engine.step(0.0):
                    if isinstance(event, TokenEvent):
                        found += [(logprob + more, [*tokens, token]) for token, more in event.top]
        ended += [beam for beam in found if beam[1][-1] in eog]
        beams = sorted((beam for beam in found if beam[1][-1] not in eog), key=score, reverse=True)[:width]
    return [tokens for _, tokens in sorted([*ended, *beams], key=score, reverse=True)[:width]]


def test_it_finds_what_computing_everything_again_finds_from_one_prefill(runner: LlamaCppRunner) -> None:
    world = _World(runner)
    for rank in (0, 1):
        assert world.desk.add(world.spec(rank), Beams(width=WIDTH, rank=rank, group="a"), SamplingParams()) == []
    told = world.run()
    late = world.desk.add(world.spec(2), Beams(width=WIDTH, rank=2, group="a"), SamplingParams())
    assert not world.engine.has_work
    answers = [[one.token for one in [*told, *late] if one.id == n and isinstance(one, TokenEvent)] for n in range(3)]
    assert answers == _again(runner, world.prompt, world.eog, WIDTH)
    assert len({tuple(answer) for answer in answers}) == WIDTH
    assert [one.id for one in [*told, *late] if isinstance(one, Ended)] == [0, 1, 2]
    assert sum(isinstance(one, Started) for one in told) == 2
    stats = world.engine.stats()
    forks = 1 + WIDTH * (LENGTH - 1)
    assert stats.decoded_tokens <= forks
    assert stats.prefilled_tokens == len(world.prompt) - 1 + stats.decoded_tokens  # a fork has all of its parent's
    assert stats.parks <= WIDTH  # what the last ones end with: what nobody continued is not kept
    assert stats.gauges["blocks_active"] == 0


def test_a_client_that_goes_takes_its_search_along_and_the_next_begins_anew(runner: LlamaCppRunner) -> None:
    world = _World(runner)
    for number in (0, 1):
        world.desk.add(world.spec(number), Beams(width=WIDTH, rank=number, group="a"), SamplingParams())
    world.desk.told(world.engine.step(0.0))
    world.desk.abort(0)
    assert world.engine.has_work
    world.desk.abort(1)
    assert world.run() == []
    assert world.engine.stats().gauges["blocks_active"] == 0
    world.desk.add(world.spec(2, max_tokens=3), Beams(width=2, group="a"), SamplingParams())
    told = world.run()
    assert [one.reason for one in told if isinstance(one, Ended)] == ["length"]
    assert [one.logprob for one in told if isinstance(one, TokenEvent)] == [None] * 3  # nobody asked for them


def test_what_cannot_run_fails_every_request_of_its_search(runner: LlamaCppRunner) -> None:
    world = _World(runner)
    spec = world.spec(0)
    for number in (0, 1):
        long = SequenceSpec(number, spec.tokens * 20, spec.sampler, max_tokens=4)
        world.desk.add(long, Beams(width=2, rank=number, group="b"), SamplingParams())
    told = world.run()
    assert [(one.id, one.reason) for one in told if isinstance(one, Ended)] == [(0, "error"), (1, "error")]
