"""What do splitting, parsing and repairing tool calls cost a token? Times the server's own stage, without a model.

    python -m benchmarks.tool_parsing

Each answer comes in pieces of four characters, about a token: prose with markers in reach, prose then a valid call,
then one of each breakage of the test corpus, and a long call that writes a file. Times are of the processor, in
microseconds, for each piece, the ends of calls (where all of a call is read and mended) included. Ends with one JSON
line.
"""

from __future__ import annotations

import argparse
import gc
import json
import time
from typing import Any

from arriero.core.events import Accepted, Finished, Usage
from arriero.core.request import ToolCall
from arriero.observe.machine import machine_card
from arriero.service.split import Splitter
from arriero.text.tool_calls import FAMILIES, Family
from tests.unit.service.scripted_answers import asked, model, pieces
from tests.unit.text.tool_calls.corpus_tools import CALLS, TOOLS
from tests.unit.text.tool_calls.test_corpus import CORPUS

PIECE = 4  # characters: about what a token is
PROSE = (
    "The weather is fine today, and 3 < 4 holds in every country. Here is a list: [1, 2, 3], an object {a}, and some "
    "code: `if x: y()`. Nothing of this is a call, but much of it could begin one.\n\n"
)
_CODE = "".join(f"def function_{number}(a, b):\n    return 'a \"{number}\"' + a[b]\n\n" for number in range(300))
LONG = ToolCall(name="write_file", arguments={"path": "generated.py", "content": _CODE})


def answers(family: Family) -> dict[str, list[str]]:
    """Texts by kind."""
    broken = [case["text"] for case in CORPUS if case["family"] == family.name and case["kind"] == "repairable"]
    return {
        "prose": [PROSE * 20],
        "valid": [PROSE + family.write(CALLS[2:4])],
        "broken": [PROSE + text for text in broken],
        "long": [family.write([LONG])],
    }


def splitter_for(family: Family) -> Splitter:
    """The server's stage, with the parser that a template of the family would choose."""
    return Splitter(model("<think></think>"), asked(tools=tuple(TOOLS), call_parts=True), family=family)


def timed(family: Family, text: str) -> list[float]:
    """Microseconds of each piece; the end of the answer counts for its last one."""
    splitter = splitter_for(family)
    splitter.feed(Accepted(prompt_tokens=1))
    events = list(pieces(text, PIECE))
    found = []
    clock = time.thread_time_ns
    for event in events:
        before = clock()
        splitter.feed(event)
        found.append((clock() - before) / 1000)
    before = clock()
    splitter.feed(Finished(reason="stop", usage=Usage()))
    found[-1] += (clock() - before) / 1000
    return found


def figures(samples: list[float]) -> dict[str, float]:
    """Mean, median, p99, p99.9 and the greatest."""
    ordered = sorted(samples)
    at = {name: ordered[min(len(ordered) - 1, int(len(ordered) * share))] for name, share in _SHARES}
    return {"mean": round(sum(ordered) / len(ordered), 2), **{name: round(value, 2) for name, value in at.items()}}


_SHARES = (("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0))


def main() -> None:
    """Measure, print a table, write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--output", default="")
    given = parser.parse_args()
    samples: dict[str, list[float]] = {}
    by_family: dict[str, list[float]] = {}
    gc.freeze()
    for family in FAMILIES:
        for kind, texts in answers(family).items():
            for text in texts:
                for _ in range(given.repeat):
                    found = timed(family, text)
                    samples.setdefault(kind, []).extend(found)
                    by_family.setdefault(family.name, []).extend(found)
    everything = [one for found in samples.values() for one in found]
    result: dict[str, Any] = {
        "benchmark": "tool_parsing",
        "unit": "microseconds of processor time a piece of four characters",
        "pieces": len(everything),
        "all": figures(everything),
        "kinds": {kind: figures(found) for kind, found in samples.items()},
        "families": {name: figures(found) for name, found in by_family.items()},
        "machine": machine_card(),
    }
    for name, one in {**result["kinds"], "all": result["all"]}.items():
        print(f"{name:8}", *(f"{key} {value:9.2f}" for key, value in one.items()))
    if given.output:
        with open(given.output, "w", encoding="utf-8") as file:
            file.write(json.dumps(result, indent=1) + "\n")
    print(json.dumps({key: result[key] for key in ("benchmark", "pieces", "all")}))


if __name__ == "__main__":
    main()
