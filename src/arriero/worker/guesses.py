"""How much of a request's answer may be guessed ahead, before anything is known of its text."""

from __future__ import annotations

from arriero.core.request import GenerateRequest
from arriero.core.tokenizer import Tokenizer
from arriero.worker.text_desk import Encoding, Steps


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
    text = request.prediction
    if not text:
        return ()
    tokens = yield Encoding(len(text), lambda: tokenizer.encode(text, add_special=False, parse_special=False))
    return tuple(tokens)
