"""Held answers while sequences are preempted and computed again: the same answers, whatever room there is."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import jsonschema

from arriero.core.constraint import AnswerPlan, Constraint
from arriero.core.runner import RunnerInfo
from arriero.engine.engine import Engine
from arriero.engine.events import Ended, TokenEvent
from arriero.engine.sequence import SequenceSpec
from arriero.runners.constrained.compiler import MaskCompiler
from arriero.runners.fake import FakeRunner
from arriero.runners.fake_answers import GreedySampler
from arriero.runners.fake_model import END, ByteTokenizer

SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 9},
        "kind": {"enum": ["cat", "dog", "hen"]},
        "ages": {
            "type": "array",
            "items": {"type": "integer", "minimum": 0, "maximum": 99},
            "minItems": 2,
            "maxItems": 3,
        },
    },
    "required": ["name", "kind", "ages"],
    "additionalProperties": False,
}
INFO = RunnerInfo(
    n_vocab=ByteTokenizer.n_vocab,
    max_sequences=6,
    max_sequence_tokens=512,
    max_batch_tokens=64,
    active_blocks=200,
    parked_blocks=64,
)


def answers(info: RunnerInfo) -> tuple[dict[int, bytes], int]:
    """Six answers on a runner of this size, and how often a sequence was preempted."""
    compiler, rng = MaskCompiler(ByteTokenizer()), random.Random(1)
    engine = Engine(FakeRunner(info))
    texts: dict[int, bytes] = {}
    for number in range(6):
        mask = compiler.compile(AnswerPlan(constraint=Constraint(kind="json_schema", schema=SCHEMA)))
        prompt = [rng.randrange(256) for _ in range(30)]
        stops = frozenset({END})
        engine.add(SequenceSpec(id=number, tokens=prompt, sampler=GreedySampler(mask), stop_ids=stops, max_tokens=400))
        texts[number] = b""
    ended: dict[int, str] = {}
    for step in range(5000):
        for event in engine.step(float(step)):
            if isinstance(event, TokenEvent):
                texts[event.id] += ByteTokenizer().piece(event.token)
            elif isinstance(event, Ended):
                assert event.error is None
                ended[event.id] = event.reason
        engine.check()
        if len(ended) == len(texts):
            break
    assert set(ended.values()) == {"stop"}
    return texts, engine.stats().preemptions


def test_preempted_answers_are_the_same() -> None:
    roomy, none = answers(INFO)
    assert none == 0
    for text in roomy.values():
        jsonschema.validate(json.loads(text), SCHEMA)
    narrow, preemptions = answers(replace(INFO, active_blocks=14, parked_blocks=0))
    assert preemptions > 0
    assert narrow == roomy
    paged, preemptions = answers(replace(INFO, active_blocks=14, parked_blocks=0, storage="paged"))
    assert preemptions > 0
    assert paged == roomy
