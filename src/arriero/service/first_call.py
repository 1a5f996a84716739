"""Ends an answer behind its first tool call, for clients that take no second one in the same answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from arriero.core.events import Accepted, Event, Finished, TextDelta, ThinkingDelta, ToolCallDelta, Usage


class FirstCall:
    """One answer's watch. What the model would say behind the call is never asked for."""

    def __init__(self) -> None:
        self._accepted = Accepted(prompt_tokens=0)
        self._tokens = 0
        self._thinking = 0

    def cut(self, event: object, parts: Sequence[Event], end: Callable[[], tuple[str, ...]]) -> list[Event] | None:
        """Return the last parts, Finished included, if the answer ends among `parts`, which `event` became.

        `end` is called then, and says what was mended in its calls.
        """
        if isinstance(event, Accepted):
            self._accepted, self._tokens, self._thinking = event, 0, 0
        if isinstance(event, TextDelta):
            self._tokens += event.tokens
        last: list[Event] = []
        for part in parts:
            last.append(part)
            if isinstance(part, ThinkingDelta):
                self._thinking += part.tokens
            if isinstance(part, ToolCallDelta):
                return [*last, Finished(reason="tool_calls", usage=self._usage(), tool_repairs=end())]
        return None

    def _usage(self) -> Usage:
        return Usage(
            prompt_tokens=self._accepted.prompt_tokens,
            cached_tokens=self._accepted.cached_tokens,
            completion_tokens=self._tokens,
            thinking_tokens=self._thinking,
        )
