"""How much of a request's answer may be guessed ahead, before anything is known of its text."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from arriero.core.request import GenerateRequest
from arriero.core.tokenizer import Tokenizer
from arriero.worker.text_desk import Encoding, Steps

MOST = 262_144
"""Characters of a prediction that are tokenized, its first ones: mostly more tokens than the engine looks through."""


def draft_tokens(request: GenerateRequest) -> int | None:
    """Tokens to guess ahead at most. None where a seed is to give the same draws again, unless they are asked for.

    What is checked beside other rows comes out of the kernels with other last bits, and how much is guessed follows the
    clock: a draw at temperature 1 can tell.
    """
    sampling = request.sampling
    repeatable = sampling.seed is not None and sampling.temperature > 0
    if sampling.draft_tokens is None and repeatable and not request.prediction:
        return 0
    return sampling.draft_tokens


def predicted_tokens(request: GenerateRequest, tokenizer: Tokenizer) -> Steps[tuple[int, ...]]:
    """The token ids of the text that the client foretells for its answer; none where it foretells nothing."""
    text = (request.prediction or "")[:MOST]
    if not text:
        return ()
    tokens: tuple[int, ...] = yield Encoding(len(text), lambda: _tokens(tokenizer.encode, text))
    return tokens


@lru_cache(maxsize=1)
def _tokens(encode: Callable[..., list[int]], text: str) -> tuple[int, ...]:
    """Several answers to one request foretell the same, one behind the other."""
    return tuple(encode(text, add_special=False, parse_special=False))
