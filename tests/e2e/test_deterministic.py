"""Deterministic mode: 32 streams at once say what each says alone, they share batches, and that pays.

Nothing is rounded and nothing runs one by one to get there: the counters show full batches.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.asking import Answer, ask_all, ask_each, completion
from tests.e2e.serving import Server, serve

CLIENTS = 32
WORDS = "river stone window garden lamp bridge market cloud silver morning letter harbour".split()


def prompts() -> list[str]:
    """Prompts of different lengths, some 5 to 40 tokens."""
    return [" ".join(WORDS[(i * 5 + j) % len(WORDS)] for j in range(1 + i % 9)) + f" {i}" for i in range(CLIENTS)]


def bodies(**fields: Any) -> list[dict[str, Any]]:
    """One body for each client, 32 to 55 tokens each."""
    return [completion(prompt, 32 + (i * 7) % 24, **fields) for i, prompt in enumerate(prompts())]


def timed(ask: Callable[[], Any]) -> tuple[list[Answer], float]:
    """Run `ask`; the answers and the seconds it took."""
    started = time.monotonic()
    answers: list[Answer] = asyncio.run(ask())
    return answers, time.monotonic() - started


def growth(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    """By how much each counter has grown, by its short name."""
    found = {name: value - before.get(name, 0) for name, value in after.items()}
    return {name.removeprefix("arriero_").removesuffix("_total"): value for name, value in found.items()}


def seeded() -> list[dict[str, Any]]:
    """Temperature 1 over the whole vocabulary, a seed for each client."""
    return [{**body, "seed": 1000 + i} for i, body in enumerate(bodies(temperature=1, top_k=0))]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", ["greedy", "seeded"])
def test_thirty_two_at_once_say_what_each_says_alone(
    exact_server: Server, kind: str, record_property: Callable[[str, object], None]
) -> None:
    asked = bodies() if kind == "greedy" else seeded()
    asyncio.run(ask_each(exact_server, "/v1/completions", asked[:1]))  # loads the model
    alone, seconds_alone = timed(lambda: ask_each(exact_server, "/v1/completions", asked))
    ratios = []
    for attempt in range(3):  # texts and batches must be right each time; the time is a busy machine's best of three
        before = exact_server.metrics()
        together, seconds = timed(lambda: ask_all(exact_server, "/v1/completions", asked))
        after = exact_server.metrics()
        assert [answer.text for answer in together] == [answer.text for answer in alone]
        assert all(answer.closed and answer.reason == "length" for answer in [*together, *alone])

        grown = growth(before, after)
        drawn = sum(body["max_tokens"] for body in asked)
        assert grown["decoded_tokens"] == drawn
        # Two readings of "sequences a decode call": of engine steps, and of llama_decode calls, those for prompts
        # included, which in this mode hold one sequence each.
        a_step = grown["batch_sequences"] / grown["decode_calls"]
        a_call = drawn / grown["runner_decode_calls"]
        record_property(f"sequences_a_step_{attempt}", round(a_step, 1))
        record_property(f"tokens_drawn_a_llama_decode_{attempt}", round(a_call, 1))
        assert a_step >= 8
        assert a_call >= 8
        ratios.append(seconds / seconds_alone)
        if ratios[-1] < 0.5:
            break
        alone, seconds_alone = timed(lambda: ask_each(exact_server, "/v1/completions", asked))
    record_property("time_together_over_time_alone", [round(ratio, 3) for ratio in ratios])
    print(f"{kind}: {CLIENTS} together take {ratios} of the time of one after another, {a_step:.1f} sequences a step")
    assert min(ratios) < 0.5


def test_seeds_make_the_difference(exact_server: Server) -> None:
    """The test above would mean little if temperature 1 said what temperature 0 says."""
    greedy = asyncio.run(ask_all(exact_server, "/v1/completions", bodies()[:6]))
    first = asyncio.run(ask_all(exact_server, "/v1/completions", seeded()[:6]))
    second = asyncio.run(ask_all(exact_server, "/v1/completions", [{**body, "seed": 5} for body in seeded()[:6]]))
    assert all(a.text != b.text for a, b in zip(greedy, first, strict=True))
    assert all(a.text != b.text for a, b in zip(first, second, strict=True))


def test_answers_do_not_depend_on_prefix_sharing(exact_server: Server, tmp_path: Path) -> None:
    """The same prompts, which share beginnings, on a server that shares and on one that does not."""
    prefix = " ".join(WORDS[(3 * i) % len(WORDS)] for i in range(60))
    asked = [
        completion(f"{prefix} {word}", 24, **extra) for word in WORDS for extra in ({}, {"temperature": 1, "seed": 9})
    ]
    before = exact_server.metrics()
    shared = asyncio.run(ask_all(exact_server, "/v1/completions", asked))
    again = asyncio.run(ask_all(exact_server, "/v1/completions", asked))
    cached = exact_server.metrics()["arriero_cached_tokens_total"] - before["arriero_cached_tokens_total"]
    prompt = shared[0].usage["prompt_tokens"]
    assert cached > (2 * len(asked) - 2) * (prompt - 48)
    with serve(tmp_path, environment={"ARRIERO_DETERMINISTIC": "1", "ARRIERO_PREFIX_CACHE": "0"}) as plain:
        computed = asyncio.run(ask_all(plain, "/v1/completions", asked))
        assert plain.metrics()["arriero_cached_tokens_total"] == 0
    assert [answer.text for answer in shared] == [answer.text for answer in computed]
    assert [answer.text for answer in again] == [answer.text for answer in computed]
    assert all(answer.usage["prompt_tokens_details"]["cached_tokens"] == 0 for answer in computed)
