"""Drawing along a draft: several tokens of one sequence from the logits of one call. It knows no kernels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from arriero.core.runner import Choice, Sampler


def draw_along(
    sampler: Sampler, rows: Iterable[Any], tokens: Sequence[int], draft: Sequence[int], prompt_len: int
) -> list[Choice]:
    """Draw the token after `tokens`, and the next one as long as what was drawn is the draft's; at least one.

    `rows` are the logits after `tokens` and after each token of `draft`. A sampler's draw depends on its seed, the
    tokens before and the logits alone, so these are the very draws that single steps would have made: whether a guess
    is taken depends on nothing but that they are equal, and no distribution changes.
    """
    if not draft:
        return [sampler.sample(logits, tokens, prompt_len) for logits in rows]
    seen = list(tokens)
    choices: list[Choice] = []
    for logits, guess in zip(rows, (*draft, None), strict=True):
        choice = sampler.sample(logits, seen, prompt_len)
        choices.append(choice)
        if choice.token != guess or choice.end or choice.error is not None:
            break
        seen.append(choice.token)
    return choices
