"""The cases with streams side by side: how fast, how fair, how steady."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from itertools import pairwise

from arriero.client.bench.agents import converse_alone, converse_shared
from arriero.client.bench.case import Bench, Case, Metric, Unmeasured
from arriero.client.bench.counted import counted
from arriero.client.bench.figures import decode_rate, output_rate, percentile
from arriero.client.bench.sample import Sample

_EDIT = "Copy this text: "
_SETTLE_S = 0.1
_IDLE_S = 3.0  # what servers do only when they have no other work (grammars, caches, a worker for the next model) is
# done by then: not beside another one's start, and each server is as ready as it gets
_SINGLE_MOST = 16
_SINGLE_S = 1.0  # a tenth of that says more about what else the machine does
_STEADY = 8  # pieces of a stream after which it counts as running
_LONGEST = 4000  # tokens of a stream that runs while another prompt comes; it is closed before

DECODE = Metric("decode", "tok/s", "higher")
OUTPUT = Metric("output", "tok/s", "higher")
TTFT = Metric("ttft", "s", "lower")
TTFT_P99 = Metric("ttft_p99", "s", "lower")
GAP = Metric("worst_gap", "s", "lower")
TOTAL = Metric("total", "s", "lower")
MEMORY = Metric("pss", "MiB", "lower")
SPARE = "spare_worker"


async def single(bench: Bench) -> Mapping[str, float]:
    """One stream: tokens a second behind the first. Texts that take a moment only are followed by others."""
    for number in range(_SINGLE_MOST):
        prompt = bench.words.text(f"single {number}", bench.size.own_words)
        await bench.asker.ask(prompt, bench.size.single_output).task
        if bench.asker.now() >= _SINGLE_S:
            break
    return _decoding(finished(bench))


async def _load(bench: Bench, clients: int, prompts: Sequence[str], max_tokens: int) -> list[Sample]:
    """Let `clients` work the prompts off."""
    waiting = list(reversed(prompts))

    async def client() -> None:
        while waiting:
            await bench.asker.ask(waiting.pop(), max_tokens).task

    await asyncio.gather(*(client() for _ in range(clients)))
    return finished(bench)


async def sweep(bench: Bench, clients: int) -> Mapping[str, float]:
    """`clients` streams at a time, nothing in common."""
    count = clients * bench.size.sweep_requests
    prompts = [bench.words.text(f"sweep {number}", bench.size.own_words) for number in range(count)]
    samples = await _load(bench, clients, prompts, bench.size.sweep_output)
    return {"output": output_rate(samples), "ttft_p99": percentile([one.ttft for one in samples], 0.99)}


async def one_client(bench: Bench) -> Mapping[str, float]:
    """See sweep."""
    return await sweep(bench, 1)


async def eight_clients(bench: Bench) -> Mapping[str, float]:
    """See sweep."""
    return await sweep(bench, 8)


async def sixteen_clients(bench: Bench) -> Mapping[str, float]:
    """See sweep."""
    return await sweep(bench, 16)


async def shared_prefix(bench: Bench) -> Mapping[str, float]:
    """8 clients, 16 requests that begin with the same words, which the server has never seen."""
    shared = bench.words.text("shared", bench.size.shared_words)
    own = (bench.words.text(f"own {number}", bench.size.own_words) for number in range(16))
    samples = await _load(bench, 8, [f"{shared} {text}" for text in own], bench.size.shared_output)
    return {"output": output_rate(samples), "ttft_p99": percentile([one.ttft for one in samples], 0.99)}


async def interference(bench: Bench) -> Mapping[str, float]:
    """The worst gap in a running stream, from the moment that a long prompt is sent to its first token."""
    running = bench.asker.ask(bench.words.text("running", bench.size.own_words), _LONGEST, label="running")
    await running.pieces(_STEADY)
    arriving = bench.asker.ask(bench.prompt("arriving", bench.size.arriving_tokens), 2, label="arriving")
    await arriving.task
    ended = running.task.done()
    await asyncio.sleep(0.05)  # the first gap that begins before the long prompt's answer ends after it
    await running.close()
    stream, prompt = finished(bench, cut_allowed=True)
    if ended:
        raise Unmeasured("the running stream ended before the long prompt was read")
    after = next((place for place, when in enumerate(stream.events) if when >= prompt.sent), len(stream.events))
    times = [*stream.events[max(0, after - 1) :], stream.ended]
    gaps = [later - before for before, later in pairwise(times) if before <= prompt.events[0]]
    return {"worst_gap": max(gaps), "ttft": prompt.ttft}


async def fairness(bench: Bench) -> Mapping[str, float]:
    """One client has 20 long prompts queued; another asks for something short: when does it hear something?"""
    size = bench.size
    heavy = [
        bench.asker.ask(bench.prompt(f"queued {number}", size.queued_tokens), 16, label="queued", user="heavy")
        for number in range(size.queued)
    ]
    await asyncio.sleep(2 * _SETTLE_S)
    short = bench.asker.ask(bench.words.text("short", 8), 4, label="short", user="light")
    await short.task
    for one in heavy:
        await one.close()
    found = finished(bench, cut_allowed=True)[-1]
    return {"ttft": found.ttft}


async def copying(bench: Bench) -> Mapping[str, float]:
    """Answers that repeat most of their prompts, one after the other: how well one text is guessed varies a lot."""
    room = round(1.2 * bench.size.edited_words / bench.words_a_token)
    for number in range(bench.size.edited_texts):
        text = bench.words.text(f"copied {number}", bench.size.edited_words)
        await bench.asker.ask(f"{_EDIT}{text}", room, chat=True).task
    return _decoding(finished(bench))


def _decoding(samples: Sequence[Sample]) -> Mapping[str, float]:
    """How fast answers came, where that can be told, and how soon."""
    rate = decode_rate(samples)
    ttft = {"ttft": percentile([sample.ttft for sample in samples], 0.5)}
    return ttft if rate is None else {"decode": rate, **ttft}


async def cold(bench: Bench) -> Mapping[str, float]:
    """From a server without the model to its first token; and whether a worker waited for it, where that is told."""
    hooks = bench.hooks
    if hooks.unload is None:
        raise Unmeasured("this server cannot be told to unload a model")
    await asyncio.sleep(_IDLE_S)
    spare = await counted(bench.asker.target, "arriero_spare_workers")
    await hooks.unload()
    await asyncio.sleep(_SETTLE_S)
    started = bench.asker.now()
    if hooks.load is not None:
        await hooks.load()
    await bench.asker.ask(bench.words.text("cold", 8), 2).task
    (sample,) = finished(bench)
    figures = {"first_token": sample.events[0] - started}
    return figures if spare is None else {**figures, SPARE: float(spare[0])}


async def memory(bench: Bench) -> Mapping[str, float]:
    """What the server's processes weigh after 8 clients."""
    if bench.hooks.memory is None:
        raise Unmeasured("the server's processes cannot be looked at from here")
    prompts = [bench.words.text(f"memory {number}", bench.size.own_words) for number in range(8)]
    samples = await _load(bench, 8, prompts, bench.size.sweep_output)
    return {"pss": bench.hooks.memory() / (1 << 20), "output": output_rate(samples)}


def finished(bench: Bench, *, cut_allowed: bool = False) -> list[Sample]:
    """All samples; Unmeasured if one failed."""
    samples = bench.asker.finish()
    failed = next((one for one in samples if one.error or (one.cut and not cut_allowed)), None)
    if failed is not None:
        raise Unmeasured(f"a request failed: {failed.error or 'it was cut off'}")
    return samples


CASES = (
    Case("single", "one stream", (DECODE, TTFT), single),
    Case("sweep-1", "1 client, unique prompts", (OUTPUT, TTFT_P99), one_client),
    Case("sweep-8", "8 clients, unique prompts", (OUTPUT, TTFT_P99), eight_clients),
    Case("sweep-16", "16 clients, unique prompts", (OUTPUT, TTFT_P99), sixteen_clients),
    Case("shared-prefix", "8 clients, 16 requests, 600 shared words, cold", (OUTPUT, TTFT_P99), shared_prefix),
    Case("interference", "a 4k-token prompt arrives: worst gap in a stream", (GAP, TTFT), interference),
    Case("agents-8", "8 conversations, one system prompt, 4 at a time", (TOTAL,), converse_shared),
    Case("agents-4", "4 conversations, 4 system prompts", (TOTAL,), converse_alone),
    Case("copying", "an answer that copies its prompt", (DECODE, TTFT), copying),
    Case("fairness", "20 long prompts queued, a short one of another client", (TTFT,), fairness),
    Case("cold", "cold start to the first token", (Metric("first_token", "s", "lower"),), cold, "cold"),
    Case("memory", "memory (PSS) after 8 clients", (MEMORY, OUTPUT), memory, "memory"),
)
