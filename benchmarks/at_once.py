"""What do many streams at once gain over one after another where every answer must be the same each time?

    python -m benchmarks.at_once [--model model.gguf] [--clients 32] [--rounds 7] [--output mine.json]

`arriero serve` with ARRIERO_DETERMINISTIC=1 gets the same prompts one by one and all at once, in turns; the ratio of
the two times of a round is what counts. Ends with one JSON line.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from arriero.observe.machine import machine_card
from arriero.store.catalog import demo_path
from benchmarks.load import Workload, run_load, summarize
from benchmarks.output import tell
from benchmarks.servers import Arriero

CONTEXT = 512


async def measured(model: Path, home: Path, work: Workload, rounds: int, threads: int) -> list[dict[str, float]]:
    """Seconds alone and together for each round, after one that is thrown away; RuntimeError where a request fails."""
    samples: list[dict[str, float]] = []
    settings = {"ARRIERO_DETERMINISTIC": "1"}
    server = Arriero(home, model, threads=threads, slots=work.clients, context=CONTEXT, extra=settings)
    async with server:
        await server.load()
        work = replace(work, url=server.url, model=server.model)
        for number in range(rounds + 1):
            sample = {}
            for name, clients in (("alone_s", 1), ("together_s", work.clients)):
                found = summarize(work, await run_load(replace(work, clients=clients, seed=number)))
                if found["errors"]:
                    raise RuntimeError(str(found["errors"][0]))
                sample[name] = float(found["wall_s"])
            sample["ratio"] = sample["together_s"] / sample["alone_s"]
            if number:
                samples.append(sample)
    return samples


def main() -> int:
    """Measure, print, end with JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=demo_path())
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--tokens", type=int, default=40)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--output", type=Path, help="also write the JSON to this file")
    given = parser.parse_args()
    work = Workload("", "", given.clients, given.clients, unique_words=3, max_tokens=given.tokens, timeout=600.0)
    card = machine_card()
    with tempfile.TemporaryDirectory() as home:
        samples = asyncio.run(measured(given.model, Path(home), work, given.rounds, given.threads))
    ratios = [sample["ratio"] for sample in samples]
    result: dict[str, Any] = {
        "clients": given.clients,
        "threads": given.threads,
        "tokens": given.tokens,
        "ratio_median": round(statistics.median(ratios), 3),
        "ratio_best": round(min(ratios), 3),
        "ratio_worst": round(max(ratios), 3),
        "machine": card,
        "samples": samples,
    }
    print(f"{given.clients} together take {result['ratio_median']} of the time of one after another", end="")
    print(f" ({result['ratio_best']} to {result['ratio_worst']}, {len(ratios)} rounds)")
    tell(result, given.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
