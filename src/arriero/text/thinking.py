"""Splits a model's thinking from its answer while both stream: `<think>…</think>` at the start of the text, or what a
model has for these tags.

For models whose template has the tags; it looks at text only and never drops any but the tags and the white space
around them.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from arriero.text.markers import held_back

OPEN = "<think>"
CLOSE = "</think>"


class Part(NamedTuple):
    """A piece of text and what it belongs to."""

    kind: Literal["thinking", "text"]
    text: str


def opens_thinking(prompt: str, opens: str = OPEN) -> bool:
    """Tell whether a rendered prompt ends inside a thinking block, so that the answer begins in it."""
    return prompt.rstrip().endswith(opens)


class ThinkingSplitter:
    """Feed it the answer's text piece by piece. `opened`: the prompt ended with the opening tag.

    The tag counts only at the very start, after white space; a later one is plain text. White space after either
    tag is dropped, and white space before the closing one.
    """

    def __init__(self, *, opened: bool = False, opens: str = OPEN, closes: str = CLOSE) -> None:
        self._opens, self._closes = opens, closes
        self._state: Literal["start", "open", "thinking", "close", "text"] = "open" if opened else "start"
        self._held = ""
        self._space: list[str] = []  # white space before it, looked at once

    def feed(self, text: str) -> list[Part]:
        """Take a piece; return what is certain by now."""
        parts: list[Part] = []
        self._held += text
        while self._step(parts):
            pass
        return parts

    def finish(self) -> list[Part]:
        """Return what is held at the end; an unclosed block's text is thinking."""
        held, self._held = "".join([*self._space, self._held]), ""
        self._space.clear()
        if self._state in ("thinking", "open"):
            held = held.strip() if self._state == "open" else held.rstrip()
            return [Part("thinking", held)] if held else []
        return [Part("text", held)] if held and self._state != "close" else []

    def _step(self, parts: list[Part]) -> bool:
        """Do one move of the state machine; False when more text is needed."""
        if self._state == "start":
            return self._look_for_open()
        if self._state in ("open", "close"):
            self._held = self._held.lstrip()
            if not self._held:
                return False
            self._state = "thinking" if self._state == "open" else "text"
            return True
        if self._state == "text":
            if self._held:
                parts.append(Part("text", self._held))
                self._held = ""
            return False
        return self._think(parts)

    def _look_for_open(self) -> bool:
        seen = self._held.lstrip()
        if not seen:
            self._space.append(self._held)
            self._held = ""
            return False
        if seen.startswith(self._opens):
            self._space.clear()
            self._held = seen[len(self._opens) :]
            self._state = "open"
            return True
        if self._opens.startswith(seen):
            return False
        self._state, self._held = "text", self._with_space(self._held)
        return True

    def _think(self, parts: list[Part]) -> bool:
        inside, found, after = self._held.partition(self._closes)
        if found:
            if inside.rstrip():
                parts.append(Part("thinking", self._with_space(inside.rstrip())))
            self._space.clear()
            self._held = after
            self._state = "close"
            return True
        ready = inside[: len(inside) - held_back(inside, self._closes)]
        certain = ready.rstrip()
        if certain:
            parts.append(Part("thinking", self._with_space(certain)))
        self._space.append(ready[len(certain) :])
        self._held = inside[len(ready) :]
        return False

    def _with_space(self, text: str) -> str:
        """`text` behind the white space that was waiting for it."""
        whole = "".join([*self._space, text])
        self._space.clear()
        return whole
