"""Does guessing ahead ever cost time? The same requests with it and without, in turns, on one server of ours.

    python -m benchmarks.guessing --models FOLDER [--rows "135m q8_0, 1 stream"] [--pairs 9] [--output mine.json]

The models are those of the race (benchmarks/models.py): a chain's greedy text walks one long cycle of plain words.
Where a row does not say otherwise, nothing of it was said before; in others the prompt misleads (misleading.py), or a
draft model does, which walks another cycle. Prompts that mislead come after some that were right: what did pay last is
the worst that can be known. A pair is the rate of tokens with guesses, divided by the
rate without, from what the server says of its decoding; prompts are in the prefix cache before. The target is 0.97 at
least, in the median. Ends with one JSON line.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import statistics
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from arriero.observe.machine import machine_card
from benchmarks.misleading import foretelling
from benchmarks.servers import Arriero, scratch

TARGET = 0.97
CONTEXT = 1024
WALK = 220
"""Words of the answer that are asked for once, to make prompts of."""


@dataclass(frozen=True, slots=True)
class Row:
    """`streams` requests at the same time to a model of the race, by its file's name, `tokens` from each.

    Prompts foretell answers as `kind` says (misleading.py). `draft`: the file of a draft model, another or the same.
    """

    name: str
    model: str
    streams: int
    tokens: int
    kind: str = "nothing"
    draft: str = ""


def _named(model: str, streams: int, tokens: int, kind: str = "nothing", draft: str = "", told: str = "") -> Row:
    short = model.removeprefix("chain-").removeprefix("padded-").replace("-", " ")
    name = f"{short}, {streams} stream{'s' * (streams > 1)}"
    if kind != "nothing":
        name += f", prompts foretell: {kind}, {tokens} tokens"
    return Row(name + told, model, streams, tokens, kind, draft)


def _rows() -> Iterator[Row]:
    small, middle, big = "chain-15m-q8_0", "chain-135m-q8_0", "chain-0.5b-q4_0"
    for model, tokens in ((small, 200), (middle, 96), (big, 48)):
        yield from (_named(model, streams, tokens) for streams in (1, 4, 8))
    for model in (small, middle, big):
        yield _named(model, 1, 32, "wrong")
        yield _named(model, 1, 96, "third")
        yield _named(model, 1, 96, "half")
        yield _named(model, 4, 32, "wrong")
        yield _named(model, 4, 64, "half")
    yield _named(middle, 8, 48, "wrong")
    yield _named(middle, 8, 48, "half")
    yield _named(middle, 1, 96, "right")
    always = ", a draft model that is always wrong"
    yield _named(middle, 1, 96, draft=small, told=always)
    yield _named(middle, 1, 32, draft=small, told=f"{always}, 32 tokens")
    yield _named(middle, 4, 64, draft=small, told=always)


ROWS = tuple(_rows())


class Asking:
    """Asks one server for greedy answers of a set length."""

    def __init__(self, session: aiohttp.ClientSession, server: Arriero, row: Row) -> None:
        self._session, self._server, self._row = session, server, row
        self._walk: list[str] = []

    async def begin(self) -> None:
        """Hear what the model says, and let guessing pay where it can: what it has learned is what rows begin with."""
        found = await self._ask("river", WALK if self._row.kind != "nothing" else 4, guessing=False)
        self._walk = found["response"].split()
        kind = "right" if self._row.kind != "nothing" else "nothing"
        for number in range(3):
            await self.rate(f"begin {number}", guessing=True, kind=kind)

    async def rate(self, seed: str, *, guessing: bool, kind: str = "") -> tuple[float, int, int]:
        """Tokens a second of a stream, and how many were guessed, how many of them rightly."""
        row = self._row
        prompts = []
        for number in range(row.streams):
            label = f"{seed}/{number}"
            first = random.Random(label).randrange(max(1, len(self._walk) - row.tokens))
            prompts.append(foretelling(kind or row.kind, self._walk[first : first + row.tokens], label))
        replies = await asyncio.gather(*(self._ask(prompt, row.tokens, guessing) for prompt in prompts))
        seconds = sum(reply["eval_duration"] for reply in replies) / 1e9
        drawn = sum(reply["eval_count"] for reply in replies)
        guessed = [sum(reply.get(key, 0) for reply in replies) for key in ("drafted_count", "accepted_count")]
        return drawn / seconds, guessed[0], guessed[1]

    async def _ask(self, text: str, tokens: int, guessing: bool) -> dict[str, Any]:
        options: dict[str, Any] = {"temperature": 0, "num_predict": tokens}
        if self._row.draft:
            options["draft"] = "draft"
        if not guessing:
            options["draft_num_predict"] = 0
        body = {"model": self._server.model, "prompt": text, "raw": True, "stream": False, "options": options}
        async with self._session.post(f"{self._server.url}/api/generate", json=body) as reply:
            found: dict[str, Any] = await reply.json()
            if reply.status != 200:
                raise RuntimeError(found.get("error"))
            return found


class Drafted(Arriero):
    """A server that has a second model to guess with."""

    draft: Path | None = None

    def command(self) -> list[str]:
        """See Started."""
        return [*super().command(), *([] if self.draft is None else ["--model", f"draft={self.draft}"])]


async def measure(row: Row, folder: Path, pairs: int, threads: int, home: Path) -> dict[str, Any]:
    """Pairs of one row; each way is first in every other one."""
    server = Drafted(home, _file(folder, row.model), threads=threads, slots=max(4, row.streams), context=CONTEXT)
    server.draft = _file(folder, row.draft) if row.draft else None
    ratios, rates, guesses = [], [], [0, 0]
    async with server, aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(120)) as session:
        asking = Asking(session, server, row)
        await asking.begin()
        for number in range(pairs):
            seed = f"guessing {number}"
            await asking.rate(seed, guessing=False)  # prompts are known from here on
            found = {}
            for guessing in (True, False) if number % 2 else (False, True):
                found[guessing] = await asking.rate(seed, guessing=guessing)
            guesses = [guesses[0] + found[True][1], guesses[1] + found[True][2]]
            ratios.append(round(found[True][0] / found[False][0], 4))
            rates.append([round(found[way][0], 2) for way in (True, False)])
    return {
        "median": round(statistics.median(ratios), 4),
        "ratios": ratios,
        "tokens_a_second": rates,
        "drafted": guesses[0],
        "accepted": guesses[1],
    }


def _file(folder: Path, name: str) -> Path:
    return next(iter(sorted(folder.glob(f"{name}*.gguf"))))


def main() -> int:
    """Measure, print, and say by the exit status whether each median reaches the target."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, default=Path.home() / ".cache" / "arriero-bench")
    parser.add_argument("--rows", nargs="*", default=[], metavar="ROW", help=", ".join(row.name for row in ROWS))
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--output", type=Path, help="write the JSON here, too; rows that it has already are kept")
    given = parser.parse_args()
    told: dict[str, Any] = {"target": TARGET, "rows": {}}
    if given.output and given.output.exists():
        told = json.loads(given.output.read_text())
    told["machine"] = machine_card()
    for row in ROWS:
        if given.rows and row.name not in given.rows:
            continue
        with scratch() as home:
            found = asyncio.run(measure(row, given.models, given.pairs, given.threads, Path(home)))
        told["rows"][row.name] = found
        low, high = min(found["ratios"]), max(found["ratios"])
        guessed = f"{found['accepted']} of {found['drafted']} guesses right"
        print(f"{row.name:72} {found['median']:.3f} ({low:.3f} to {high:.3f}), {guessed}", flush=True)
        if given.output:
            given.output.write_text(json.dumps(told, indent=1) + "\n")
    print(json.dumps(told))
    return 0 if all(one["median"] >= TARGET for one in told["rows"].values()) else 1


if __name__ == "__main__":
    sys.exit(main())
