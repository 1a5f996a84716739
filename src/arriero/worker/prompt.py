"""From a request to token ids: template, context limit, and the cutting that a client asked for, never another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from arriero.core.errors import ContextLengthExceeded, InvalidRequest, TemplateError
from arriero.core.request import GenerateRequest, Message
from arriero.core.tokenizer import Tokenizer
from arriero.worker.templates import Rendered, Templates
from arriero.worker.token_ids import check_tokens


@dataclass(frozen=True, slots=True)
class Prompt:
    """Token ids, how many messages were dropped to make them fit, and whether the prompt ends inside a thinking block.

    `text` is what was tokenized, empty where token ids were given.
    """

    tokens: list[int]
    dropped_messages: int = 0
    opens_thinking: bool = False
    text: str = ""


def too_long(prompt_tokens: int, context_length: int) -> ContextLengthExceeded:
    """The error for a prompt that leaves no room for an answer: Ollama's words, both numbers, llama-server's words.

    Ollama passes the latter on where llama-server renders the template; agents look for either to shorten a chat.
    """
    return ContextLengthExceeded(
        "the prompt is longer than the context length currently available to the model; shorten the prompt, adjust the "
        "context length in settings, or use a model with a longer context length "
        f"(the prompt has {prompt_tokens} tokens, num_ctx is {context_length} with the answer): "
        f"request ({prompt_tokens} tokens) exceeds the available context size ({context_length} tokens), "
        "try increasing it",
        prompt_tokens=prompt_tokens,
        context_length=context_length,
    )


class PromptBuilder:
    """Builds prompts for one loaded model. `context_length` in tokens; a prompt must leave room for one more."""

    def __init__(self, tokenizer: Tokenizer, templates: Templates, context_length: int) -> None:
        self._tokenizer, self._templates, self._context_length = tokenizer, templates, context_length

    def room(self, request: GenerateRequest) -> int:
        """The tokens that prompt and answer may have together: the context's, or the fewer that were asked for."""
        return min(self._context_length, request.load.num_ctx or self._context_length)

    def build(self, request: GenerateRequest) -> Prompt:
        """Return the prompt; InvalidRequest or one of its kinds when it cannot be built or does not fit."""
        prompt, messages = self._whole(request)
        room = self.room(request)
        if not prompt.tokens:
            raise InvalidRequest("the prompt is empty")
        if len(prompt.tokens) < room:
            return prompt
        if messages is not None and request.truncate and request.messages is not None:
            return self._truncated(request, messages)
        raise too_long(len(prompt.tokens), room)

    def tokens(self, request: GenerateRequest) -> list[int]:
        """The prompt's token ids with nothing left out, whether they fit or not."""
        return self._whole(request)[0].tokens

    def render(self, request: GenerateRequest) -> str:
        """The text that the model would see, cut as `build` would cut it; what is too long for it is no error."""
        prompt, messages = self._whole(request)
        if len(prompt.tokens) < self.room(request) or not (messages and request.truncate and request.messages):
            return prompt.text
        return self._truncated(request, messages).text

    def _whole(self, request: GenerateRequest) -> tuple[Prompt, list[Message] | None]:
        """The prompt with nothing left out, and the messages it was made of."""
        if request.prompt_tokens is not None:
            check_tokens(request.prompt_tokens, self._tokenizer.n_vocab)
            return Prompt(list(request.prompt_tokens)), None
        if request.raw:
            text = request.prompt or ""
            return Prompt(self._tokenizer.encode(text, add_special=True, parse_special=True), text=text), None
        messages = self._messages(request)
        return self._prompt(request, self._templates.render(request, messages)), messages

    def _messages(self, request: GenerateRequest) -> list[Message]:
        messages = list(request.messages or ())
        if request.prompt is not None:
            messages.append(Message(role="user", content=request.prompt))
        if request.system and not (messages and messages[0].role == "system"):
            messages.insert(0, Message(role="system", content=request.system))
        if not messages:
            raise InvalidRequest("the request has neither messages nor a prompt")
        return messages

    def _prompt(self, request: GenerateRequest, rendered: Rendered, dropped: int = 0) -> Prompt:
        return Prompt(self._encode(request, rendered.text), dropped, rendered.opens_thinking, rendered.text)

    def _encode(self, request: GenerateRequest, text: str) -> list[int]:
        bos = self._tokenizer.bos_text
        # Templates that write BOS themselves must not get a second one.
        add_special = not request.context and not (bos and text.startswith(bos))
        check_tokens(request.context, self._tokenizer.n_vocab)
        return [
            *request.context,
            *self._tokenizer.encode(text, add_special=add_special, parse_special=True),
        ]

    def _truncated(self, request: GenerateRequest, messages: list[Message]) -> Prompt:
        """Drop the oldest turns, never system messages nor the last one (Ollama's `truncate`).

        Where a template refuses what is left, as many more are dropped as let it begin with a user's turn.
        """
        droppable = [i for i, message in enumerate(messages[:-1]) if message.role != "system"]
        begins = [count for count, i in enumerate([*droppable, -1]) if messages[i].role == "user"]
        low, high = 1, len(droppable)  # the fewest that fit; fewer turns never make a longer prompt
        best: Prompt | None = None
        while low <= high:
            count = (low + high) // 2
            try:
                prompt = self._without(request, messages, droppable[:count])
            except TemplateError:
                later = next((begin for begin in begins if begin > count), None)
                if later is None:
                    raise
                prompt = self._without(request, messages, droppable[:later])
            if len(prompt.tokens) < self.room(request):
                best, high = prompt, count - 1
            else:
                low = prompt.dropped_messages + 1
        if best is None:
            tokens = self._without(request, messages, droppable).tokens
            raise too_long(len(tokens), self.room(request))
        return best

    def _without(self, request: GenerateRequest, messages: list[Message], dropped: Sequence[int]) -> Prompt:
        gone = set(dropped)
        kept = [message for i, message in enumerate(messages) if i not in gone]
        return self._prompt(request, self._templates.render(request, kept), len(gone))
