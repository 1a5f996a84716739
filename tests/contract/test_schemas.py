"""Answers drawn at random under a schema's mask, on the demo's vocabulary: each ends, and matches the schema."""

from __future__ import annotations

import json
import random
import re
from functools import cache
from typing import Any

import jsonschema
import numpy as np
import pytest

from arriero.core.constraint import AnswerPlan, Constraint
from arriero.core.errors import InvalidRequest
from arriero.core.request import SamplingParams
from arriero.runners.constrained.compiler import MaskCompiler
from arriero.runners.llama_cpp.model import Model
from arriero.runners.llama_cpp.options import LlamaCppOptions
from arriero.runners.sampler import NumpySampler
from arriero.store.catalog import demo_path
from tests.contract.schema_corpus import HANDMADE, UNSUPPORTED, random_schema, with_definitions

GENERATED = 160
WITH_DEFINITIONS = 40
DRAWS = 2
LIMIT = 6000  # tokens
CLOSING = (
    b'"',
    b"}",
    b"]",
    b"@",
    b":",
    b".",
)  # what an answer gets shorter by: addresses and URIs do not end without theirs

_PATTERNS = {
    "date-time": r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)",
    "date": r"\d{4}-\d\d-\d\d",
    "time": r"\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)",
    "duration": r"P(\d+W|(\d+[YMD])*(T(\d+[HMS])+)?)",
    "hostname": r"[a-zA-Z0-9]([a-zA-Z0-9.-]*[a-zA-Z0-9])?",
    "uri": r"[a-zA-Z][a-zA-Z0-9+.-]*:[^\s<>\"]*",
}
_checker = jsonschema.FormatChecker()
for _name, _pattern in _PATTERNS.items():
    _checker.checks(_name)(lambda value, p=_pattern: not isinstance(value, str) or re.fullmatch(p, value) is not None)


@cache
def vocabulary() -> tuple[MaskCompiler, Model]:
    model = Model(LlamaCppOptions(path=str(demo_path())), vocab_only=True)
    return MaskCompiler(model.vocab), model


def answer(schema: Any, seed: int) -> str:
    """A random answer that ends sooner the longer it is."""
    compiler, model = vocabulary()
    mask = compiler.compile(AnswerPlan(constraint=Constraint(kind="json_schema", schema=schema)))
    eog = model.vocab.eog_ids
    sampler = NumpySampler(SamplingParams(temperature=1.0, top_k=0, top_p=1.0, seed=seed), eog_ids=eog, mask=mask)
    closing = [i for i in range(model.vocab.n_vocab) if model.vocab.piece(i)[:1] in CLOSING] + sorted(eog)
    last = [i for i in closing if model.vocab.piece(i)[:1] in (b"}", b"]", b"")]
    rng, tokens = np.random.default_rng(seed), list[int]()
    for step in range(LIMIT):
        logits = rng.standard_normal(model.vocab.n_vocab, dtype=np.float32)
        logits[closing] += min(12.0, 2.0 + step / 20)
        logits[last] += min(6.0, step / 100)
        choice = sampler.sample(logits, tokens, 0)
        assert choice.error is None
        if choice.token in eog:
            break
        tokens.append(choice.token)
        if choice.end:
            break
    else:
        raise AssertionError(f"no end: {b''.join(map(model.vocab.piece, tokens))[:200]!r}")
    return b"".join(map(model.vocab.piece, tokens)).decode()


def check(schema: Any, seed: int) -> None:
    for draw in range(DRAWS):
        text = answer(schema, seed * DRAWS + draw)
        jsonschema.Draft202012Validator(schema, format_checker=_checker).validate(json.loads(text))


@pytest.mark.parametrize("index", range(len(HANDMADE)))
def test_handmade(index: int) -> None:
    check(HANDMADE[index], index)


@pytest.mark.parametrize("seed", range(GENERATED))
def test_generated(seed: int) -> None:
    check(random_schema(random.Random(seed)), seed)


@pytest.mark.parametrize("seed", range(WITH_DEFINITIONS))
def test_generated_with_references(seed: int) -> None:
    check(with_definitions(random.Random(seed)), seed)


@pytest.mark.parametrize("named", UNSUPPORTED)
def test_what_cannot_be_held_is_named(named: str) -> None:
    compiler, _ = vocabulary()
    constraint = Constraint(kind="json_schema", schema=UNSUPPORTED[named], param="response_format")
    with pytest.raises(InvalidRequest) as raised:
        compiler.compile(AnswerPlan(constraint=constraint))
    assert named in raised.value.message
    assert raised.value.message.startswith("response_format cannot be used: ")
    assert raised.value.details == {"param": "response_format"}
