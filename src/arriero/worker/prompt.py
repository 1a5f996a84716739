"""From a request to token ids: template, context limit, and the cutting that a client asked for, never another."""

from __future__ import annotations

from dataclasses import dataclass

from arriero.core.errors import ContextLengthExceeded, InvalidRequest, TemplateError
from arriero.core.request import GenerateRequest, Message
from arriero.core.tokenizer import Tokenizer
from arriero.worker.cutting import Cut
from arriero.worker.templates import Rendered, Templates
from arriero.worker.text_desk import LONG, Encoding, Steps
from arriero.worker.token_ids import check_tokens

SAMPLE = 4096
"""Characters of a long text's end that say about how many tokens its characters make."""
SURELY = 1.5
"""How many times the room a long conversation is thought to need before its cutting begins with what may fit."""


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
    """Builds prompts for one loaded model. `context_length` in tokens; a prompt must leave room for one more.

    What takes long with a long text is yielded, for whoever does these steps to have it done elsewhere.
    """

    def __init__(self, tokenizer: Tokenizer, templates: Templates, context_length: int) -> None:
        self._tokenizer, self._templates, self._context_length = tokenizer, templates, context_length

    def room(self, request: GenerateRequest) -> int:
        """The tokens that prompt and answer may have together: the context's, or the fewer that were asked for."""
        return min(self._context_length, request.load.num_ctx or self._context_length)

    def build(self, request: GenerateRequest) -> Steps[Prompt]:
        """Return the prompt; InvalidRequest or one of its kinds when it cannot be built or does not fit."""
        prompt = yield from self._fitting(request, must_fit=True)
        if not prompt.tokens:
            raise InvalidRequest("the prompt is empty")
        if len(prompt.tokens) >= self.room(request):
            raise too_long(len(prompt.tokens), self.room(request))
        return prompt

    def tokens(self, request: GenerateRequest) -> Steps[list[int]]:
        """The prompt's token ids with nothing left out, whether they fit or not."""
        given = yield from self._given(request, must_fit=False)
        if given is None:
            given = yield from self._text(request, self._templates.render(request, self._messages(request)))
        return given.tokens

    def render(self, request: GenerateRequest) -> Steps[str]:
        """The text that the model would see, cut as `build` would cut it; what is too long for it is no error."""
        return (yield from self._fitting(request, must_fit=False)).text

    def _given(self, request: GenerateRequest, *, must_fit: bool) -> Steps[Prompt | None]:
        """What the request brings as it is: token ids, or a raw text. None where there is something to render."""
        if request.prompt_tokens is not None:
            check_tokens(request.prompt_tokens, self._tokenizer.n_vocab)
            return Prompt(list(request.prompt_tokens))
        if not request.raw:
            return None
        return (yield from self._text(request, Rendered(request.prompt or ""), must_fit=must_fit))

    def _fitting(self, request: GenerateRequest, *, must_fit: bool) -> Steps[Prompt]:
        """The whole prompt where it fits or was not to be cut, else what is left of it.

        ContextLengthExceeded where it was to be cut and cannot be; perhaps also where it was not, if it `must_fit`.
        """
        given = yield from self._given(request, must_fit=must_fit)
        if given is not None:
            return given
        messages, room = self._messages(request), self.room(request)
        cut = Cut(messages) if request.truncate and request.messages is not None else None
        if cut is not None and cut.chars >= LONG and cut.droppable:
            rate = self._rate(cut.sample(SAMPLE))
            if cut.chars * rate > SURELY * room:
                return (yield from self._truncated(request, cut, cut.guess(room / rate), 0))
        rendered = self._templates.render(request, messages)
        if cut is not None:
            must_fit = len(rendered.text) >= LONG and not cut.droppable
        whole = yield from self._text(request, rendered, must_fit=must_fit)
        if cut is None or len(whole.tokens) < room:
            return whole
        if not cut.droppable:
            raise too_long(len(whole.tokens), room)
        cut.measure(len(rendered.text), 0)
        return (yield from self._truncated(request, cut, cut.guess(room * len(rendered.text) / len(whole.tokens)), 1))

    def _rate(self, sample: str) -> float:
        """About how many tokens a character makes."""
        return self._tokenizer.count(sample, add_special=False, parse_special=True) / len(sample)

    def _messages(self, request: GenerateRequest) -> list[Message]:
        messages = list(request.messages or ())
        if request.prompt is not None:
            messages.append(Message(role="user", content=request.prompt))
        if request.system and not (messages and messages[0].role == "system"):
            messages.insert(0, Message(role="system", content=request.system))
        if not messages:
            raise InvalidRequest("the request has neither messages nor a prompt")
        return messages

    def _text(
        self, request: GenerateRequest, rendered: Rendered, dropped: int = 0, *, must_fit: bool = False
    ) -> Steps[Prompt]:
        """The prompt of that text. One that must fit and surely will not is counted and refused, with no ids made."""
        text, room = rendered.text, self.room(request)
        check_tokens(_before(request), self._tokenizer.n_vocab)
        if must_fit and len(text) >= LONG and len(text) * self._rate(text[-SAMPLE:]) > SURELY * room:
            count = yield Encoding(len(text), lambda: self._count(request, text))
            if count >= room:
                raise too_long(count, room)
        tokens = yield Encoding(len(text), lambda: self._encode(request, text))
        return Prompt(tokens, dropped, rendered.opens_thinking, text)

    def _encode(self, request: GenerateRequest, text: str) -> list[int]:
        add_special, before = self._adds_special(request, text), _before(request)
        tokens = self._tokenizer.encode(text, add_special=add_special, parse_special=True)
        return [*before, *tokens] if before else tokens

    def _count(self, request: GenerateRequest, text: str) -> int:
        add_special = self._adds_special(request, text)
        return len(_before(request)) + self._tokenizer.count(text, add_special=add_special, parse_special=True)

    def _adds_special(self, request: GenerateRequest, text: str) -> bool:
        """Templates that write BOS themselves must not get a second one."""
        bos = self._tokenizer.bos_text
        return request.raw or (not request.context and not (bos and text.startswith(bos)))

    def _truncated(self, request: GenerateRequest, cut: Cut, guess: int, low: int) -> Steps[Prompt]:
        """Drop the oldest turns, never system messages nor the last one (Ollama's `truncate`): the fewest that fit.

        At least `low` of them are dropped, looked for around `guess`, so that little is rendered and tokenized of what
        goes: fewer turns never make a longer prompt. Where a template refuses what is left, as many more are dropped as
        let it begin with a user's turn.
        """
        high, room = len(cut.droppable), self.room(request)
        count, step = min(max(guess, low), high), 0
        best: Prompt | None = None
        missed: Prompt | None = None
        while low <= high:
            prompt = yield from self._without(request, cut, count)
            dropped = prompt.dropped_messages
            if len(prompt.tokens) < room:
                best, high = prompt, count - 1
            else:
                missed, low = prompt, dropped + 1
            if best is not None and missed is not None:
                count = (low + high) // 2
            elif step == 0:  # now it is known how long a template's marks are, and how many tokens such text makes
                cut.measure(len(prompt.text), dropped)
                count = cut.guess(room * len(prompt.text) / max(1, len(prompt.tokens)))
                step = 1
            else:
                count = count - step if missed is None else dropped + step
                step *= 2
            count = min(max(count, low), high)
        if best is None:
            assert missed is not None  # all that may be dropped was
            raise too_long(len(missed.tokens), room)
        return best

    def _without(self, request: GenerateRequest, cut: Cut, count: int) -> Steps[Prompt]:
        """The prompt with the oldest `count` turns dropped, or the more that its template wants dropped."""
        try:
            rendered = self._templates.render(request, cut.kept(count))
        except TemplateError:
            later = cut.later_begin(count)
            if later is None:
                raise
            count, rendered = later, self._templates.render(request, cut.kept(later))
        return (yield from self._text(request, rendered, count))


def _before(request: GenerateRequest) -> tuple[int, ...]:
    """The token ids that stand before the text; a raw one has none."""
    return () if request.raw else request.context
