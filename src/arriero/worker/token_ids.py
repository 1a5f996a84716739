"""Token ids that clients name, in prompts, biases, stops and texts to be read: the vocabulary must have them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from arriero.core.errors import InvalidRequest
from arriero.core.request import SamplingParams
from arriero.core.tokenizer import Tokenizer


def check_tokens(tokens: Iterable[int], n_vocab: int, **details: Any) -> None:
    """InvalidRequest, with `details`, for a token id that the vocabulary does not have."""
    for token in tokens:
        if not 0 <= token < n_vocab:
            raise InvalidRequest(f"token {token} is not in the model's vocabulary of {n_vocab}", **details)


def check_sampling(sampling: SamplingParams, n_vocab: int) -> None:
    """InvalidRequest, naming the field, for a token id that the vocabulary does not have."""
    check_tokens((token for token, _ in sampling.logit_bias), n_vocab, param="logit_bias")
    check_tokens(sampling.stop_token_ids, n_vocab, param="stop_token_ids")


def text_of(tokens: Sequence[int], tokenizer: Tokenizer) -> str:
    """Return what tokens read as, special ones included; InvalidRequest for an unknown one, of the field `tokens`."""
    check_tokens(tokens, tokenizer.n_vocab, param="tokens")
    return b"".join(tokenizer.piece(token, special=True) for token in tokens).decode("utf-8", "replace")
