"""How does a server hold up under N streaming clients? Speaks /v1/completions to any OpenAI-compatible URL.

    python -m benchmarks.load --url http://127.0.0.1:11434 --model demo --clients 8 --requests 32

Every prompt is a shared part (the same words for all) and a part of its own, made of seeded random words, so that a
cache helps exactly as much as the workload shares. TTFT is from sending to the first text; inter-token times are the
gaps between text events. Ends with one JSON line.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import time
from dataclasses import asdict, dataclass, field
from typing import Any

import aiohttp

from arriero.observe.machine import machine_card

_TEXT = """
river stone lamp garden winter copper window market silver paper bridge morning letter forest candle harbour
mountain orchard thunder velvet kettle meadow compass lantern whistle pepper saddle ribbon tunnel barley
"""
WORDS = _TEXT.split()


@dataclass(frozen=True, slots=True)
class Workload:
    """What the clients do. Words, not tokens: the server's tokenizer decides the rest."""

    url: str
    model: str
    clients: int = 8
    requests: int = 32
    shared_words: int = 0
    unique_words: int = 32
    max_tokens: int = 64
    temperature: float = 0.0
    seed: int = 0
    warmup: int = 1
    exact_length: bool = True  # ignore_eos, where the server knows it
    timeout: float = 600.0


@dataclass(slots=True)
class Sample:
    """One request, times in seconds."""

    started: float = 0.0
    ttft: float | None = None
    ended: float = 0.0
    gaps: list[float] = field(default_factory=list)
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    error: str | None = None


def make_prompts(work: Workload, count: int, salt: str) -> list[str]:
    """`count` prompts with the same shared part and different own parts; `salt` keeps rounds apart."""
    shared = " ".join(random.Random(f"{work.seed}/{salt}/shared").choices(WORDS, k=work.shared_words))
    prompts = []
    for number in range(count):
        own = " ".join(random.Random(f"{work.seed}/{salt}/{number}").choices(WORDS, k=work.unique_words))
        prompts.append(f"{shared} {number} {own}".strip())
    return prompts


async def one_request(session: aiohttp.ClientSession, work: Workload, prompt: str) -> Sample:
    """Send one streamed completion and time it."""
    body: dict[str, Any] = {
        "model": work.model,
        "prompt": prompt,
        "max_tokens": work.max_tokens,
        "temperature": work.temperature,
        "seed": work.seed,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if work.exact_length:
        body["ignore_eos"] = True
    sample = Sample(started=time.perf_counter())
    last = sample.started
    try:
        async with session.post(f"{work.url}/v1/completions", json=body) as reply:
            if reply.status != 200:
                sample.error = f"{reply.status}: {(await reply.text())[:300]}"
                return sample
            async for line in reply.content:
                if not line.startswith(b"data:") or line[5:].strip() == b"[DONE]":
                    continue
                event = json.loads(line[5:])
                now = time.perf_counter()
                if "error" in event:
                    sample.error = str(event["error"])
                    break
                if any(choice.get("text") for choice in event.get("choices", ())):
                    if sample.ttft is None:
                        sample.ttft = now - sample.started
                    else:
                        sample.gaps.append(now - last)
                    last = now
                usage = event.get("usage")
                if usage:
                    sample.prompt_tokens = usage.get("prompt_tokens", 0)
                    sample.completion_tokens = usage.get("completion_tokens", 0)
                    details = usage.get("prompt_tokens_details") or {}
                    sample.cached_tokens = details.get("cached_tokens", 0) or 0
    except (aiohttp.ClientError, TimeoutError) as error:
        sample.error = f"{type(error).__name__}: {error}"
    finally:
        sample.ended = time.perf_counter()
    return sample


async def run_load(work: Workload) -> list[Sample]:
    """Let `clients` work off `requests` prompts; one sample a request."""
    timeout = aiohttp.ClientTimeout(total=work.timeout)
    connector = aiohttp.TCPConnector(limit=work.clients)
    samples: list[Sample] = []
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
        for prompt in make_prompts(work, work.warmup, "warm-up"):
            await one_request(session, work, prompt)
        waiting = make_prompts(work, work.requests, "run")[::-1]

        async def client() -> None:
            while waiting:
                samples.append(await one_request(session, work, waiting.pop()))

        await asyncio.gather(*(client() for _ in range(work.clients)))
    return samples


def percentiles(values: list[float]) -> dict[str, float]:
    """p50, p95, p99 and the maximum by the nearest-rank rule; empty without values."""
    if not values:
        return {}
    ordered = sorted(values)

    def rank(share: float) -> float:
        return ordered[min(len(ordered) - 1, max(0, round(share * len(ordered) + 0.5) - 1))]

    return {"p50": rank(0.50), "p95": rank(0.95), "p99": rank(0.99), "max": ordered[-1]}


def summarize(work: Workload, samples: list[Sample]) -> dict[str, Any]:
    """The figures of one run; seconds and tokens a second."""
    good = [sample for sample in samples if sample.error is None]
    wall = max((s.ended for s in samples), default=0.0) - min((s.started for s in samples), default=0.0)
    output = sum(sample.completion_tokens for sample in good)
    return {
        "workload": asdict(work),
        "requests_ok": len(good),
        "errors": [sample.error for sample in samples if sample.error is not None],
        "wall_s": wall,
        "output_tokens": output,
        "output_tokens_per_s": output / wall if wall else 0.0,
        "prompt_tokens": sum(sample.prompt_tokens for sample in good),
        "cached_tokens": sum(sample.cached_tokens for sample in good),
        "ttft_s": percentiles([sample.ttft for sample in good if sample.ttft is not None]),
        "inter_token_s": percentiles([gap for sample in good for gap in sample.gaps]),
        "request_s": percentiles([sample.ended - sample.started for sample in good]),
    }


def report(result: dict[str, Any]) -> str:
    """The figures for people."""

    def times(name: str) -> str:
        return "  ".join(f"{key} {value * 1000:.1f} ms" for key, value in result[name].items()) or "none"

    return "\n".join(
        [
            f"{result['requests_ok']} requests, {len(result['errors'])} errors, {result['wall_s']:.2f} s",
            f"output       {result['output_tokens']} tokens, {result['output_tokens_per_s']:.1f} a second",
            f"prompts      {result['prompt_tokens']} tokens, {result['cached_tokens']} of them cached",
            f"TTFT         {times('ttft_s')}",
            f"inter-token  {times('inter_token_s')}",
            f"request      {times('request_s')}",
        ]
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:11434")
    parser.add_argument("--model", default="demo")
    for name, default in (("clients", 8), ("requests", 32), ("shared-words", 0), ("unique-words", 32)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--max-tokens", type=int, default=64)
    parser.add_argument("--temperature", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--warmup", type=int, default=1)
    parser.add_argument("--no-exact-length", dest="exact_length", action="store_false")
    parser.add_argument("--output", help="also write the JSON, raw samples included, to this file")
    given = vars(parser.parse_args())
    output = given.pop("output")
    work = Workload(**given)
    card = machine_card()
    samples = asyncio.run(run_load(work))
    result = {**summarize(work, samples), "machine": card}
    print(report(result))
    if output:
        with open(output, "w", encoding="utf-8") as file:
            json.dump({**result, "samples": [asdict(sample) for sample in samples]}, file, indent=1)
            file.write("\n")
    print(json.dumps(result))
    sys.exit(1 if result["errors"] else 0)


if __name__ == "__main__":
    main()
