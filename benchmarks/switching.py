"""How soon does a model answer that had to leave for another? Two models and room for one, which take turns.

    python -m benchmarks.switching FIRST.gguf SECOND.gguf [--rounds 5] [--words 256] [--output mine.json]

Every request is for the other model than the one before, so each pays for a switch: the time from sending it to its
first token. `kept`: a long prompt that its model had computed before it left; `new`: one of the same length that nobody
knows; `short`: a few new words, which is the switch by itself. `loaded`: the kept prompt once more, its model being
there. Before each, the spare worker is waited for, as somebody who reads an answer would. Ends with one JSON line.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import aiohttp

from arriero.client.bench.words import Words
from arriero.observe.machine import machine_card
from benchmarks.output import tell
from benchmarks.servers import Arriero, scratch

TARGET_S = 1.0
CONTEXT = 2048
KINDS = ("short", "kept", "new")
SHORT_WORDS = 8
SPARE_SECONDS = 20.0
"""How long a spare worker is waited for at most."""


class Two(Arriero):
    """A server of two models, one of them in memory."""

    model = "first"

    def __init__(self, home: Path, files: list[Path], threads: int) -> None:
        room = {"OLLAMA_MAX_LOADED_MODELS": "1"}
        super().__init__(home, files[0], threads=threads, slots=4, context=CONTEXT, extra=room)
        self.files = dict(zip(("first", "second"), files, strict=True))

    def command(self) -> list[str]:
        """See Started."""
        return [*super().command(), "--model", f"second={self.files['second']}"]


class Asking:
    """Asks the two models for one token after a prompt."""

    def __init__(self, session: aiohttp.ClientSession, server: Two, threads: int, words: int) -> None:
        self._session, self._server, self._threads, self._count = session, server, threads, words
        self._words = Words("switching")

    async def first_token(self, model: str, kind: str, label: str) -> dict[str, Any]:
        """Seconds to the first token, of these what the server says of loading and of the prompt; tokens cached."""
        before = await self._cached(model)
        known = label if kind != "kept" else "kept"
        prompt = self._words.text(f"{model} {kind} {known}", SHORT_WORDS if kind == "short" else self._count)
        options = {"temperature": 0, "num_predict": 2, "num_thread": self._threads}
        body = {"model": model, "prompt": prompt, "raw": True, "options": options, "keep_alive": -1}
        began = time.monotonic()
        async with self._session.post(f"{self._server.url}/api/generate", json=body) as reply:
            line = await reply.content.readline()
            seconds = time.monotonic() - began
            if reply.status != 200:
                raise RuntimeError(line.decode())
            *_, last = (await reply.content.read()).splitlines()
        said = json.loads(last)
        return {
            "seconds": round(seconds, 4),
            "load_s": round(said["load_duration"] / 1e9, 4),
            "prompt_s": round(said["prompt_eval_duration"] / 1e9, 4),
            "prompt_tokens": said["prompt_eval_count"],
            "cached_tokens": await self._cached(model) - before,
        }

    async def _cached(self, model: str) -> int:
        """Prompt tokens of a model that came from its prefix cache, so far."""
        return int(await self._metric(f'arriero_cached_tokens_total{{model="{model}:latest"}}'))

    async def spare_ready(self) -> bool:
        """Wait until the server keeps a worker ready; False if it does not."""
        until = time.monotonic() + SPARE_SECONDS
        while time.monotonic() < until:
            if await self._metric("arriero_spare_workers"):
                return True
            await asyncio.sleep(0.1)
        return False

    async def _metric(self, name: str) -> float:
        async with self._session.get(f"{self._server.url}/metrics") as reply:
            found = re.search(rf"^{re.escape(name)} (\S+)$", await reply.text(), re.MULTILINE)
        return float(found[1]) if found else 0.0


async def measure(files: list[Path], rounds: int, words: int, threads: int, home: Path) -> dict[str, Any]:
    """All switches of one server, by model and kind."""
    samples: dict[str, dict[str, list[dict[str, Any]]]] = {}
    server = Two(home, files, threads)
    async with server, aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(120)) as session:
        asking = Asking(session, server, threads, words)
        for model in server.files:
            await asking.first_token(model, "kept", "warm-up")
        for number in range(rounds):
            for kind in KINDS:
                for model in server.files:
                    spare = await asking.spare_ready()
                    one = await asking.first_token(model, kind, str(number))
                    samples.setdefault(model, {}).setdefault(kind, []).append({**one, "spare": spare})
                    if kind == "kept":
                        again = await asking.first_token(model, kind, str(number))
                        samples[model].setdefault("loaded", []).append(again)
    return samples


def main() -> int:
    """Measure, print, end with JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs=2, type=Path, metavar="GGUF")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--words", type=int, default=256, help="of the long prompts")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--output", type=Path, help="also write the JSON to this file")
    options = parser.parse_args()
    card = machine_card()
    with scratch() as home:
        samples = asyncio.run(measure(options.models, options.rounds, options.words, options.threads, Path(home)))
    files = dict(zip(samples, options.models, strict=True))
    medians: dict[str, dict[str, float]] = {}
    for model, kinds in samples.items():
        for kind, found in kinds.items():
            seconds = [one["seconds"] for one in found]
            medians.setdefault(files[model].stem, {})[kind] = statistics.median(seconds)
            cached, total = found[-1]["cached_tokens"], found[-1]["prompt_tokens"]
            told = f"{statistics.median(seconds):.3f} s (worst {max(seconds):.3f} s), {cached} of {total} tokens cached"
            print(f"{files[model].stem:40} {kind:7} {told}")
    result = {
        "medians_s": medians,
        "target_s": TARGET_S,
        "met": all(found["kept"] < TARGET_S for found in medians.values()),
        "words": options.words,
        "threads": options.threads,
        "machine": card,
        "samples": {files[model].stem: kinds for model, kinds in samples.items()},
    }
    tell(result, options.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
