"""From a request to its prompt's text: by the model's Go template or its Jinja, or by what the request brings."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

import msgspec

from arriero.core.errors import UnsupportedFeature
from arriero.core.model import ModelSpec
from arriero.core.request import GenerateRequest, Message
from arriero.core.tokenizer import Tokenizer
from arriero.text.answer_tags import answer_tags
from arriero.text.chat_template import ChatTemplate
from arriero.text.jinja_traits import jinja_thinking_tags
from arriero.text.ollama_template import OllamaTemplate
from arriero.text.thinking import OPEN, ThinkingSplitter, opens_thinking

PROMPT_ALONE = "{{ .Prompt }}"
"""Ollama's template for a model without any: a prompt goes to the model as it is."""


class Rendered(NamedTuple):
    """A prompt's text, and whether it ends inside a thinking block."""

    text: str
    opens_thinking: bool = False


class Templates:
    """The templates of one loaded model; `jinja` is its GGUF's."""

    def __init__(self, spec: ModelSpec, jinja: str | None, tokenizer: Tokenizer) -> None:
        self._spec, self._jinja_source, self._tokenizer = spec, jinja, tokenizer
        if not spec.uses_go_template:
            _ = self._jinja  # a template that does not compile is an error of loading

    @property
    def capabilities(self) -> tuple[str, ...]:
        """What the model's own template offers."""
        return self._jinja.capabilities if self._go is None else self._go.capabilities

    def render(self, request: GenerateRequest, messages: Sequence[Message]) -> Rendered:
        """Render `messages`, or the prompt with its suffix; TemplateError, or UnsupportedFeature for what is asked."""
        go = self._go if request.template is None else OllamaTemplate(request.template)
        if request.suffix:
            return self._fill(request, go)
        if request.tools and "tools" not in self.capabilities:
            raise UnsupportedFeature(f"{request.model} does not support tools", param="tools")
        if go is None and request.messages is None and self._jinja_source is None:
            go = OllamaTemplate(PROMPT_ALONE)
        if request.continue_last and messages and messages[-1].role == "assistant":
            return self._continued(request, messages)
        turns = self._without_thoughts(messages)
        if go is None:
            text = self._jinja.render(turns, request.tools, think=request.think, extra=request.template_kwargs)
            return Rendered(text, self._opens_thinking(text))
        # A prompt has no tools, a conversation may bring none: Ollama's templates see an empty list or nil.
        tools = request.tools if request.tools or request.messages is None else None
        return self._marked(go, go.render(turns, tools, think=self._think(request)))

    def _continued(self, request: GenerateRequest, messages: Sequence[Message]) -> Rendered:
        """The prompt for the turns before the last, and the beginning of the answer that the last one is.

        UnsupportedFeature where that beginning cannot be written: thinking without tags for it, or calls.
        """
        begun, asked = messages[-1], msgspec.structs.replace(request, continue_last=False)
        if begun.tool_calls:
            raise UnsupportedFeature(
                "an answer cannot go on behind its tool calls: give their results", param="messages"
            )
        if begun.thinking:
            return self._continued_thinking(msgspec.structs.replace(asked, think=request.think or True), messages)
        before = self.render(asked, messages[:-1])
        if before.opens_thinking:
            raise UnsupportedFeature(f"{request.model} begins with thinking: its answers cannot be begun for it")
        return Rendered(before.text + begun.content)

    def _continued_thinking(self, asked: GenerateRequest, messages: Sequence[Message]) -> Rendered:
        """The same for an answer with thinking, which stands between the model's tags."""
        begun, tags = messages[-1], answer_tags(self._spec, asked)
        if not tags:
            raise UnsupportedFeature(
                f"{asked.model} has no tags for thinking: leave it out of the answer that is to go on", param="messages"
            )
        before = self.render(asked, messages[:-1])
        opens = "" if before.opens_thinking else f"{tags.opens}\n"
        return Rendered(f"{before.text}{opens}{(begun.thinking or '').strip()}\n{tags.closes}\n\n{begun.content}")

    def _fill(self, request: GenerateRequest, go: OllamaTemplate | None) -> Rendered:
        if go is None or "insert" not in go.capabilities:
            raise UnsupportedFeature(f"{request.model} does not support insert", param="suffix")
        return self._marked(go, go.fill(request.prompt or "", request.suffix or "", think=self._think(request)))

    def _marked(self, go: OllamaTemplate, text: str) -> Rendered:
        tags = go.thinking_tags
        if not tags and self._go is not None:
            tags = self._go.thinking_tags
        return Rendered(text, bool(tags) and opens_thinking(text, tags.opens))

    def _opens_thinking(self, text: str) -> bool:
        tags = jinja_thinking_tags(self._jinja_source or "")
        return opens_thinking(text, tags.opens or OPEN)

    def _think(self, request: GenerateRequest) -> bool | str | None:
        """Ollama's default for models that think is that they do."""
        return True if request.think is None and "thinking" in self._spec.capabilities else request.think

    def _without_thoughts(self, messages: Sequence[Message]) -> list[Message]:
        """For models whose old answers came with their thinking in the text: cut it out before the last question."""
        model = self._spec.name.rpartition("/")[2].partition(":")[0]
        if self._spec.details.family != "qwen3" and model != "deepseek-r1":
            return list(messages)
        last = max((index for index, message in enumerate(messages) if message.role == "user"), default=-1)
        return [
            msgspec.structs.replace(message, content=_answer(message.content))
            if message.role == "assistant" and index < last
            else message
            for index, message in enumerate(messages)
        ]

    @cached_property
    def _go(self) -> OllamaTemplate | None:
        return OllamaTemplate(self._spec.go_template or "") if self._spec.uses_go_template else None

    @cached_property
    def _jinja(self) -> ChatTemplate:
        tokenizer = self._tokenizer
        return ChatTemplate(self._jinja_source, bos_token=tokenizer.bos_text, eos_token=tokenizer.eos_text)


def _answer(content: str) -> str:
    splitter = ThinkingSplitter()
    return "".join(part.text for part in [*splitter.feed(content), *splitter.finish()] if part.kind == "text")
