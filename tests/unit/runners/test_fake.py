"""The fake runner: its answers depend on what it stored, and it refuses batches that break the contract."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from arriero.core.errors import ModelLoadError
from arriero.core.model import ModelSpec
from arriero.core.request import LoadOptions, SamplingParams
from arriero.core.runner import Batch, Choice, Park, Restore, RunnerInfo, Span
from arriero.core.tokenizer import LoadedModel
from arriero.runners import open_model
from arriero.runners.fake import FakeRunner
from arriero.runners.fake_answers import GreedySampler, Script, echo, scripted
from arriero.runners.fake_faults import ContractViolationError

PROMPT = [5, 6, 7, 8, 9]


def _runner(script: Script | None = None, **changes: Any) -> FakeRunner:
    facts: dict[str, Any] = {
        "n_vocab": 100,
        "max_sequences": 4,
        "max_sequence_tokens": 64,
        "max_batch_tokens": 32,
        "active_blocks": 16,
        "parked_blocks": 4,
        "block_size": 4,
    }
    return FakeRunner(RunnerInfo(**(facts | changes)), script=script)


def _span(tokens: list[int], start: int = 0, end: int | None = None, slot: int = 0, prompt_len: int = 5) -> Span:
    end = len(tokens) if end is None else end
    sampler = GreedySampler() if end == len(tokens) else None
    return Span(slot, tokens, start, end, prompt_len, list(range(4 * slot, 4 * slot + 4)), sampler)


def _draw(runner: FakeRunner, *spans: Span, **operations: Any) -> list[int | None]:
    output = runner.execute(Batch(spans=list(spans), **operations))
    return [choice.token if choice is not None else None for choice in output.choices]


def _generate(runner: FakeRunner, prompt: list[int], count: int) -> list[int]:
    tokens, start = list(prompt), 0
    for _ in range(count):
        (token,) = _draw(runner, _span(tokens, start, prompt_len=len(prompt)))
        assert token is not None
        start = len(tokens)
        tokens.append(token)
    return tokens[len(prompt) :]


def test_scripts() -> None:
    assert _generate(_runner(echo(end=99)), [1, 2, 3], 5) == [1, 2, 3, 99, 99]
    script = scripted({(1, 2): [7, 8]}, end=99)
    assert _generate(_runner(script), [1, 2], 3) == [7, 8, 99]
    assert _generate(_runner(script), [1, 3], 1) == [99]


@pytest.mark.parametrize("storage", ["paged", "sequence"])
def test_chunks_do_not_matter(storage: str) -> None:
    whole = _draw(_runner(storage=storage), _span(PROMPT))
    runner = _runner(storage=storage)
    assert _draw(runner, _span(PROMPT, 0, 2)) == [None]
    assert _draw(runner, _span(PROMPT, 2)) == whole


def test_what_is_stored_decides() -> None:
    runner = _runner(n_vocab=50_000)
    _draw(runner, _span([1, 2, 3, 4, 9], 0, 4))
    expected = _draw(_runner(n_vocab=50_000), _span([5, 6, 7, 8, 9]))
    assert _draw(runner, _span([5, 6, 7, 8, 9], 4)) != expected  # the slot holds another prefix

    paged = _runner(n_vocab=50_000, storage="paged")
    _draw(paged, _span([1, 2, 3, 4, 9], 0, 4))
    span = _span([5, 6, 7, 8, 9])
    _draw(paged, _span([5, 6, 7, 8, 9], 0, 4, slot=1))
    assert _draw(paged, Span(2, span.tokens, 4, 5, 5, [4, 8], span.sampler)) == expected
    assert _draw(paged, Span(2, span.tokens, 4, 5, 5, [0, 8], span.sampler)) != expected


def test_park_free_restore_drop() -> None:
    runner = _runner()
    expected = _draw(_runner(), _span(PROMPT))
    _draw(runner, _span([5, 6, 7, 8], prompt_len=4))
    span = _span(PROMPT, 3, slot=2)
    moves = Batch([span], [Park(0, 1, 4)], [0], [Restore(2, 3, from_parked=1)], [1])
    choice = runner.execute(moves).choices[0]
    assert choice is not None
    assert [choice.token] == expected
    assert (runner.used_slots(), runner.parked_states(), runner.used_cells()) == ({2}, set(), 5)
    assert _draw(runner, _span(PROMPT, 4, slot=3), restores=[Restore(3, 4, from_slot=2)]) == expected
    assert runner.used_cells() == 6  # four of them shared
    runner.close()
    with pytest.raises(ContractViolationError, match="close"):
        runner.execute(Batch())


def test_faults_happen_once() -> None:
    runner = _runner()
    runner.faults.error = "no"
    assert runner.execute(Batch([_span(PROMPT)])).error == "no"
    runner.faults.raising = KeyError("no")
    with pytest.raises(KeyError):
        runner.execute(Batch([_span(PROMPT)]))
    _draw(runner, _span(PROMPT))
    runner.faults.parks = runner.faults.restores = 1
    output = runner.execute(Batch(parks=[Park(0, 1, 4), Park(0, 2, 4)], restores=[Restore(1, 4, from_slot=0)]))
    assert (output.failed_parks, output.failed_restores) == ([1], [1])
    assert runner.parked_states() == {2}
    output = runner.execute(Batch([_span(PROMPT, 4, slot=1)], restores=[Restore(1, 4, from_parked=2)]))
    assert isinstance(output.choices[0], Choice)


def _fails(runner: FakeRunner, batch: Batch, match: str) -> None:
    with pytest.raises(ContractViolationError, match=match):
        runner.execute(batch)
    assert len(runner.violations) == 1


@pytest.mark.parametrize(
    ("batch", "match"),
    [
        (Batch([_span(PROMPT, 2)]), "holds 0 tokens"),
        (Batch([_span(list(range(40)), prompt_len=40)]), "max_batch_tokens"),
        (Batch([_span(PROMPT), _span(PROMPT)]), "two spans"),
        (Batch([_span(PROMPT, slot=4)]), "impossible"),
        (Batch([Span(0, PROMPT, 0, 5, 5, [0], GreedySampler())]), "too short"),
        (Batch([Span(0, PROMPT, 0, 4, 5, [0], GreedySampler())]), "sampler"),
        (Batch([Span(0, PROMPT, 0, 5, 5, [0, 1])]), "sampler"),
        (Batch(parks=[Park(0, 1, 4)]), "impossible"),
        (Batch(restores=[Restore(0, 4, from_slot=1)]), "does not have"),
        (Batch(restores=[Restore(0, 4)]), "impossible"),
    ],
)
def test_violations(batch: Batch, match: str) -> None:
    _fails(_runner(), batch, match)


def test_violations_of_what_it_can_do() -> None:
    _fails(_runner(chunk_align=4), Batch([_span(PROMPT, 0, 3)]), "chunk ends")
    _fails(_runner(storage="paged"), Batch(drops=[1]), "neither parks")
    _fails(_runner(storage="paged"), Batch([_span(PROMPT, 4)]), "never computed")
    _fails(_runner(storage="paged", active_blocks=2), Batch([_span(PROMPT, slot=1)]), "does not exist")
    _fails(_runner(max_sequence_tokens=4), Batch([_span(PROMPT)]), "max_sequence_tokens")
    runner = _runner(parked_blocks=0)
    _draw(runner, _span(PROMPT))
    _fails(runner, Batch(parks=[Park(0, 1, 4)]), "parked, at most 0")


def test_an_unknown_parked_state_cannot_be_restored() -> None:
    runner = _runner()
    assert runner.execute(Batch(restores=[Restore(0, 4, from_parked=1)])).failed_restores == [0]
    assert len(runner.violations) == 1


def _spec(runner: str) -> ModelSpec:
    return ModelSpec(name="f:latest", path="", digest="0" * 64, size=0, modified_at=0.0, runner=runner)


def test_runners_are_found_by_name() -> None:
    told: list[float] = []
    opened = open_model(_spec("fake"), LoadOptions(num_ctx=64), {"max_sequences": 3}, told.append)
    assert isinstance(opened, LoadedModel)
    assert isinstance(opened.runner, FakeRunner)
    assert (opened.runner.info.max_sequence_tokens, opened.runner.info.max_sequences, told) == (64, 3, [1.0])
    assert opened.tokenizer.encode("é", add_special=True, parse_special=True) == [0xC3, 0xA9]
    assert opened.make_sampler(SamplingParams(), None).sample([0.0, 2.0, 1.0], [], 0).token == 1
    with pytest.raises(ModelLoadError, match="no runner called 'vllm', only fake"):
        open_model(_spec("vllm"), LoadOptions(), {}, told.append)


def test_neither_the_table_nor_the_fake_imports_anything_heavy() -> None:
    code = (
        "import sys, arriero.runners.fake as fake; from arriero.runners import fake_answers; "
        "assert not {'numpy', 'llama_cpp', 'torch'} & set(sys.modules); "
        "sys.modules['numpy'] = None; "
        "r = fake.FakeRunner(); s = fake.Span(0, [1, 2], 0, 2, 2, [0], fake_answers.GreedySampler()); "
        "print(r.execute(fake.Batch([s])).choices[0].token)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) == _draw(FakeRunner(), _span([1, 2], prompt_len=2))[0]
