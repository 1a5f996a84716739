"""The contracts of a tool-call family: how its models write calls, as data, and the streamed parser that finds them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import msgspec

from arriero.core.constraint import ValueForm
from arriero.core.request import ToolCall


@dataclass(frozen=True, slots=True)
class CallPart:
    """A piece of a call whose end has not come: the next characters of its arguments' JSON.

    The pieces of a call, joined, are that JSON; the whole ToolCall follows the last one, or text if it is none after
    all. `name` is given each time.
    """

    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Thought:
    """A piece of thinking, from the families whose calls and thinking are marked in one notation."""

    text: str


Item = str | ToolCall | CallPart | Thought


class ToolCallParser(Protocol):
    """Takes an answer's text piece by piece, gives back text and whole calls, in order.

    Text passes through at once; what could be the beginning of a call is held until it is one or cannot be. What
    does not parse as a call comes back as the text it was: nothing is dropped but the markers of a call and the
    white space around them. Calls have no id: whoever answers gives them one. One parser serves one answer.
    """

    def feed(self, text: str) -> Sequence[Item]:
        """Take a piece of the answer; return what is certain by now."""
        ...

    def finish(self, *, cut: bool = False) -> Sequence[Item]:
        """Return what is still held, at the end of the answer. `cut`: it ended for length, so nothing is closed."""
        ...


@dataclass(frozen=True, slots=True)
class Envelope:
    """How one call is written, as data, for whoever makes a model write one. White space is part of the texts.

    shape "json":       opens {name_key: …, arguments_key: {…}} closes
    shape "list":       opens [{name_key: …, arguments_key: {…}}, …] closes, one list for all calls
    shape "named":      opens name between {arguments} closes; with a `body` that ends in ARGUMENTS, opens body closes
    shape "parameters": opens name between (key_opens key key_closes value value_closes)* closes, text values bare
    shape "free":       a notation of its own, which `Family.write` knows

    `before` and `after` stand once around all calls, `separator` between two. `body` says what a call is between
    `opens` (or `body_opens`) and `closes` where that cannot be told by the shape: in the words of
    core.constraint.CallForm, as are `text_key_closes` (its `text_closes`) and `thinks`; `values` and `member_separator`
    are its MemberForm's `values` and `between`.
    """

    opens: str
    closes: str = ""
    shape: Literal["json", "list", "named", "parameters", "free"] = "json"
    name_key: str = "name"
    arguments_key: str = "arguments"
    between: str = ""
    parameter: tuple[str, str, str] = ("", "", "")  # key_opens, key_closes, value_closes
    before: str = ""
    after: str = ""
    separator: str = ""
    body: str = ""
    body_opens: str = ""
    text_key_closes: str = ""
    thinks: tuple[str, str] | None = None
    member_separator: str = ""
    values: ValueForm | None = None

    def write(self, calls: Sequence[ToolCall]) -> str:
        """The text of `calls`, as a model of this family writes them."""
        if self.shape == "list":
            body = json_text([self._object(call) for call in calls])
            return self.before + self.opens + body + self.closes + self.after
        if self.shape == "named" and self.body:
            return self.before + self.separator.join(map(self._numbered, range(len(calls)), calls)) + self.after
        return self.before + self.separator.join(self._one(call) for call in calls) + self.after

    def _object(self, call: ToolCall) -> dict[str, Any]:
        return {self.name_key: call.name, self.arguments_key: call.arguments}

    def _numbered(self, number: int, call: ToolCall) -> str:
        head = self.body.removesuffix("ARGUMENTS").replace("@NUMBER", str(number)).replace("@NAME", call.name)
        return (self.body_opens or self.opens) + head + json_text(call.arguments) + self.closes

    def _one(self, call: ToolCall) -> str:
        if self.shape == "json":
            return self.opens + json_text(self._object(call)) + self.closes
        head = self.opens + call.name + self.between
        if self.shape == "named":
            return head + json_text(call.arguments) + self.closes
        key_opens, key_closes, value_closes = self.parameter
        parts = [
            key_opens + key + key_closes + (value if isinstance(value, str) else json_text(value)) + value_closes
            for key, value in call.arguments.items()
        ]
        return head + "".join(parts) + self.closes


def json_text(value: Any) -> str:
    """Compact JSON, characters as they are."""
    return msgspec.json.encode(value).decode()
