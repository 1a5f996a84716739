"""Held answers on llama.cpp's kernels with random weights, in both layouts, greedy and drawn."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from arriero.core.constraint import AnswerPlan, Constraint
from arriero.core.model import ModelSpec
from arriero.core.request import LoadOptions, SamplingParams
from arriero.core.tokenizer import LoadedModel
from arriero.engine.engine import Engine
from arriero.engine.events import Ended, TokenEvent
from arriero.engine.sequence import SequenceSpec
from arriero.runners import open_model

SCHEMA = {
    "type": "object",
    "properties": {
        "word": {"type": "string", "pattern": "^[a-z]{1,8}$"},
        "kind": {"enum": ["cat", "dog", 3]},
        "numbers": {"type": "array", "items": {"type": "integer", "minimum": -5, "maximum": 99}, "maxItems": 3},
    },
    "required": ["word", "kind", "numbers"],
    "additionalProperties": False,
}
DRAWS = [SamplingParams(temperature=0.0), *(SamplingParams(temperature=1.0, seed=seed) for seed in range(3))]
DRAWS += [SamplingParams(temperature=2.0, top_k=3, top_p=0.5, min_p=0.1, repeat_penalty=1.5, seed=7, logprobs=2)]


@pytest.mark.parametrize("layout", ["unified", "streams"])
def test_answers_match(tiny_path: Path, layout: str) -> None:
    spec = ModelSpec(name="tiny", path=str(tiny_path), digest="", size=1, modified_at=0.0)
    options = {"layout": layout, "max_sequences": 3}
    model = open_model(spec, LoadOptions(num_ctx=256, num_thread=1), options, lambda fraction: None)
    assert isinstance(model, LoadedModel)
    engine = Engine(model.runner)
    texts = dict.fromkeys(range(len(DRAWS)), b"")
    for number, params in enumerate(DRAWS):
        mask = model.masks.compile(AnswerPlan(constraint=Constraint(kind="json_schema", schema=SCHEMA)))
        tokens = model.tokenizer.encode("Some words.", add_special=True, parse_special=False)
        sampler = model.make_sampler(params, mask)
        engine.add(SequenceSpec(id=number, tokens=tokens, sampler=sampler, stop_ids=model.tokenizer.eog_ids))
    reasons: dict[int, str] = {}
    while engine.has_work:
        for event in engine.step(0.0):
            if isinstance(event, TokenEvent):
                texts[event.id] += model.tokenizer.piece(event.token)
            elif isinstance(event, Ended):
                reasons[event.id] = event.reason
    model.runner.close()
    assert set(reasons.values()) == {"stop"}
    for text in texts.values():
        jsonschema.validate(json.loads(text), SCHEMA)
