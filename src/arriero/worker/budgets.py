"""How long a model may think in one answer: the mask that ends its thinking in time."""

from __future__ import annotations

from collections.abc import Callable

from arriero.core.constraint import TokenMask
from arriero.core.request import GenerateRequest
from arriero.core.tokenizer import Tokenizer
from arriero.runners.constrained.thinking_budget import Budget, ThinkingBudget
from arriero.worker.prompt import Prompt


def within_budget(
    request: GenerateRequest,
    prompt: Prompt,
    tags: tuple[str, str] | None,
    mask: TokenMask | None,
    tokenizer: Tokenizer,
    piece: Callable[[int], bytes],
) -> TokenMask | None:
    """`mask`, and before it what ends the thinking between `tags` when the request's budget is spent."""
    if request.thinking_budget is None or tags is None:
        return mask
    opens, closes = tags
    ending: list[int] = []
    for text in ("\n", closes):  # apart, so that no token is a part of both
        ending += tokenizer.encode(text, add_special=False, parse_special=True)
    budget = Budget(request.thinking_budget, opens, closes, tuple(ending), prompt.opens_thinking)
    return ThinkingBudget(budget, piece, mask)
