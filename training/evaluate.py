"""Scores a served model on the exam, over HTTP, at temperature 0; with --development or --probe on readable sets.

python -m training.evaluate http://127.0.0.1:11434 [--model demo] [--report-only]
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
import urllib.request
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from training.cases import FLOORS, Case, Reply, all_cases, development, examination, probe_cases
from training.data import exam, probe
from training.data.mix import COPYING, MIX, stream

SCORES = Path(__file__).with_name("scores.json")
CALL = re.compile(r"<tool_call>\s*(\{.*?\})\s*</tool_call>", re.DOTALL)
Ask = Callable[[Case], Reply]


def parsed(text: str) -> Reply:
    """Text in which tool calls may still stand as text."""
    calls = []
    for body in CALL.findall(text):
        try:
            call = json.loads(body)
            calls.append((call["name"], call["arguments"]))
        except (ValueError, KeyError, TypeError):
            return Reply(text)
    return Reply(CALL.sub("", text).strip(), calls)


def over_http(base: str, model: str, key: str | None) -> Ask:
    """A way to ask an OpenAI-compatible server; never through a proxy."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})

    def ask(case: Case) -> Reply:
        body: dict[str, Any] = {"model": model, "messages": case.messages, "temperature": 0}
        body |= {"max_tokens": case.max_tokens} | ({"tools": case.tools} if case.tools else {})
        data = json.dumps(body).encode()
        url = f"{base.rstrip('/').removesuffix('/v1')}/v1/chat/completions"
        with opener.open(urllib.request.Request(url, data, headers), timeout=120) as response:
            message = json.load(response)["choices"][0]["message"]
        reply = parsed(message.get("content") or "")
        for call in message.get("tool_calls") or []:
            function = call["function"]
            try:
                reply.calls.append((function["name"], json.loads(function["arguments"])))
            except ValueError:
                reply.calls.append((function["name"], {"unreadable": function["arguments"]}))
        return reply

    return ask


def leaks(cases: list[Case], dialogues: int) -> list[str]:
    """Held-out questions that a sample of the training text holds."""
    held = {case.messages[-1]["content"] for case in cases if case.messages[-1]["role"] == "user"}
    said = []
    for seed, makers in ((21, MIX), (22, COPYING)):
        drawn = stream(random.Random(seed), makers)
        for _ in range(dialogues):
            said += [m["content"] for m in next(drawn).messages if m["role"] == "user"]
    text = "\n".join(said)
    return sorted([*(question for question in held if question in text), *exam.worded_alike(), *probe.worded_alike()])


def score(cases: list[Case], ask: Ask, threads: int) -> tuple[dict[str, dict[str, Any]], list[tuple[Case, Reply]]]:
    """A row for each skill, and the misses."""
    right: dict[str, int] = defaultdict(int)
    total: dict[str, int] = defaultdict(int)
    misses = []
    with ThreadPoolExecutor(threads) as pool:
        for case, reply in zip(cases, pool.map(ask, cases), strict=True):
            total[case.skill] += 1
            if case.judge(reply):
                right[case.skill] += 1
            else:
                misses.append((case, reply))
    rows: dict[str, dict[str, Any]] = {}
    for skill in sorted(total, key=lambda s: [*FLOORS, s].index(s)):
        share = right[skill] / total[skill]
        floor = FLOORS.get(skill)
        rows[skill] = {
            "right": right[skill],
            "cases": total[skill],
            "share": round(share, 4),
            "floor": floor,
            "met": floor is None or share >= floor,
        }
    return rows, misses


def of_skill(cases: list[Case], skill: str) -> list[Case]:
    """The cases of one skill."""
    return [case for case in cases if case.skill == skill]


def table(rows: dict[str, dict[str, Any]]) -> str:
    """The scores as a Markdown table."""
    lines = ["| Skill | Right | Cases | Share | Floor | Met |", "|---|---|---|---|---|---|"]
    for skill, row in rows.items():
        floor = f"{row['floor']:.0%}" if row["floor"] is not None else "–"
        met = ("yes" if row["met"] else "**no**") if row["floor"] is not None else ""
        lines.append(f"| {skill} | {row['right']} | {row['cases']} | {row['share']:.1%} | {floor} | {met} |")
    return "\n".join(lines)


def main() -> int:
    """Ask, judge, write scores.json; 1 when a floor is missed or a held-out string was trained on."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("base", help="base URL of the server")
    parser.add_argument("--model", default="demo")
    parser.add_argument("--key", help="API key, if the server wants one")
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--report-only", action="store_true", help="always exit 0")
    parser.add_argument("--limit", type=int, default=0, help="cases for each skill, for a quick look; writes no scores")
    parser.add_argument("--development", action="store_true", help="ask the development set, not the exam")
    parser.add_argument("--probe", action="store_true", help="ask the probe: four skills in other words")
    parser.add_argument("--misses", type=int, default=0, help="misses to print for each skill, not of the exam")
    parser.add_argument("--out", type=Path, default=SCORES)
    args = parser.parse_args()
    readable = args.development or args.probe
    if args.misses and not readable:
        parser.error("--misses needs --development or --probe: once its misses are read, an exam is none")
    cases = probe_cases() if args.probe else all_cases(development() if args.development else examination())
    leaked = leaks(cases, 30000)
    if args.limit:
        cases = [
            case for skill in dict.fromkeys(c.skill for c in cases) for case in of_skill(cases, skill)[: args.limit]
        ]
    rows, misses = score(cases, over_http(args.base, args.model, args.key), args.threads)
    print(table(rows))
    shown: dict[str, int] = defaultdict(int)
    for case, reply in misses:
        shown[case.skill] += 1
        if shown[case.skill] <= args.misses:
            print(f"[{case.skill}] {case.messages[-1]['content']!r}\n  want {case.expected!r}\n  got  {reply}")
    for text in leaked:
        print(f"held-out, yet in the training text: {text!r}", file=sys.stderr)
    if not args.limit and (not readable or args.out != SCORES):
        args.out.write_text(json.dumps({"scores": rows, "leaked": leaked}, indent=2) + "\n", encoding="utf-8")
    failed = bool(leaked) or any(not row["met"] for row in rows.values())
    return 0 if args.report_only or not failed else 1


if __name__ == "__main__":
    sys.exit(main())
