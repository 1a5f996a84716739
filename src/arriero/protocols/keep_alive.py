"""`keep_alive`: how long a model stays loaded behind its request. Ollama's field, and an extension of other APIs."""

from __future__ import annotations

from typing import Any

from arriero.core.errors import InvalidRequest
from arriero.protocols.go_duration import LONGEST, parse_duration


def read_keep_alive(value: Any) -> float | None:
    """Return `keep_alive` in seconds, −1 for ever, None if absent; InvalidRequest if it is no duration."""
    if value is None:
        return None
    if isinstance(value, str):
        try:
            seconds = parse_duration(value)
        except ValueError as error:
            raise InvalidRequest(str(error), param="keep_alive") from None
    elif isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidRequest("keep_alive must be a number of seconds or a duration", param="keep_alive")
    else:
        seconds = min(float(value), LONGEST)
    return seconds if seconds >= 0 else -1.0
