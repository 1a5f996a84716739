"""On real vocabularies the tokenizer's own tokens of a document that matches are all allowed, and it ends."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from arriero.core.constraint import AnswerPlan, CallForm, CallRules, Constraint, HeldTool, TokenMask
from arriero.runners.constrained.compiler import MaskCompiler
from arriero.runners.llama_cpp.model import Model
from arriero.runners.llama_cpp.options import LlamaCppOptions
from arriero.runners.llama_cpp.vocab import Vocab
from arriero.store.catalog import demo_path

SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "tags": {"type": "array", "items": {"type": "string"}}},
    "required": ["name", "tags"],
}
DOCUMENT = {"name": 'Ana "Ñ" 東京 🐴\n', "tags": ["a b", "", "…"]}
FORM = CallForm(body='{ "name" : NAME , "arguments" : ARGUMENTS }', opens="<tool_call>\n", closes="\n</tool_call>")
CALL = "<tool_call>\n" + json.dumps({"name": "add", "arguments": DOCUMENT}, ensure_ascii=False) + "\n</tool_call>"
RULES = CallRules(form=FORM, tools=(HeldTool(name="add", parameters=SCHEMA),))


def refused(mask: TokenMask | None, vocab: Vocab, tokens: list[int]) -> bytes | None:
    """The text up to the first token that may not come; None where all may."""
    assert mask is not None
    for place, token in enumerate(tokens):
        logits = np.zeros(vocab.n_vocab, np.float32)
        mask.apply(logits, tokens[:place], 0)
        if logits[token] == -np.inf:
            return b"".join(map(vocab.piece, tokens[: place + 1]))
        mask.ends(tokens[:place], 0, token)
    return None


@pytest.mark.parametrize("name", ["demo", "llama-spm", "llama-bpe", "qwen2"])
def test_documents(name: str) -> None:
    path = demo_path()
    if name != "demo":
        folder = os.environ.get("ARRIERO_TEST_DATA")
        if not folder:
            pytest.skip("shared data: ARRIERO_TEST_DATA is not set")
        path = Path(folder) / "vocab" / f"ggml-vocab-{name}.gguf"
    vocab = Model(LlamaCppOptions(path=str(path)), vocab_only=True).vocab
    compiler = MaskCompiler(vocab)
    cases = [
        (
            AnswerPlan(constraint=Constraint(kind="json_schema", schema=SCHEMA)),
            json.dumps(DOCUMENT, indent=2, ensure_ascii=False),
        ),
        (AnswerPlan(constraint=Constraint(kind="json_object")), json.dumps(DOCUMENT, ensure_ascii=False)),
        (AnswerPlan(calls=RULES), "I will add it. " + CALL + " Done."),
    ]
    spaced = vocab.piece(vocab.encode("a", add_special=False, parse_special=False)[0]) != b"a"
    for plan, text in cases:
        tokens = vocab.encode(text, add_special=False, parse_special=False)
        if spaced:  # this tokenizer puts a space before every text; a model's answer need not begin with one
            before = vocab.encode("\n", add_special=False, parse_special=False)
            tokens = vocab.encode("\n" + text, add_special=False, parse_special=False)[len(before) :]
        assert b"".join(map(vocab.piece, tokens)).decode() == text
        mask = compiler.compile(plan)
        assert refused(mask, vocab, tokens) is None
        assert mask is not None
        logits = np.zeros(vocab.n_vocab, np.float32)
        mask.apply(logits, tokens, 0)
        assert np.isfinite(logits[sorted(vocab.eog_ids)]).all()
