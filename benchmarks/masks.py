"""What does holding an answer to a grammar cost a token? Times masks over a model's vocabulary, without the model.

    python -m benchmarks.masks --vocabulary model.gguf

Each schema's documents are drawn token by token: the tokenizer's own (what a model would mostly say) and at random
under the mask (what it might say at a high temperature). `mask` is computing it and taking it out of the logits, `step`
is that and following the token drawn, in microseconds of processor time: what other work on the machine takes is not
counted. Compiling is in milliseconds by the clock. The figures of all are of all JSON, tool calls and free text. Ends
with one JSON line.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from arriero.core.constraint import AnswerPlan, CallForm, CallRules, Constraint, HeldTool, TokenMask
from arriero.observe.machine import machine_card
from arriero.runners.constrained.compiler import MaskCompiler
from arriero.runners.llama_cpp.model import Model
from arriero.runners.llama_cpp.options import LlamaCppOptions
from arriero.runners.llama_cpp.vocab import Vocab
from benchmarks.output import tell

_ADDRESS = {
    "type": "object",
    "properties": {
        "street": {"type": "string", "maxLength": 80},
        "zip": {"type": "string", "pattern": "^\\d{5}(-\\d{4})?$"},
        "country": {"enum": ["Spain", "Italy", "France", "Germany", "Portugal"]},
    },
    "required": ["street", "zip", "country"],
    "additionalProperties": False,
}
_PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
        "email": {"type": "string", "format": "email"},
        "born": {"type": "string", "format": "date"},
        "addresses": {"type": "array", "items": {"$ref": "#/$defs/address"}, "maxItems": 5},
        "score": {"type": "number", "minimum": 0, "maximum": 1},
        "tags": {"type": "array", "items": {"type": "string", "pattern": "^[a-z]+$"}},
    },
    "required": ["name", "age", "email", "addresses"],
    "additionalProperties": False,
    "$defs": {"address": _ADDRESS},
}
_DOCUMENT = {
    "name": "Ana María Núñez de la Torre",
    "age": 41,
    "email": "ana.nunez@example.com",
    "born": "1984-02-29",
    "addresses": [
        {"street": "Calle de Alcalá 42, 3º izquierda", "zip": "28014", "country": "Spain"},
        {"street": '12 rue du Faubourg "Saint-Denis"', "zip": "75010-0001", "country": "France"},
    ],
    "score": 0.875,
    "tags": ["customer", "newsletter", "vip"],
}
_ANYTHING: dict[str, Any] = {
    "title": 'Free text with "quotes", ünïcödé, and\nlines',
    "list": [1, 2.5, None, True, {"nested": {"deeper": ["a", "b"]}}],
    "text": "A longer passage, such as a model writes when it is asked for a summary: sentences, commas, 3 numbers "
    "and (some) brackets. It goes on for a while, since most of the tokens of an answer stand within its texts.",
}
_TOOLS = tuple(
    HeldTool(
        name=f"tool_{index}",
        parameters={
            "type": "object",
            "properties": {
                "query": {"type": "string"},
                "limit": {"type": "integer", "minimum": 1, "maximum": 10 + index},
                "where": _ADDRESS,
                "kind": {"enum": [f"kind_{index}_{value}" for value in range(8)]},
            },
            "required": ["query", "kind"],
        },
    )
    for index in range(25)
)
_FORM = CallForm(
    body='{ "name" : NAME , "arguments" : ARGUMENTS }', opens="<tool_call>\n", closes="\n</tool_call>", between="\n"
)
_ARGUMENTS = {
    "query": "restaurants with a terrace near the river",
    "limit": 5,
    "where": {"street": "Via Roma 1", "zip": "00184", "country": "Italy"},
    "kind": "kind_7_3",
}
_CALL = f"<tool_call>\n{json.dumps({'name': 'tool_7', 'arguments': _ARGUMENTS})}\n</tool_call>"

CASES: dict[str, tuple[AnswerPlan, str]] = {
    "json_object": (AnswerPlan(constraint=Constraint(kind="json_object")), json.dumps(_ANYTHING, ensure_ascii=False)),
    "json_schema": (
        AnswerPlan(constraint=Constraint(kind="json_schema", schema=_PERSON)),
        json.dumps(_DOCUMENT, ensure_ascii=False, indent=2),
    ),
    "regex": (
        AnswerPlan(constraint=Constraint(kind="regex", source=r"([0-9]{1,3}\.){3}[0-9]{1,3} - [A-Z][a-z]+ [a-z_]+")),
        "192.168.100.25 - Gateway northern_office_upstairs",
    ),
    "regex_counted_words": (
        AnswerPlan(constraint=Constraint(kind="regex", source=r"(\d{1,3}\.){3}\d{1,3} - [A-Z][a-z]+ \w{3,40}")),
        "192.168.100.25 - Gateway northern_office_upstairs",
    ),
    "calls_of_25_tools": (AnswerPlan(calls=CallRules(form=_FORM, tools=_TOOLS, required=True)), _CALL),
    "free_text_with_tools": (AnswerPlan(calls=CallRules(form=_FORM, tools=_TOOLS)), _ANYTHING["text"] + "\n" + _CALL),
}


class Clock:
    """Times of one case's masks and steps, in nanoseconds."""

    def __init__(self) -> None:
        self.masks: list[int] = []
        self.steps: list[int] = []

    def step(self, mask: TokenMask, logits: Any, tokens: list[int], token: int | None) -> tuple[int, bool]:
        """Apply the mask and draw `token`, the likeliest if None. The token, and whether the answer is over."""
        started = time.thread_time_ns()
        mask.apply(logits, tokens, 0)
        masked = time.thread_time_ns()
        if token is None:
            token = int(logits.argmax())
        elif logits[token] == -np.inf:
            raise SystemExit(f"the mask forbids token {token} of a document that it should allow")
        drawn = time.thread_time_ns()
        over = mask.ends(tokens, 0, token)
        self.masks.append(masked - started)
        self.steps.append(masked - started + time.thread_time_ns() - drawn)
        return token, over


def run_document(clock: Clock, mask: TokenMask, vocab: Vocab, text: str) -> None:
    """Draw the tokens of `text`."""
    tokens: list[int] = []
    for token in vocab.encode(text, add_special=False, parse_special=False):
        clock.step(mask, np.zeros(vocab.n_vocab, np.float32), tokens, token)
        tokens.append(token)


def run_random(clock: Clock, mask: TokenMask, vocab: Vocab, rng: np.random.Generator, limit: int) -> None:
    """Draw at random, at most `limit` tokens."""
    tokens: list[int] = []
    for _ in range(limit):
        token, over = clock.step(mask, rng.standard_normal(vocab.n_vocab, dtype=np.float32), tokens, None)
        if over or token in vocab.eog_ids:
            return
        tokens.append(token)


def percentiles(nanoseconds: list[int]) -> dict[str, float]:
    """p50, p90, p99 and the greatest, in microseconds."""
    p50, p90, p99, most = np.percentile(nanoseconds, [50, 90, 99, 100]) / 1000
    return {
        "p50": round(float(p50), 1),
        "p90": round(float(p90), 1),
        "p99": round(float(p99), 1),
        "max": round(float(most), 1),
    }


def measure(vocab: Vocab, rounds: int, limit: int) -> dict[str, Any]:
    """All cases, each `rounds` times as a document and at random."""
    started = time.perf_counter()
    compiler = MaskCompiler(vocab)
    compiler.prepare()
    result: dict[str, Any] = {"n_vocab": vocab.n_vocab, "vocabulary_ms": _ms(started), "cases": {}}
    rng = np.random.default_rng(0)
    everything = Clock()
    for name, (plan, text) in CASES.items():
        times = []
        for _ in range(2):
            started = time.perf_counter()
            compiler.compile(plan)
            times.append(_ms(started))
        clocks = {"document": Clock(), "random": Clock()}
        for _ in range(rounds):
            for kind, clock in clocks.items():
                mask = compiler.compile(plan)
                assert mask is not None
                if kind == "document":
                    run_document(clock, mask, vocab, text)
                else:
                    run_random(clock, mask, vocab, rng, limit)
        found: dict[str, Any] = {"compile_ms": times[0], "cached_ms": times[1]}
        for kind, clock in clocks.items():
            found[kind] = {"tokens": len(clock.masks), "mask_us": percentiles(clock.masks)}
            found[kind]["step_us"] = percentiles(clock.steps)
            if not name.startswith("regex"):
                everything.masks += clock.masks
                everything.steps += clock.steps
        result["cases"][name] = found
    result["tokens"] = len(everything.masks)
    result["mask_us"], result["step_us"] = percentiles(everything.masks), percentiles(everything.steps)
    return result


def _ms(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 2)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vocabulary", required=True, help="a GGUF; its weights are not read")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--limit", type=int, default=150, help="tokens of a random answer at most")
    parser.add_argument("--output", type=Path, help="also write the JSON to this file")
    given = parser.parse_args()
    card = machine_card()
    model = Model(LlamaCppOptions(path=given.vocabulary), vocab_only=True)
    result = {**measure(model.vocab, given.rounds, given.limit), "machine": card}
    for name, case in result["cases"].items():
        print(
            f"{name:22} document p99 {case['document']['mask_us']['p99']} µs, random {case['random']['mask_us']['p99']}"
        )
    print(f"mask, all              {result['mask_us']}\nstep, all              {result['step_us']}")
    tell(result, given.output)


if __name__ == "__main__":
    main()
