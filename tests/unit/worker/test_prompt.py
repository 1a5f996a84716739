"""Prompts: templates, BOS, limits, and the cutting that was asked for."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest

from arriero.core.errors import ContextLengthExceeded, InvalidRequest, TemplateError, UnsupportedFeature
from arriero.core.model import ModelSpec
from arriero.core.request import GenerateRequest, Message, ToolCall, ToolSpec
from arriero.worker.prompt import PromptBuilder
from arriero.worker.templates import Templates
from arriero.worker.text_desk import LONG
from tests.unit.worker.at_once import Prompts
from tests.unit.worker.letters import Letters

TEMPLATE = "{% for m in messages %}[{{ m.role }}:{{ m.content }}]{% endfor %}"


def spec(**changes: Any) -> ModelSpec:
    return ModelSpec(name="m:latest", path="/m.gguf", digest="", size=1, modified_at=0.0, **changes)


def builder(template: str | None = TEMPLATE, context: int = 1000, **changes: object) -> Prompts:
    return Prompts(PromptBuilder(Letters(), Templates(spec(**changes), template, Letters()), context))


def text_of(tokens: list[int]) -> str:
    return "".join(chr(token) if token < 256 else "^" for token in tokens)


def chat(*texts: str, **more: Any) -> GenerateRequest:
    roles = ("user", "assistant")
    messages = tuple(Message(role=roles[i % 2], content=text) for i, text in enumerate(texts))
    return GenerateRequest(model="m", messages=messages, **more)


def test_messages_are_rendered_with_bos_once() -> None:
    assert text_of(builder().build(chat("hi")).tokens) == "^[user:hi]"
    assert text_of(builder("<s>" + TEMPLATE).build(chat("hi")).tokens) == "^[user:hi]"


def test_a_prompt_becomes_a_message_after_the_system_text() -> None:
    request = GenerateRequest(model="m", prompt="hi", system="be kind")
    assert text_of(builder().build(request).tokens) == "^[system:be kind][user:hi]"
    own = GenerateRequest(model="m", messages=(Message(role="system", content="own"),), prompt="hi", system="other")
    assert text_of(builder().build(own).tokens) == "^[system:own][user:hi]"


def test_raw_prompts_see_no_template_and_context_stands_before() -> None:
    assert text_of(builder().build(GenerateRequest(model="m", prompt="hi", raw=True)).tokens) == "^hi"
    assert text_of(builder().build(GenerateRequest(model="m", prompt="hi", raw=True, context=(65,))).tokens) == "^hi"
    continued = GenerateRequest(model="m", prompt="hi", context=(257, 65))
    assert text_of(builder().build(continued).tokens) == "^A[user:hi]"
    assert builder().build(GenerateRequest(model="m", prompt_tokens=(1, 2))).tokens == [1, 2]


@pytest.mark.parametrize("tokens", [(258,), (-1,)])
def test_tokens_outside_the_vocabulary_are_refused(tokens: tuple[int, ...]) -> None:
    with pytest.raises(InvalidRequest, match="vocabulary of 258"):
        builder().build(GenerateRequest(model="m", prompt_tokens=tokens))


def test_nothing_to_do_is_an_error() -> None:
    with pytest.raises(InvalidRequest, match="neither messages nor a prompt"):
        builder().build(GenerateRequest(model="m"))
    with pytest.raises(InvalidRequest, match="empty"):
        builder().build(GenerateRequest(model="m", prompt_tokens=()))


def test_an_answer_that_was_begun_is_the_end_of_the_prompt() -> None:
    template = TEMPLATE + "{% if add_generation_prompt %}[assistant:{% endif %}"
    begun = chat("hi", "I am", continue_last=True)
    assert text_of(builder(template).build(begun).tokens) == "^[user:hi][assistant:I am"
    go = builder(None, uses_go_template=True, go_template="{{ range .Messages }}<{{ .Content }}>{{ end }}:")
    assert text_of(go.build(begun).tokens) == "^<hi>:I am"
    asked = chat("hi", continue_last=True)
    assert text_of(builder(template).build(asked).tokens) == "^[user:hi][assistant:"


def test_an_answer_cannot_be_begun_where_thinking_comes_first() -> None:
    thinking = TEMPLATE + "</think>{% if add_generation_prompt %}<think>\n{% endif %}"
    with pytest.raises(UnsupportedFeature, match="begins with thinking"):
        builder(thinking).build(chat("hi", "I am", continue_last=True))


@pytest.mark.parametrize("asks", ["<think>\n", ""])
def test_an_answer_is_begun_with_its_thinking(asks: str) -> None:
    template = TEMPLATE + f"{{% set tags = '<think></think>' %}}{{% if add_generation_prompt %}}<a>{asks}{{% endif %}}"
    thinks = builder(template, chat_template=template, capabilities=("completion", "thinking"))
    last = Message(role="assistant", content="I am", thinking="hm\n")
    asked = Message(role="user", content="hi")
    begun = GenerateRequest(model="m", messages=(asked, last), continue_last=True)
    assert text_of(thinks.build(begun).tokens) == "^[user:hi]<a><think>\nhm\n</think>\n\nI am"
    with pytest.raises(UnsupportedFeature, match="no tags for thinking"):
        builder().build(begun)
    calls = msgspec.structs.replace(last, thinking=None, tool_calls=(ToolCall(name="f", arguments={}),))
    with pytest.raises(UnsupportedFeature, match="behind its tool calls"):
        thinks.build(msgspec.structs.replace(begun, messages=(asked, calls)))


def test_what_does_not_fit_is_counted_all_the_same() -> None:
    assert len(builder(context=5).tokens(chat("hi"))) == len("^[user:hi]")


def test_too_long_says_both_numbers() -> None:
    with pytest.raises(ContextLengthExceeded) as caught:
        builder(context=10).build(chat("0123456789"))
    assert caught.value.details == {"prompt_tokens": 18, "context_length": 10}
    assert "18" in caught.value.message
    assert "10" in caught.value.message


def test_a_prompt_that_fills_the_context_leaves_no_room_for_an_answer() -> None:
    assert len(builder(context=11).build(chat("hi")).tokens) == 10
    with pytest.raises(ContextLengthExceeded):
        builder(context=10).build(chat("hi"))


def test_truncate_drops_the_fewest_oldest_turns_and_counts_them() -> None:
    request = GenerateRequest(
        model="m",
        messages=(
            Message(role="system", content="S"),
            *(Message(role="user", content=str(i) * 10) for i in range(5)),
        ),
        truncate=True,
    )
    prompt = builder(context=50).build(request)
    assert text_of(prompt.tokens) == "^[system:S][user:3333333333][user:4444444444]"
    assert prompt.dropped_messages == 3
    with pytest.raises(ContextLengthExceeded):
        builder(context=20).build(request)
    assert builder(context=500).build(request).dropped_messages == 0


def test_truncate_goes_on_to_a_users_turn_where_the_template_wants_one_first() -> None:
    wants = "{% if messages[0].role != 'user' %}{{ raise_exception('a user begins') }}{% endif %}" + TEMPLATE
    request = chat("1" * 9, "2" * 9, "3" * 9, "4" * 9, "5" * 9, truncate=True)
    prompt = builder(wants, context=70).build(request)
    assert text_of(prompt.tokens) == "^[user:333333333][assistant:444444444][user:555555555]"
    assert prompt.dropped_messages == 2
    with pytest.raises(ContextLengthExceeded):
        builder(wants, context=10).build(request)


def test_truncate_finds_the_same_turns_however_it_looks_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Guesses are only where it begins: what is dropped is the fewest that fits."""
    draw = random.Random(5)
    monkeypatch.setattr("arriero.worker.prompt.SAMPLE", 20)
    for _ in range(40):
        sizes = [draw.choice((0, 3, 20, 300)) for _ in range(draw.randint(2, 20))]
        request = chat(*("x" * size for size in sizes), truncate=True)
        room = draw.randint(40, 2000)
        fits = [count for count in range(len(sizes)) if len(whole(request, count)) < room]
        for long in (0, 10**9):
            monkeypatch.setattr("arriero.worker.prompt.LONG", long)
            if fits:
                assert builder(context=room).build(request).dropped_messages == fits[0]
                continue
            with pytest.raises(ContextLengthExceeded) as caught:
                builder(context=room).build(request)
            assert caught.value.details["prompt_tokens"] == len(whole(request, len(sizes) - 1))


def whole(request: GenerateRequest, dropped: int) -> list[int]:
    """The tokens without the first `dropped` messages."""
    messages = (request.messages or ())[dropped:]
    return builder(context=10**9).tokens(msgspec.structs.replace(request, messages=messages))


def test_truncate_tokenizes_about_what_it_keeps() -> None:
    counting = CountingLetters()
    prompts = Prompts(PromptBuilder(counting, Templates(spec(), TEMPLATE, counting), 1000))
    prompt = prompts.build(chat(*("some words" for _ in range(5000)), truncate=True))
    assert 900 < len(prompt.tokens) < 1000
    assert counting.read < 15_000  # of 95,000


@pytest.mark.parametrize("truncate", [False, True])
@pytest.mark.parametrize("raw", [False, True])
def test_what_is_surely_too_long_is_counted_and_makes_no_ids(truncate: bool, raw: bool) -> None:
    counting = CountingLetters()
    prompts = Prompts(PromptBuilder(counting, Templates(spec(), TEMPLATE, counting), 1000))
    text = "x" * LONG
    request = GenerateRequest(model="m", prompt=text, raw=True) if raw else chat(text, truncate=truncate)
    with pytest.raises(ContextLengthExceeded) as caught:
        prompts.build(request)
    assert caught.value.details["prompt_tokens"] == LONG + len("^" if raw else "^[user:]")
    assert counting.made == 0
    assert len(prompts.tokens(request)) == caught.value.details["prompt_tokens"]
    if not truncate:
        assert text in prompts.render(request)


class CountingLetters(Letters):
    """Counts the characters that it reads, and the ids that it makes."""

    read = made = 0

    def encode(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        self.read += len(text)
        tokens = super().encode(text, add_special=add_special, parse_special=parse_special)
        self.made += len(tokens)
        return tokens

    def count(self, text: str, *, add_special: bool, parse_special: bool) -> int:
        self.read += len(text)
        return len(super().encode(text, add_special=add_special, parse_special=parse_special))


def test_tools_need_a_template_that_knows_them() -> None:
    with pytest.raises(UnsupportedFeature, match="does not support tools"):
        builder().build(chat("hi", tools=(ToolSpec(name="f"),)))
    with_tools = builder("{% for t in tools %}<{{ t.function.name }}>{% endfor %}" + TEMPLATE)
    assert text_of(with_tools.build(chat("hi", tools=(ToolSpec(name="f"),))).tokens) == "^<f>[user:hi]"


def test_template_faults_are_the_templates() -> None:
    with pytest.raises(TemplateError, match="no thanks"):
        builder("{{ raise_exception('no thanks') }}").build(chat("hi"))
    assert builder(TEMPLATE + "<think>").build(chat("hi")).opens_thinking is True
