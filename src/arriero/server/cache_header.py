"""The header that asks what was cached of a prompt, and tells it; the same on every route that generates."""

from __future__ import annotations

from collections.abc import Mapping

from arriero.core.events import Accepted
from arriero.protocols.call import Call, with_fields

HEADER = "X-Arriero-Cache"


def with_cache_question(call: Call, headers: Mapping[str, str]) -> Call:
    """Return the call with the question in all that it asks for, where the headers have it."""
    return with_fields(call, explain_cache=True) if HEADER in headers else call


def cache_answer(accepted: Accepted) -> str | None:
    """Say how many tokens of the prompt are cached, and which is the first that nothing cached has; None if not asked.

    Tokens count from 0. Without `diverged_at` the whole prompt was computed before.
    """
    common = accepted.common_tokens
    if common is None:
        return None
    told = f"prompt={accepted.prompt_tokens}; cached={accepted.cached_tokens}"
    return told if common >= accepted.prompt_tokens else f"{told}; diverged_at={common}"
