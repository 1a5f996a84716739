from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from arriero.store.catalog import demo_path
from benchmarks.scored_again import BOUND, WAYS, Scored, answers, measure, opened, prompts, scored, unsteady

TEXTS = 6


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Scored]:
    draft = unsteady(demo_path(), tmp_path_factory.mktemp("scored") / "unsteady.gguf")
    return measure(demo_path(), draft, TEXTS, 40, 1, WAYS)


@pytest.mark.parametrize(
    ("way", "counter"),
    [
        ("8 at a time", "batch_sequences_total"),
        ("guesses from the text", "accepted_tokens"),
        ("guesses of a draft model, too", "accepted_tokens"),
        ("computed again after preemptions", "recomputed_tokens"),
    ],
)
def test_greedy_tokens_are_greedy_when_scored_alone(
    results: dict[str, Scored], way: str, counter: str, record_property: Callable[[str, object], None]
) -> None:
    """The share of equal texts is told, not asserted: last bits may turn a draw between two equals."""
    one = results[way]
    record_property("equal_texts", f"{one.equal}/{one.texts}")
    record_property("worst_deviations", round(one.worst, 4))
    print(f"{way}: {one.equal} of {one.texts} texts equal; {one.tokens} tokens, the worst {one.worst:.4f} behind")
    assert one.counters[counter] > 0
    assert one.texts == TEXTS < one.tokens
    assert one.worst <= BOUND


def test_a_draft_model_guesses_beyond_what_the_text_says(results: dict[str, Scored]) -> None:
    drafting, text = results["guesses of a draft model, too"], results["guesses from the text"]
    assert drafting.counters["accepted_tokens"] > text.counters["accepted_tokens"]


def test_a_wrong_token_is_told(tmp_path: Path) -> None:
    with opened(demo_path(), None, 1) as model:
        (prompt,) = prompts(model, 1)
        ((best, *_),), _ = answers(model, [prompt], WAYS[1], 4)
        assert scored(model.runner, prompt, [best]) == 0
        assert scored(model.runner, prompt, [best + 1]) > BOUND
