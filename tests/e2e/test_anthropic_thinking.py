"""Thinking on /v1/messages, with a model that thinks the same every time: on, off, within a budget, there and back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import pytest

from tests.e2e.automaton import write_automaton
from tests.e2e.official import anthropic_client
from tests.e2e.serving import serve

THOUGHT = "One and two and three and four, that is it."
ANSWER = "I would say that it is four."
TEMPLATE = (
    "{% for m in messages %}{{ m.role }}: {% if m.reasoning_content %}<think>\n{{ m.reasoning_content }}\n</think>\n\n"
    "{% endif %}{{ m.content }}\n{% endfor %}{% if enable_thinking %}<|says|>{% else %}<|told|>{% endif %}"
)
ASKED: list[Any] = [{"role": "user", "content": "How many?"}]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[anthropic.Anthropic]:
    home: Path = tmp_path_factory.mktemp("thinking")
    model = write_automaton(
        home / "thinker.gguf", f"<think>\n{THOUGHT}\n</think>\n\n{ANSWER}", told=ANSWER, template=TEMPLATE
    )
    with (
        serve(home, "--model", f"thinker={model}") as server,
        anthropic_client(server) as one,
    ):
        yield one


def ask(client: anthropic.Anthropic, thinking: Any = None, messages: Any = ASKED, **fields: Any) -> Any:
    body = {"thinking": thinking} if thinking else {}
    return client.messages.create(
        model="thinker", max_tokens=200, messages=messages, extra_body={"temperature": 0, **body}, **fields
    )


def enabled(budget: int, **more: Any) -> dict[str, Any]:
    return {"type": "enabled", "budget_tokens": budget, **more}


@pytest.mark.parametrize("thinking", [None, {"type": "disabled"}])
def test_it_is_off_unless_asked_for(client: anthropic.Anthropic, thinking: Any) -> None:
    reply = ask(client, thinking)
    assert [(block.type, block.text) for block in reply.content] == [("text", ANSWER)]


@pytest.mark.parametrize("thinking", [enabled(150), {"type": "adaptive"}])
def test_thinking_is_a_block_with_a_signature(client: anthropic.Anthropic, thinking: Any) -> None:
    thought, answer = ask(client, thinking).content
    assert (thought.type, thought.thinking) == ("thinking", THOUGHT)
    assert thought.signature
    assert (answer.type, answer.text) == ("text", ANSWER)


def test_streamed_it_is_the_same_message(client: anthropic.Anthropic) -> None:
    body = {"temperature": 0, "thinking": enabled(150)}
    with client.messages.stream(model="thinker", max_tokens=200, messages=ASKED, extra_body=body) as stream:
        deltas = [event.delta.type for event in stream if event.type == "content_block_delta"]
        final = stream.get_final_message()
    whole = ask(client, enabled(150))
    assert [block.model_dump() for block in final.content] == [block.model_dump() for block in whole.content]
    assert deltas.count("thinking_delta") > 2
    assert deltas.index("signature_delta") == deltas.count("thinking_delta")
    details = final.usage.output_tokens_details
    assert details is not None
    assert 0 < details.thinking_tokens < final.usage.output_tokens


def test_a_budget_ends_it(client: anthropic.Anthropic) -> None:
    """The model is no good at going on from there; that its thinking ends where it must is what counts here."""
    reply = ask(client, enabled(5))
    thought = reply.content[0]
    assert thought.type == "thinking"
    assert THOUGHT.startswith(thought.thinking)
    assert 0 < len(thought.thinking) < len(THOUGHT)
    assert reply.stop_reason == "end_turn"
    longer = ask(client, enabled(8)).content[0].thinking
    assert len(thought.thinking) < len(longer) < len(THOUGHT)


def test_omitted_thinking_comes_back_in_the_next_turn(client: anthropic.Anthropic) -> None:
    shown, hidden = (ask(client, enabled(150, **more)).content for more in ({}, {"display": "omitted"}))
    assert hidden[0].type == "thinking"
    assert hidden[0].thinking == ""

    def count(content: Any) -> int:
        messages: Any = [*ASKED, {"role": "assistant", "content": content}, {"role": "user", "content": "Sure?"}]
        return client.messages.count_tokens(model="thinker", messages=messages).input_tokens

    assert count(hidden) == count(shown) > count(shown[1:])
