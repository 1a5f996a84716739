"""How many of a model's tool calls match their tools' schemas, held to them and not? Starts servers of its own.

    python -m benchmarks.calls --model demo

25 tools, each offered beside another, each asked for with as many seeds as it takes; the model may call or not
(`auto`). `calls` counts tries with a call, `valid` those whose calls all match, `right_tool` and `right_arguments`
those that call what was asked for. A call that the length cut is none: `cut` counts those tries, `text` those that were
answered in words. Ends with one JSON line.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jsonschema

from arriero.observe.machine import machine_card
from benchmarks.call_tools import CASES, Case
from benchmarks.output import tell

MODES: dict[str, dict[str, str]] = {
    "held": {"ARRIERO_HOLD_CALLS": "1"},
    "free": {"ARRIERO_HOLD_CALLS": "0"},
}


def post(url: str, body: object) -> dict[str, Any]:
    """POST as JSON, read JSON."""
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=300) as reply:
        found: dict[str, Any] = json.loads(reply.read())
        return found


@contextlib.contextmanager
def serving(environment: Mapping[str, str]) -> Iterator[str]:
    """A server on a free port, with a home of its own; its URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as home:
        own = {**os.environ, "ARRIERO_HOME": home, **environment}
        command = [sys.executable, "-m", "arriero", "serve", "--port", str(port)]
        process = subprocess.Popen(command, env=own, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            until = time.monotonic() + 60
            while True:
                with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/ready", timeout=5):
                    break
                if process.poll() is not None or time.monotonic() > until:
                    raise SystemExit("the server did not start")
                time.sleep(0.1)
            yield url
        finally:
            process.terminate()
            process.wait(30)


def tool(case: Case) -> dict[str, Any]:
    """The OpenAI form."""
    return {"type": "function", "function": {"name": case.name, "parameters": case.parameters}}


def attempt(url: str, model: str, number: int, max_tokens: int) -> Counter[str]:
    """One try."""
    case, beside = CASES[number % len(CASES)], CASES[(number + 1 + number // len(CASES)) % len(CASES)]
    offered = {one.name: one for one in (case, beside)}
    body = {
        "model": model,
        "messages": [{"role": "user", "content": case.ask}],
        "tools": [tool(one) for one in offered.values()],
        "temperature": 1.0,
        "seed": number,
        "max_tokens": max_tokens,
    }
    choice = post(f"{url}/v1/chat/completions", body)["choices"][0]
    calls = [call["function"] for call in choice["message"].get("tool_calls") or ()]
    if not calls:
        return Counter(
            tries=1, cut=int(choice["finish_reason"] == "length"), text=int(choice["finish_reason"] != "length")
        )
    found = Counter(tries=1, calls=1, valid=int(all(matches(call, offered) for call in calls)))
    found["right_tool"] = int(calls[0]["name"] == case.name)
    found["right_arguments"] = int(found["right_tool"] and json.loads(calls[0]["arguments"]) == case.arguments)
    return found


def matches(call: dict[str, str], offered: Mapping[str, Case]) -> bool:
    """Whether a call names an offered tool and its arguments match."""
    if call["name"] not in offered:
        return False
    validator = jsonschema.Draft202012Validator(
        offered[call["name"]].parameters, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
    )
    return bool(validator.is_valid(json.loads(call["arguments"])))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="demo")
    parser.add_argument("--tries", type=int, default=500)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--max-tokens", type=int, default=200)
    parser.add_argument("--output", type=Path, help="also write the JSON to this file")
    given = parser.parse_args()
    result: dict[str, Any] = {"model": given.model, "tools": len(CASES), "max_tokens": given.max_tokens, "modes": {}}
    card = machine_card()
    for mode, environment in MODES.items():
        with serving(environment) as url, ThreadPoolExecutor(given.clients) as pool:
            tries = [pool.submit(attempt, url, given.model, number, given.max_tokens) for number in range(given.tries)]
            total = sum((one.result() for one in tries), Counter[str]())
        result["modes"][mode] = dict(total)
        share = total["valid"] / total["calls"] if total["calls"] else 0.0
        print(f"{mode:5} {dict(total)}: {share:.1%} of the calls match")
    result["machine"] = card
    tell(result, given.output)


if __name__ == "__main__":
    main()
