"""What a worker answers at once: text to tokens, tokens to text, and the prompt of a request. Knows no engine."""

from __future__ import annotations

from arriero.core import messages as wire
from arriero.core.errors import ArrieroError
from arriero.core.tokenizer import Tokenizer
from arriero.worker.faces import Faces
from arriero.worker.token_ids import text_of

Question = wire.Tokenize | wire.Detokenize | wire.Render | wire.Prompt


def answer(command: Question, tokenizer: Tokenizer, faces: Faces) -> wire.Tokens | wire.Text | wire.RequestFailed:
    """Return what `command` asks for, or why that cannot be."""
    try:
        match command:
            case wire.Tokenize(id=number, text=text):
                found = tokenizer.encode(text, add_special=False, parse_special=True)
                return wire.Tokens(id=number, tokens=tuple(found))
            case wire.Detokenize(id=number, tokens=tokens):
                return wire.Text(id=number, text=text_of(tokens, tokenizer))
            case wire.Render(id=number, request=request, face=face):
                return wire.Text(id=number, text=faces[face].prompts.render(request))
            case wire.Prompt(id=number, request=request, face=face):
                return wire.Tokens(id=number, tokens=tuple(faces[face].prompts.tokens(request)))
    except ArrieroError as error:
        return wire.RequestFailed(id=command.id, error=error.info())
