"""The contract of a streamed tool-call parser."""

from __future__ import annotations

from typing import Protocol

from arriero.core.request import ToolCall


class ToolCallParser(Protocol):
    """Takes an answer's text piece by piece, gives back text and whole calls, in order.

    Text passes through at once; what could be the beginning of a call is held until it is one or cannot be. What
    does not parse as a call comes back as the text it was: nothing is dropped but the markers of a call and the
    white space around them. Calls have no id: whoever answers gives them one. One parser serves one answer.
    """

    def feed(self, text: str) -> list[str | ToolCall]:
        """Take a piece of the answer; return what is certain by now."""
        ...

    def finish(self) -> list[str | ToolCall]:
        """Return what is still held, at the end of the answer."""
        ...
