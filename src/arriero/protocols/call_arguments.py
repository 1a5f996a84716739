"""Arguments of calls that clients send back, in APIs where they are a text on the wire."""

from __future__ import annotations

from typing import Any

import msgspec

from arriero.core.errors import InvalidRequest
from arriero.core.request import ToolCall
from arriero.protocols.body import check_values


def replayed_call(name: str, arguments: Any, call_id: str, at: str) -> ToolCall:
    """The call; a text that holds no JSON object (a model may have written any) is kept as it is, empty means none.

    InvalidRequest, with `at` as param, for what is neither a text nor an object, and for values beyond the limits.
    """
    if arguments is None or arguments == "":
        return ToolCall(name=name, arguments={}, id=call_id)
    value = arguments
    if isinstance(arguments, str):
        try:
            value = msgspec.json.decode(arguments)
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            return ToolCall(name=name, arguments={}, id=call_id, unread=arguments)
    if not isinstance(value, dict):
        raise InvalidRequest("a tool call's arguments must be a text, or a JSON object", param=at)
    check_values(value)
    return ToolCall(name=name, arguments=value, id=call_id)
