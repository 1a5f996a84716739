"""Deterministic mode: 32 streams at once say what each says alone, they share batches, and that pays.

Nothing is rounded and nothing runs one by one to get there: the counters show full batches.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.e2e.asking import Answer, ask, ask_all, ask_each, completion, new_session
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


@pytest.mark.parametrize("kind", ["greedy", "seeded"])
def test_thirty_two_at_once_say_what_each_says_alone(
    exact_server: Server, kind: str, record_property: Callable[[str, object], None]
) -> None:
    asked = bodies() if kind == "greedy" else seeded()
    alone = asyncio.run(ask_each(exact_server, "/v1/completions", asked))
    assert all(answer.closed and answer.reason == "length" for answer in alone)
    drawn = sum(body["max_tokens"] for body in asked)
    shared = []
    # The best of three: where others keep the clients from sending, some answers end before the last request comes.
    for _ in range(3):
        before = exact_server.metrics()
        together = asyncio.run(ask_all(exact_server, "/v1/completions", asked))
        grown = growth(before, exact_server.metrics())
        assert [answer.text for answer in together] == [answer.text for answer in alone]
        assert all(answer.closed and answer.reason == "length" for answer in together)
        assert grown["decoded_tokens"] == drawn
        # Two readings of "sequences a decode call": of engine steps, and of llama_decode calls, those for prompts
        # included, which in this mode hold one sequence each.
        a_step = grown["batch_sequences"] / grown["decode_calls"]
        a_call = drawn / grown["runner_decode_calls"]
        shared.append((round(a_step, 1), round(a_call, 1)))
        if min(shared[-1]) >= 8:
            break
    record_property("sequences_a_step_and_tokens_drawn_a_llama_decode", shared)
    print(f"{kind}: sequences a step, tokens drawn a llama_decode call: {shared}")
    assert any(min(pair) >= 8 for pair in shared)


@pytest.mark.timeout(300)
def test_thirty_two_at_once_take_a_fraction_of_the_calls(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """With as many threads as a model gets where nobody says how many; the time is told, benchmarks judge it."""
    asked = [completion(f"{WORDS[i % len(WORDS)]} {i}", 40) for i in range(CLIENTS)]
    calls, times = [], []
    with serve(tmp_path, environment={"ARRIERO_DETERMINISTIC": "1"}) as server:
        asyncio.run(ask_each(server, "/v1/completions", asked[:1]))  # loads the model
        for _ in range(3):  # the best of three, as above
            first = server.metrics()
            alone, seconds_alone = timed(lambda: ask_each(server, "/v1/completions", asked))
            second = server.metrics()
            together, seconds = timed(lambda: ask_all(server, "/v1/completions", asked))
            third = server.metrics()
            assert [answer.text for answer in together] == [answer.text for answer in alone]
            one, other = growth(first, second)["runner_decode_calls"], growth(second, third)["runner_decode_calls"]
            assert one >= CLIENTS * 40  # one by one: a call a token
            calls.append(round(other / one, 3))
            times.append(round(seconds / seconds_alone, 3))
            if calls[-1] < 0.25:
                break
    record_property("calls_and_time_together_over_alone", [calls, times])
    print(f"{CLIENTS} together take {calls} of the llama_decode calls of one after another, {times} of the time")
    assert min(calls) < 0.25


def test_seeds_make_the_difference(exact_server: Server) -> None:
    """The test above would mean little if temperature 1 said what temperature 0 says."""
    greedy = asyncio.run(ask_all(exact_server, "/v1/completions", bodies()[:6]))
    first = asyncio.run(ask_all(exact_server, "/v1/completions", seeded()[:6]))
    second = asyncio.run(ask_all(exact_server, "/v1/completions", [{**body, "seed": 5} for body in seeded()[:6]]))
    # Not all: where the model is sure of itself, temperature 1 may say what temperature 0 says.
    assert any(a.text != b.text for a, b in zip(greedy, first, strict=True))
    assert any(a.text != b.text for a, b in zip(first, second, strict=True))
    hot = [[{**body, "temperature": 2, "seed": seed + i} for i, body in enumerate(seeded()[:6])] for seed in (1, 100)]
    one, other = (asyncio.run(ask_all(exact_server, "/v1/completions", asked)) for asked in hot)
    assert all(len({a.text, b.text, c.text}) == 3 for a, b, c in zip(greedy, one, other, strict=True))


def test_who_leaves_and_who_waits_changes_nothing(exact_server: Server) -> None:
    """Forty clients on 32 places, every third of them gone in the middle: the others say what they say alone."""
    asked = [completion(f"{word} {i}", 24) for i in range(4) for word in WORDS[:10]]
    staying = [body for i, body in enumerate(asked) if i % 3]

    async def leave(session: aiohttp.ClientSession, body: dict[str, Any], lines: int) -> None:
        async with session.post(f"{exact_server.url}/v1/completions", json={**body, "max_tokens": 1000}) as reply:
            for _ in range(lines):
                await reply.content.readline()
            reply.close()

    async def run() -> list[Answer]:
        async with new_session() as session:
            url = f"{exact_server.url}/v1/completions"
            leaving = [asyncio.create_task(leave(session, body, 1 + i)) for i, body in enumerate(asked) if i % 3 == 0]
            found = list(await asyncio.gather(*(ask(session, url, body) for body in staying)))
            await asyncio.gather(*leaving)
            return found

    before = exact_server.metrics()
    together = asyncio.run(run())
    after = exact_server.wait_for("arriero_blocks_active", "==", 0)
    alone = asyncio.run(ask_each(exact_server, "/v1/completions", staying))
    assert [answer.text for answer in together] == [answer.text for answer in alone]
    assert growth(before, after)["aborts"] == len(asked) - len(staying)


def test_threads_change_nothing(exact_server: Server) -> None:
    """The shared server computes on one thread; two say the same."""
    asked = [completion(f"{word} {i}", 12) for i in range(2) for word in WORDS]
    one = asyncio.run(ask_all(exact_server, "/v1/completions", asked))
    two = asyncio.run(
        ask_all(exact_server, "/v1/completions", [{**body, "options": {"num_thread": 2}} for body in asked])
    )
    exact_server.load()
    assert [answer.text for answer in two] == [answer.text for answer in one]


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
        plain.load()
        computed = asyncio.run(ask_all(plain, "/v1/completions", asked))
        assert plain.metrics()["arriero_cached_tokens_total"] == 0
    assert [answer.text for answer in shared] == [answer.text for answer in computed]
    assert [answer.text for answer in again] == [answer.text for answer in computed]
    assert all(answer.usage["prompt_tokens_details"]["cached_tokens"] == 0 for answer in computed)
