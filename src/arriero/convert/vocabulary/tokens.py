"""Tokens: a vocabulary as GGUF lists it, and the ids and texts that go with every kind of tokenizer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import gguf

from arriero.convert.output import Output
from arriero.convert.source import Source
from arriero.core.errors import InvalidRequest

Type = gguf.TokenType
MAX_TOKENS = 1 << 22


@dataclass(slots=True)
class Tokens:
    """Texts by id, with their types; `scores` only where the tokenizer has them. Gaps are filled as UNUSED."""

    texts: list[str | bytes] = field(default_factory=list)
    types: list[int] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)

    def put(self, at: int, text: str | bytes, kind: int = Type.NORMAL, score: float = 0.0) -> None:
        """Set the token with that id."""
        if not 0 <= at < MAX_TOKENS:
            raise InvalidRequest(f"the tokenizer has a token with the id {at}")
        self.grow(at + 1)
        self.texts[at], self.types[at], self.scores[at] = text, kind, score

    def grow(self, size: int) -> None:
        """Fill up to `size` tokens: the embedding's rows may be more than the tokenizer's tokens."""
        for at in range(len(self.texts), size):
            self.texts.append(f"[PAD{at}]")
            self.types.append(Type.UNUSED)
            self.scores.append(-10000.0)

    def ids(self) -> dict[str, int]:
        """Ids by text."""
        return {
            text if isinstance(text, str) else text.decode("utf-8", "replace"): n for n, text in enumerate(self.texts)
        }

    def write(self, out: Output, model: str, pre: str, *, scores: bool = False) -> None:
        """Write the lists and what llama.cpp shall make of them."""
        out.keys.add_tokenizer_model(model)
        out.keys.add_tokenizer_pre(pre)
        out.keys.add_token_list(self.texts)
        out.keys.add_token_types(self.types)
        if scores:
            out.keys.add_token_scores(self.scores)


def token_text(value: Any) -> str | None:
    """A token as the configuration files name it: a text, or an object with its content."""
    if isinstance(value, dict):
        value = value.get("content")
    return value if isinstance(value, str) else None


def size_of(config: dict[str, Any], tokens: Tokens) -> None:
    """Bring the list to the embedding's rows (`vocab_size`): tokens that have none are no input of this model."""
    size = int(config["vocab_size"])
    if not 0 <= size <= MAX_TOKENS:
        raise InvalidRequest(f"the embedding has {size} rows, more than a vocabulary can have tokens")
    tokens.grow(size)
    for each in (tokens.texts, tokens.types, tokens.scores):
        del each[size:]


def chat_template(source: Source) -> str | None:
    """The model's chat template: a file of its own, or in the tokenizer's configuration (the one called default)."""
    if "chat_template.jinja" in source:
        return source.text("chat_template.jinja")
    for name in ("chat_template.json", "tokenizer_config.json"):
        found = source.optional(name).get("chat_template")
        if isinstance(found, list):
            named = {one.get("name"): one.get("template") for one in found if isinstance(one, dict)}
            found = named.get("default")
        if isinstance(found, str):
            return found
    return None
