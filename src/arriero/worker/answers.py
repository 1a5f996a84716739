"""What a worker answers by itself: text to tokens, tokens to text, and the prompt of a request. Knows no engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from arriero.core import messages as wire
from arriero.core.tokenizer import Tokenizer
from arriero.worker.faces import Faces
from arriero.worker.failures import failure
from arriero.worker.text_desk import Encoding, Steps
from arriero.worker.token_ids import text_of

Question = wire.Tokenize | wire.Detokenize | wire.Render | wire.Prompt


def answer(command: Question, tokenizer: Tokenizer, faces: Faces, reply: Callable[[Any], None]) -> Steps[None]:
    """Reply with what `command` asks for, or why that cannot be."""
    try:
        match command:
            case wire.Tokenize(id=number, text=text):
                tokens = yield Encoding(len(text), lambda: tuple(_tokens(text, tokenizer)))
                reply(wire.Tokens(id=number, tokens=tokens))
            case wire.Detokenize(id=number, tokens=tokens):
                reply(wire.Text(id=number, text=text_of(tokens, tokenizer)))
            case wire.Render(id=number, request=request, face=face):
                rendered = yield from faces[face].prompts.render(request)
                reply(wire.Text(id=number, text=rendered))
            case wire.Prompt(id=number, request=request, face=face):
                found = yield from faces[face].prompts.tokens(request)
                reply(wire.Tokens(id=number, tokens=tuple(found)))
    except Exception as error:
        reply(wire.RequestFailed(id=command.id, error=failure(error)))


def _tokens(text: str, tokenizer: Tokenizer) -> list[int]:
    return tokenizer.encode(text, add_special=False, parse_special=True)
