"""What a worker answers at once: text to tokens, tokens to text, and the prompt of a request. Knows no engine."""

from __future__ import annotations

from arriero.core import messages as wire
from arriero.core.errors import ArrieroError, InvalidRequest
from arriero.core.tokenizer import Tokenizer
from arriero.worker.faces import Faces

Question = wire.Tokenize | wire.Detokenize | wire.Render | wire.Prompt


def answer(command: Question, tokenizer: Tokenizer, faces: Faces) -> wire.Tokens | wire.Text | wire.RequestFailed:
    """Return what `command` asks for, or why that cannot be."""
    try:
        match command:
            case wire.Tokenize(id=number, text=text):
                found = tokenizer.encode(text, add_special=False, parse_special=True)
                return wire.Tokens(id=number, tokens=tuple(found))
            case wire.Detokenize(id=number, tokens=tokens):
                return wire.Text(id=number, text=_text(tokens, tokenizer))
            case wire.Render(id=number, request=request, face=face):
                return wire.Text(id=number, text=faces[face].prompts.render(request))
            case wire.Prompt(id=number, request=request, face=face):
                return wire.Tokens(id=number, tokens=tuple(faces[face].prompts.tokens(request)))
    except ArrieroError as error:
        return wire.RequestFailed(id=command.id, error=error.info())


def _text(tokens: tuple[int, ...], tokenizer: Tokenizer) -> str:
    for token in tokens:
        if not 0 <= token < tokenizer.n_vocab:
            raise InvalidRequest(f"token {token} is not in the model's vocabulary of {tokenizer.n_vocab}")
    return b"".join(tokenizer.piece(token, special=True) for token in tokens).decode("utf-8", "replace")
