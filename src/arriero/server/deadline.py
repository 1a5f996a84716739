"""The header that says by when an answer must have begun; the same on every route that generates."""

from __future__ import annotations

from collections.abc import Mapping

from arriero.core.errors import InvalidRequest
from arriero.protocols.call import Call, with_fields
from arriero.protocols.go_duration import LONGEST, parse_duration

HEADER = "X-Arriero-Deadline"


def with_deadline(call: Call, headers: Mapping[str, str]) -> Call:
    """Return the call with the deadline that its headers name, in all that it asks for; InvalidRequest for nonsense.

    Seconds from now (`2.5`) or a duration (`800ms`).
    """
    text = headers.get(HEADER)
    if text is None:
        return call
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = parse_duration(text.strip())
        except ValueError:
            seconds = -1.0
    if not 0 < seconds <= LONGEST:
        raise InvalidRequest(
            f"{HEADER}: {text!r} is no time by which an answer can begin: give seconds above 0 (2.5), or a duration "
            "such as 800ms",
            param=HEADER,
        )
    return with_fields(call, deadline=seconds)
