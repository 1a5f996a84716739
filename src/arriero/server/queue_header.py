"""The header that tells of the line that a request found; the same on every route that generates."""

from __future__ import annotations

from arriero.core.events import Accepted

HEADER = "X-Arriero-Queue"


def queue_answer(accepted: Accepted) -> str | None:
    """Say how many had their turn before it and in how many seconds its own was to come; None if it was at once."""
    if not accepted.ahead and accepted.queue_seconds == 0:
        return None
    told = f"ahead={accepted.ahead}"
    return told if accepted.queue_seconds is None else f"{told}; seconds={accepted.queue_seconds:.1f}"
