"""Does a worker's steps at once, for tests that look at what comes of them."""

from __future__ import annotations

from typing import TypeVar

from arriero.core.errors import ArrieroError
from arriero.core.request import GenerateRequest
from arriero.worker.prompt import Prompt, PromptBuilder
from arriero.worker.text_desk import Steps

T = TypeVar("T")


def at_once(steps: Steps[T]) -> T:
    """Do all of it, in one thread."""
    try:
        asked = next(steps)
        while True:
            try:
                made = asked.make()
            except ArrieroError as error:
                asked = steps.throw(error)
            else:
                asked = steps.send(made)
    except StopIteration as end:
        value: T = end.value
        return value


class Prompts:
    """A builder whose steps are done at once."""

    def __init__(self, builder: PromptBuilder) -> None:
        self._builder = builder

    def build(self, request: GenerateRequest) -> Prompt:
        return at_once(self._builder.build(request))

    def tokens(self, request: GenerateRequest) -> list[int]:
        return at_once(self._builder.tokens(request))

    def render(self, request: GenerateRequest) -> str:
        return at_once(self._builder.render(request))
