"""Items of OpenAI's Responses API to core messages: what an assistant thought, said and called becomes one turn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from arriero.core.errors import InvalidRequest, UnsupportedFeature
from arriero.core.request import Message, ToolCall
from arriero.protocols.call_arguments import replayed_call
from arriero.protocols.refused_parts import refused_part
from arriero.protocols.responses.summary import summary_turns

_ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
_TEXTS = frozenset(["input_text", "output_text", "text", "summary_text", "reasoning_text"])


def read_items(items: Sequence[dict[str, Any]], known: int = 0, field: str = "input") -> tuple[Message, ...]:
    """Return the conversation; the first `known` items are of earlier responses, errors count from there, in `field`.

    InvalidRequest (with `param`) for what is malformed, UnsupportedFeature for what is no text, call or result.
    """
    turns = _Turns()
    for index, item in enumerate(items):
        turns.add(item, f"{field}[{index - known}]")
    return turns.done()


class _Turns:
    """Messages so far, and the assistant's turn that is being put together."""

    def __init__(self) -> None:
        self._messages: list[Message] = []
        self._names: dict[str, str] = {}  # call id to tool name
        self._thinking: list[str] = []
        self._content: str | None = None
        self._calls: list[ToolCall] = []

    def add(self, item: dict[str, Any], at: str) -> None:
        """Take one item in."""
        kind = item.get("type") or "message"
        if kind == "message":
            self._message(item, at)
        elif kind == "reasoning":
            if self._content is not None or self._calls:
                self._flush()
            text = _parts(item.get("content") or item.get("summary") or [], f"{at}.content")
            self._thinking += [text] if text else []
        elif kind == "function_call":
            call = _call(item, at)
            self._names[call.id] = call.name
            self._calls.append(call)
        elif kind == "function_call_output":
            self._flush()
            call_id = _text(item, "call_id", at)
            content = _parts(item.get("output"), f"{at}.output")
            name = self._names.get(call_id)
            self._messages.append(Message(role="tool", content=content, tool_call_id=call_id, tool_name=name))
        elif kind == "compaction":
            self._flush()
            self._messages += summary_turns(item, at)
        else:
            shown = kind[:64] if isinstance(kind, str) else "no text"
            raise UnsupportedFeature(f"input items of type '{shown}' are not supported", param=f"{at}.type")

    def _message(self, item: dict[str, Any], at: str) -> None:
        role = item.get("role")
        if not isinstance(role, str) or role not in _ROLES:
            raise InvalidRequest(f"invalid role, expected one of {', '.join(_ROLES)}", param=f"{at}.role")
        content = _parts(item.get("content"), f"{at}.content")
        if _ROLES[role] == "assistant":
            if self._content is not None or self._calls:
                self._flush()
            self._content = content
        else:
            self._flush()
            self._messages.append(Message(role=_ROLES[role], content=content))

    def _flush(self) -> None:
        if self._thinking or self._content is not None or self._calls:
            thinking = "\n".join(self._thinking) or None
            self._messages.append(
                Message(role="assistant", content=self._content or "", thinking=thinking, tool_calls=tuple(self._calls))
            )
        self._thinking, self._content, self._calls = [], None, []

    def done(self) -> tuple[Message, ...]:
        """Return the messages."""
        self._flush()
        return tuple(self._messages)


def _text(item: dict[str, Any], name: str, at: str) -> str:
    value = item.get(name)
    if not isinstance(value, str) or not value:
        raise InvalidRequest(f"'{name}' must be a text", param=f"{at}.{name}")
    return value


def _parts(content: Any, at: str) -> str:
    """Return the text of a content: a text, or a list of parts that are texts."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise InvalidRequest("a content must be a text or a list of parts", param=at)
    texts: list[str] = []
    for index, part in enumerate(content):
        kind = part.get("type") if isinstance(part, dict) else None
        if not isinstance(kind, str):
            raise InvalidRequest("a content part must be an object with a type", param=f"{at}[{index}]")
        if kind not in _TEXTS and kind != "refusal":
            raise refused_part(part, kind, f"{at}[{index}].type")
        text = part.get("refusal" if kind == "refusal" else "text")
        if not isinstance(text, str):
            raise InvalidRequest("a text part needs a text", param=f"{at}[{index}].text")
        texts.append(text)
    return "\n".join(texts)


def _call(item: dict[str, Any], at: str) -> ToolCall:
    arguments = item.get("arguments")
    if not isinstance(arguments, str):
        raise InvalidRequest("'arguments' must be a text", param=f"{at}.arguments")
    return replayed_call(_text(item, "name", at), arguments, _text(item, "call_id", at), f"{at}.arguments")
