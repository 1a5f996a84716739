"""Anthropic's messages to core messages: blocks joined, tool results turned into turns of their own.

Consecutive turns of one role are one turn, as Anthropic has it. Blocks of text are joined by line breaks.
"""

from __future__ import annotations

from typing import Any

import msgspec

from arriero.core.errors import ArrieroError
from arriero.core.request import Message, ToolCall
from arriero.protocols.anthropic.client_headers import without_headers
from arriero.protocols.anthropic.fields import bad, text_field, unsupported
from arriero.protocols.anthropic.thinking_signature import restore
from arriero.protocols.unknown import unknown_inside

_ROLES = ("user", "assistant", "system")
_ERROR = "Error: "
MESSAGE = ("role", "content")
SYSTEM_MESSAGE = (*MESSAGE, "clear_at", "output_config")
_UNTIL_USER = "next_user_message"
BLOCK_FIELDS = {
    "text": ("text", "citations"),
    "thinking": ("thinking", "signature"),
    "redacted_thinking": ("data",),
    "tool_use": ("id", "name", "input", "caller", "toolset_name"),
    "tool_result": ("tool_use_id", "content", "is_error", "toolset_name"),
}


class _Turn:
    """What one wire message says, gathered block by block."""

    def __init__(self, role: str) -> None:
        self.role = role
        self.texts: list[str] = []
        self.thinking: list[str] = []
        self.calls: list[ToolCall] = []
        self.results: list[Message] = []


class MessageReader:
    """Reads one request's messages; `ignored` names what was accepted and not honoured."""

    def __init__(self) -> None:
        self.ignored: dict[str, None] = {}
        self._names: dict[str, str] = {}  # call id to tool name

    def read(self, wire: Any) -> tuple[Message, ...]:
        """Return the core messages. InvalidRequest (with `param`) for what is malformed, UnsupportedFeature for
        blocks that no model here can take."""
        if not isinstance(wire, list) or not wire:
            raise bad("messages", "field required" if wire is None else "at least one message is required")
        groups: list[list[Message]] = []
        last_user = next((at for at in reversed(range(len(wire))) if _role(wire[at]) == "user"), -1)
        for index, item in enumerate(wire):
            at = f"messages.{index}"
            if not isinstance(item, dict):
                raise bad(at, "must be an object")
            role = item.get("role")
            if role not in _ROLES:
                raise bad(f"{at}.role", f"must be one of {', '.join(_ROLES)}")
            known = SYSTEM_MESSAGE if role == "system" else MESSAGE
            self.ignored.update((name, None) for name in unknown_inside(item, "messages", known, "warn"))
            turn = _Turn(role)
            self._content(turn, item.get("content"), f"{at}.content")
            if role == "system" and _is_over(item, at) and index < last_user:
                continue
            for message in (*turn.results, _message(turn)):
                _append(groups, message)
        if not groups:
            raise bad("messages", "at least one message must be left for the model")
        return tuple(_joined(group) for group in groups)

    def system(self, wire: Any, *, strip_headers: bool) -> str | None:
        """Return the system prompt, a string or text blocks; with `strip_headers` without clients' header lines."""
        if wire is None:
            return None
        texts = [wire] if isinstance(wire, str) else self._texts(wire, "system")
        if strip_headers:
            stripped = [without_headers(text) for text in texts]
            texts = [after for after, before in zip(stripped, texts, strict=True) if after or not before]
        return "\n".join(texts) or None

    def _texts(self, wire: Any, at: str) -> list[str]:
        """Return the texts of a list of text blocks; errors for any other."""
        if not isinstance(wire, list):
            raise bad(at, "must be a string or a list of blocks")
        texts: list[str] = []
        for index, block in enumerate(wire):
            where = f"{at}.{index}"
            kind = block_type(block, where)
            if kind != "text":
                refuse_block(kind, where)
            texts.append(text_field(block, "text", where))
            self._note_strange(block, "text", at)
        return texts

    def _note_strange(self, block: dict[str, Any], kind: str, at: str) -> None:
        """Remember what nobody knows in a block: it may be another server's, sent back."""
        place = "system" if at == "system" else "messages.content"
        known = {*BLOCK_FIELDS[kind], "type", "cache_control"}
        self.ignored.update((f"{place}.{name}", None) for name in block if name not in known)

    def _content(self, turn: _Turn, content: Any, at: str) -> None:
        if isinstance(content, str):
            turn.texts.append(content)
            return
        if not isinstance(content, list):
            raise bad(at, "field required" if content is None else "must be a string or a list of blocks")
        for index, block in enumerate(content):
            self._block(turn, block, f"{at}.{index}")

    def _block(self, turn: _Turn, block: Any, at: str) -> None:
        kind = block_type(block, at)
        if kind == "text":
            turn.texts.append(text_field(block, "text", at))
            if block.get("citations"):
                self.ignored["messages.content.citations"] = None
        elif kind == "thinking" and turn.role == "assistant":
            signature = block.get("signature")
            text = text_field(block, "thinking", at)
            turn.thinking.append(restore(text, signature if isinstance(signature, str) else ""))
        elif kind == "redacted_thinking" and turn.role == "assistant":
            self.ignored["messages.content.redacted_thinking"] = None  # only who wrote it can read it
        elif kind == "tool_use" and turn.role == "assistant":
            turn.calls.append(self._call(block, at))
        elif kind == "tool_result" and turn.role == "user":
            turn.results.append(self._result(block, at))
        elif kind in ("thinking", "redacted_thinking", "tool_use", "tool_result"):
            raise bad(f"{at}.type", f"'{kind}' blocks are not for the role {turn.role}")
        else:
            refuse_block(kind, at)
        self._note_strange(block, kind, at)

    def _call(self, block: dict[str, Any], at: str) -> ToolCall:
        arguments = block.get("input", {})
        if not isinstance(arguments, dict):
            raise bad(f"{at}.input", "must be an object")
        call = ToolCall(name=text_field(block, "name", at), arguments=arguments, id=text_field(block, "id", at))
        self._names[call.id] = call.name
        return call

    def _result(self, block: dict[str, Any], at: str) -> Message:
        call_id = text_field(block, "tool_use_id", at)
        if call_id not in self._names:
            raise bad(f"{at}.tool_use_id", f"no earlier tool_use block has the id '{call_id[:64]}'")
        content = block.get("content")
        content = "" if content is None else content
        text = content if isinstance(content, str) else "\n".join(self._texts(content, f"{at}.content"))
        is_error = block.get("is_error")
        if not isinstance(is_error, bool | None):
            raise bad(f"{at}.is_error", "must be a boolean")
        if is_error and not text.lower().startswith("error"):
            text = _ERROR + text
        return Message(role="tool", content=text, tool_name=self._names[call_id], tool_call_id=call_id)


def _is_over(item: dict[str, Any], at: str) -> bool:
    """Whether a system turn counts only until the user's next one; errors for what else it may ask of that turn."""
    until = item.get("clear_at")
    if until not in (None, "never", _UNTIL_USER):
        raise bad(f"{at}.clear_at", f"must be {_UNTIL_USER} or never")
    if item.get("output_config"):
        raise unsupported(f"{at}.output_config", "say it for the whole request, in its own output_config")
    return bool(until == _UNTIL_USER)


def _role(item: Any) -> Any:
    return item.get("role") if isinstance(item, dict) else None


def _message(turn: _Turn) -> Message:
    return Message(
        role=turn.role,
        content="\n".join(turn.texts),
        thinking="\n".join(turn.thinking) or None,
        tool_calls=tuple(turn.calls),
    )


def _append(groups: list[list[Message]], message: Message) -> None:
    """Add a turn, or make it part of the one before; a turn that held only tool results adds nothing of its own."""
    before = groups[-1][0].role if groups else None
    if message.role == "user" and not message.content and before == "tool":
        return
    if before != message.role or message.role == "tool":
        groups.append([message])
    else:
        groups[-1].append(message)


def _joined(group: list[Message]) -> Message:
    """The one turn that consecutive turns of a role are."""
    if len(group) == 1:
        return group[0]
    return msgspec.structs.replace(
        group[0],
        content="\n".join(message.content for message in group if message.content),
        thinking="\n".join(message.thinking for message in group if message.thinking) or None,
        tool_calls=tuple(call for message in group for call in message.tool_calls),
    )


def block_type(block: Any, at: str) -> str:
    """Return a block's type."""
    if not isinstance(block, dict):
        raise bad(at, "must be an object")
    return text_field(block, "type", at)


def refuse_block(kind: str, at: str) -> None:
    """Raise for a block that is no text, with what to do where there is something."""
    errors: dict[str, ArrieroError] = {
        "image": unsupported(f"{at}.type", "this model cannot see images: send text"),
        "document": unsupported(f"{at}.type", "documents are not supported: send their text in a text block"),
        "search_result": unsupported(f"{at}.type", "search results are not supported: send them in a text block"),
    }
    raise errors.get(kind) or unsupported(f"{at}.type", f"blocks of type '{kind[:64]}' are not supported")
