"""What slots of the pool share is parked once, and need not be restored while it still lies there: proven by logits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from arriero.engine.sequence import SequenceSpec
from arriero.runners.llama_cpp.parks import ParkedState
from arriero.runners.llama_cpp.pool_parts import PoolParts
from arriero.runners.llama_cpp.runner import LlamaCppRunner
from arriero.runners.llama_cpp.split_states import SplitState, joined
from tests.unit.runners.llama_cpp.conftest import MakeRunner
from tests.unit.runners.llama_cpp.driving import Recorder, prompt
from tests.unit.runners.llama_cpp.test_pool import SHARED, Asker, asking, expect_same, prompts

Alone = Callable[[list[int]], Recorder]


@pytest.fixture
def ask(make_runner: MakeRunner) -> Asker:
    """An engine whose pool five prompts with one beginning have just left."""
    asker = asking(make_runner)
    asker(*prompts(5))
    return asker


@pytest.fixture
def alone(make_runner: MakeRunner) -> Alone:
    """What is drawn from after a prompt that is computed from nothing."""
    asker = asking(make_runner, layout="streams", parked_bytes=0)
    return lambda text: asker(text)[0][1]


def split(runner: LlamaCppRunner) -> list[SplitState]:
    """What is parked, in parts, all of it."""
    states = list(runner.parks._states.values())
    found = [state for state in states if isinstance(state, SplitState)]
    assert len(found) == len(states)
    return found


def seconds(first: int, count: int) -> list[list[int]]:
    """Prompts that begin as those of the fixture."""
    return [prompt(1, SHARED) + prompt(first + number, 20) for number in range(count)]


def sets(runner: LlamaCppRunner) -> int:
    """How often bytes were written into a context."""
    return runner.contexts.counters()["state_sets"]


def test_what_is_shared_is_parked_once(ask: Asker) -> None:
    states = split(ask.runner)
    assert len(states) == 5
    assert len({id(state.parts[0]) for state in states}) == 1
    assert [(part.start, end) for part, end in states[3].used] == [(0, 592), (592, states[3].length)]
    assert ask.runner.parks.bytes == sum(state.nbytes for state in states)


def expect_same_state(split: SplitState, state: npt.NDArray[np.uint8] | None) -> None:
    """The same but for the numbers of slots, which nobody reads: one in the head, one a cell."""
    whole = split.whole()
    assert whole is not None
    assert state is not None
    for data in (whole, state):
        data[4:8] = 0
        data[16 : 16 + 12 * split.length].reshape(-1, 12)[:, 8:] = 0
    np.testing.assert_array_equal(whole, state)


def test_joined_parts_are_the_state_that_was_split(make_runner: MakeRunner) -> None:
    ask = asking(make_runner)
    for number, text in enumerate(prompts(4)):
        ask.engine.add(SequenceSpec(number, text, Recorder(), max_tokens=20, draft_tokens=0))
    for _ in range(6):
        ask.engine.step(0.0)
    contexts = ask.runner.contexts
    assert contexts.pool is not None
    for slot in range(4):
        state = PoolParts(contexts).parked(slot)
        assert state is not None
        assert len(state.parts) == 2
        expect_same_state(state, contexts.pool.state(slot))
        for length in (600, 500):
            contexts.cut(slot, length)
            expect_same_state(SplitState(state.parts[: 1 + (length > 592)], length), contexts.pool.state(slot))
    with pytest.raises(ValueError, match="not the state of a sequence in one stream"):
        joined([(np.zeros(100, np.uint8), 10)])


def test_a_prefix_that_still_lies_there_is_not_restored(ask: Asker, alone: Alone) -> None:
    contexts, before = ask.runner.contexts, sets(ask.runner)
    assert [run.end for run in contexts.cells.kept] == [run.end for run in contexts.fused_cells.kept] == [592]
    texts, ask.most = seconds(30, 4), 0
    found = ask(*texts)
    assert ask.most == 4
    assert {cached for cached, _ in found} <= {592, 600}
    # The own prompts come from the fused context, and the tail behind the prefix is filled into both: nothing else.
    assert sets(ask.runner) - before <= 4 + 2
    for text, (_, recorder) in zip(texts, found, strict=True):
        expect_same(recorder, alone(text))


def test_what_others_pushed_out_is_filled_in_again(ask: Asker, alone: Alone) -> None:
    shared = split(ask.runner)[0].parts[0]
    ask(prompt(7, 700))
    assert [run.end for run in ask.runner.contexts.cells.kept] == []
    texts, ask.most = seconds(30, 4), 0
    found = ask(*texts)
    assert ask.most == 4
    for text, (cached, recorder) in zip(texts, found, strict=True):
        assert cached >= 592
        expect_same(recorder, alone(text))
    states = [state for state in ask.runner.parks._states.values() if isinstance(state, SplitState)]
    assert sum(state.parts[0] is shared for state in states) == 9  # what was parked then has the same part


def test_a_lone_sequence_goes_on_in_a_stream(ask: Asker, alone: Alone) -> None:
    text = [*prompts(5)[3], *prompt(77, 90)]
    ask(text)
    assert ask.runner.contexts.cells.kept
    ask.most = 0
    text += prompt(78, 20)
    cached, recorder = ask(text)[0]
    assert (cached, ask.most) == (SHARED + 29 + 90, 0)
    expect_same(recorder, alone(text))


def test_one_with_more_of_its_own_joins_those_that_share(ask: Asker, alone: Alone) -> None:
    """Its parked state has more than the others', who would be in the pool without it."""
    texts, ask.most = [*seconds(30, 3), [*prompts(5)[3], *prompt(77, 40)]], 0
    found = ask(*texts)
    assert ask.most == 4
    assert found[3][0] == SHARED + 29
    for text, (_, recorder) in zip(texts, found, strict=True):
        expect_same(recorder, alone(text))


@pytest.mark.parametrize("which", [0, 1])
def test_a_part_that_has_changed_is_not_used(ask: Asker, alone: Alone, which: int) -> None:
    part = split(ask.runner)[3].parts[which].state
    assert isinstance(part, ParkedState)
    ask(prompt(7, 700))  # what lies in the pool goes
    part.data[part.data.size // 2] ^= 1
    text = [*prompts(5)[3], *prompt(77, 40)]
    cached, recorder = ask(text)[0]
    assert ask.engine.stats().failed_restores == 1
    assert cached < SHARED + 29
    expect_same(recorder, alone(text))


def test_states_in_parts_outlive_their_runner(make_runner: MakeRunner, tmp_path: Path, alone: Alone) -> None:
    kept = {"spill_folder": str(tmp_path / "prefixes"), "digest": "ab" * 32}
    first = asking(make_runner, **kept)
    first(*prompts(5))
    first.engine.spill_all()
    while first.engine.has_work:
        first.engine.step(0.0)
    assert first.runner.states.disk is not None
    first.runner.states.disk.close(60.0)
    ask = asking(make_runner, **kept)
    text = [*prompts(5)[3], *prompt(77, 40)]
    cached, recorder = ask(text)[0]
    assert cached == SHARED + 29
    expect_same(recorder, alone(text))
