"""The output items of a response, built event by event, and the stream events that each step gives.

Ids are made of the response's and the item's place, so that building twice gives the same.
"""

from __future__ import annotations

from typing import Any

import msgspec

from arriero.core.events import Event, Finished, TextDelta, ThinkingDelta, TokenLogprob, ToolCallDelta
from arriero.core.request import ToolCall

Told = tuple[str, dict[str, Any]]
"""A stream event: its type and its fields."""


class Output:
    """Items so far; the last one may still be open. `reply_id` is the response's id without its prefix."""

    def __init__(self, reply_id: str) -> None:
        self._reply_id = reply_id
        self._items: list[dict[str, Any]] = []
        self._texts: list[str] = []  # of the open item
        self._open = False

    def items(self) -> list[dict[str, Any]]:
        """Return the items that are done."""
        return self._items[:-1] if self._open else list(self._items)

    def feed(self, event: Event) -> list[Told]:
        """Take in what the model said (and that it has Finished); return what is to be told of it."""
        if isinstance(event, ThinkingDelta):
            return self._delta("reasoning", event.text) if event.text else []
        if isinstance(event, TextDelta):
            return self._delta("message", event.text, event.logprobs) if event.text or event.logprobs else []
        if isinstance(event, ToolCallDelta):
            return [*self._close("completed"), *self._call(event.call)]
        if isinstance(event, Finished):
            return self._close("incomplete" if event.reason == "length" else "completed")
        return []

    def break_off(self) -> None:
        """Have an open item stay as far as it came; nothing is told of it."""
        self._close("incomplete")

    def _place(self) -> dict[str, Any]:
        return {"item_id": self._items[-1]["id"], "output_index": len(self._items) - 1}

    def _begin(self, kind: str, prefix: str, fields: dict[str, Any]) -> Told:
        item = {"id": f"{prefix}_{self._reply_id}{len(self._items):02x}", "type": kind, **fields}
        self._items.append(item)
        return ("response.output_item.added", {"output_index": len(self._items) - 1, "item": dict(item)})

    def _delta(self, kind: str, text: str, logprobs: tuple[TokenLogprob, ...] = ()) -> list[Told]:
        told: list[Told] = []
        if not self._open or self._items[-1]["type"] != kind:
            told += self._close("completed")
            if kind == "message":
                told.append(self._begin(kind, "msg", {"status": "in_progress", "role": "assistant", "content": []}))
            else:
                told.append(self._begin(kind, "rs", {"status": "in_progress", "summary": [], "content": []}))
            self._open, self._texts = True, []
            self._items[-1]["content"] = [self._part("")]
            told.append(("response.content_part.added", self._place() | {"content_index": 0, "part": self._part("")}))
        self._texts.append(text)
        delta = self._place() | {"content_index": 0, "delta": text}
        if kind == "reasoning":
            return [*told, ("response.reasoning_text.delta", delta)]
        wire = [_logprob(entry) for entry in logprobs]
        self._items[-1]["content"][0]["logprobs"] += wire
        return [*told, ("response.output_text.delta", delta | {"logprobs": wire})]

    def _part(self, text: str) -> dict[str, Any]:
        if self._items[-1]["type"] == "reasoning":
            return {"type": "reasoning_text", "text": text}
        return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}

    def _close(self, status: str) -> list[Told]:
        if not self._open:
            return []
        self._open = False
        item, text = self._items[-1], "".join(self._texts)
        part = item["content"][0]
        part["text"], item["status"] = text, status
        where = self._place() | {"content_index": 0}
        done: Told = ("response.reasoning_text.done", where | {"text": text})
        if item["type"] == "message":
            done = ("response.output_text.done", where | {"text": text, "logprobs": part["logprobs"]})
        return [
            done,
            ("response.content_part.done", where | {"part": part}),
            ("response.output_item.done", {"output_index": len(self._items) - 1, "item": item}),
        ]

    def _call(self, call: ToolCall) -> list[Told]:
        arguments = msgspec.json.encode(call.arguments).decode()
        call_id = call.id or f"call_{self._reply_id}{len(self._items):02x}"
        fields = {"status": "in_progress", "call_id": call_id, "name": call.name, "arguments": ""}
        added = self._begin("function_call", "fc", fields)
        self._items[-1] |= {"status": "completed", "arguments": arguments}
        where = self._place()
        return [
            added,
            ("response.function_call_arguments.delta", where | {"delta": arguments}),
            ("response.function_call_arguments.done", where | {"name": call.name, "arguments": arguments}),
            ("response.output_item.done", {"output_index": len(self._items) - 1, "item": self._items[-1]}),
        ]


def _logprob(entry: TokenLogprob) -> dict[str, Any]:
    def plain(one: TokenLogprob) -> dict[str, Any]:
        return {"token": one.token, "bytes": list(one.bytes), "logprob": one.logprob}

    return plain(entry) | {"top_logprobs": [plain(other) for other in entry.top]}
