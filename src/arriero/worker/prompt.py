"""From a request to token ids: template, context limit, and the cutting that a client asked for, never another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from arriero.core.errors import ContextLengthExceeded, InvalidRequest, UnsupportedFeature
from arriero.core.request import GenerateRequest, Message
from arriero.core.tokenizer import Tokenizer
from arriero.text.chat_template import ChatTemplate
from arriero.text.thinking import opens_thinking


@dataclass(frozen=True, slots=True)
class Prompt:
    """Token ids, how many messages were dropped to make them fit, and whether the prompt ends inside `<think>`."""

    tokens: list[int]
    dropped_messages: int = 0
    opens_thinking: bool = False


def too_long(prompt_tokens: int, context_length: int) -> ContextLengthExceeded:
    """The error for a prompt that leaves no room for an answer, with both numbers."""
    return ContextLengthExceeded(
        f"the prompt has {prompt_tokens} tokens, but the model's context holds {context_length}, the answer included; "
        "shorten the prompt, or load the model with a larger num_ctx",
        prompt_tokens=prompt_tokens,
        context_length=context_length,
    )


class PromptBuilder:
    """Builds prompts for one loaded model. `context_length` in tokens; a prompt must leave room for one more."""

    def __init__(self, tokenizer: Tokenizer, chat_template: str | None, context_length: int) -> None:
        self._tokenizer, self._context_length = tokenizer, context_length
        self.template = ChatTemplate(chat_template, bos_token=tokenizer.bos_text, eos_token=tokenizer.eos_text)

    def build(self, request: GenerateRequest) -> Prompt:
        """Return the prompt's tokens; InvalidRequest or one of its kinds when it cannot be built or does not fit."""
        if request.prompt_tokens is not None:
            return self._checked(self._given(request.prompt_tokens))
        if request.raw:
            return self._checked(self._tokenizer.encode(request.prompt or "", add_special=True, parse_special=True))
        messages = self._messages(request)
        text = self._render(request, messages)
        tokens = self._encode(request, text)
        prompt = self._checked_length(tokens)
        if prompt is not None:
            return replace(prompt, opens_thinking=opens_thinking(text))
        if request.truncate and request.messages is not None:
            return self._truncated(request, messages)
        raise too_long(len(tokens), self._context_length)

    def render(self, request: GenerateRequest) -> str:
        """What the chat template makes of the request, before it is tokenized."""
        return self._render(request, self._messages(request))

    def _messages(self, request: GenerateRequest) -> list[Message]:
        messages = list(request.messages or ())
        if request.prompt is not None:
            messages.append(Message(role="user", content=request.prompt))
        if request.system and not (messages and messages[0].role == "system"):
            messages.insert(0, Message(role="system", content=request.system))
        if not messages:
            raise InvalidRequest("the request has neither messages nor a prompt")
        return messages

    def _render(self, request: GenerateRequest, messages: Sequence[Message]) -> str:
        if request.tools and "tools" not in self.template.capabilities:
            raise UnsupportedFeature(f"{request.model} does not support tools", param="tools")
        return self.template.render(messages, request.tools, think=request.think)

    def _encode(self, request: GenerateRequest, text: str) -> list[int]:
        bos = self._tokenizer.bos_text
        # Templates that write BOS themselves must not get a second one.
        add_special = not request.context and not (bos and text.startswith(bos))
        return [
            *self._given(request.context),
            *self._tokenizer.encode(text, add_special=add_special, parse_special=True),
        ]

    def _truncated(self, request: GenerateRequest, messages: list[Message]) -> Prompt:
        """Drop the oldest turns, never system messages nor the last one (Ollama's `truncate`)."""
        droppable = [i for i, message in enumerate(messages[:-1]) if message.role != "system"]
        low, high = 1, len(droppable)  # the fewest that fit; fewer turns never make a longer prompt
        best: Prompt | None = None
        while low <= high:
            count = (low + high) // 2
            gone = set(droppable[:count])
            kept = [message for i, message in enumerate(messages) if i not in gone]
            text = self._render(request, kept)
            tokens = self._encode(request, text)
            if len(tokens) < self._context_length:
                best, high = Prompt(tokens, count, opens_thinking(text)), count - 1
            else:
                low = count + 1
        if best is None:
            kept = [message for i, message in enumerate(messages) if i not in set(droppable)]
            tokens = self._encode(request, self._render(request, kept))
            raise too_long(len(tokens), self._context_length)
        return best

    def _given(self, tokens: Sequence[int]) -> list[int]:
        n_vocab = self._tokenizer.n_vocab
        for token in tokens:
            if not 0 <= token < n_vocab:
                raise InvalidRequest(f"token {token} is not in the model's vocabulary of {n_vocab}")
        return list(tokens)

    def _checked_length(self, tokens: list[int]) -> Prompt | None:
        if not tokens:
            raise InvalidRequest("the prompt is empty")
        return Prompt(tokens) if len(tokens) < self._context_length else None

    def _checked(self, tokens: list[int]) -> Prompt:
        prompt = self._checked_length(tokens)
        if prompt is None:
            raise too_long(len(tokens), self._context_length)
        return prompt
