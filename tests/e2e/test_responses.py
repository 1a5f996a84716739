"""OpenAI's Responses API with the official client on a real server: at once, streamed, kept, forgotten."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from openai.types.responses import Response

from tests.e2e.official import openai_client
from tests.e2e.serving import Server, serve

WEATHER: Any = {
    "type": "function",
    "name": "get_weather",
    "description": "Get the weather of a city",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
    "strict": True,
}


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[openai.OpenAI]:
    with openai_client(server) as one:
        yield one


def ask(client: openai.OpenAI, **fields: Any) -> Response:
    reply = client.responses.create(model="demo", **{"input": "Hello!", "temperature": 0, **fields})
    assert isinstance(reply, Response)
    return reply


def test_at_once(client: openai.OpenAI) -> None:
    reply = ask(client, instructions="Be brief.", metadata={"k": "v"}, max_output_tokens=64)
    chat = client.chat.completions.create(
        model="demo",
        messages=[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello!"}],
        temperature=0,
    )
    assert (reply.status, reply.object, reply.model) == ("completed", "response", "demo")
    assert reply.output_text == chat.choices[0].message.content
    assert [item.type for item in reply.output] == ["message"]
    assert (reply.metadata, reply.instructions, reply.temperature) == ({"k": "v"}, "Be brief.", 0)
    assert reply.usage is not None
    assert chat.usage is not None
    assert reply.usage.input_tokens == chat.usage.prompt_tokens
    assert reply.usage.output_tokens == chat.usage.completion_tokens
    assert reply.usage.total_tokens == chat.usage.total_tokens
    assert reply.usage.output_tokens_details.reasoning_tokens == 0


def test_streamed_in_order(client: openai.OpenAI) -> None:
    whole = ask(client)
    stream = client.responses.create(model="demo", input="Hello!", temperature=0, stream=True)
    events = list(stream)
    assert [event.sequence_number for event in events] == list(range(len(events)))
    kinds = [event.type for event in events]
    deltas = kinds.count("response.output_text.delta")
    assert deltas > 1
    assert kinds == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        *["response.output_text.delta"] * deltas,
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    texts = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert "".join(texts) == whole.output_text
    last = events[-1]
    assert last.type == "response.completed"
    assert last.response.output_text == whole.output_text
    assert last.response.usage is not None


def test_the_clients_own_stream(client: openai.OpenAI) -> None:
    with client.responses.stream(model="demo", input="Hello!", temperature=0) as stream:
        for _ in stream:
            pass
        final = stream.get_final_response()
    assert final.output_text == ask(client).output_text
    assert client.responses.retrieve(final.id).output_text == final.output_text


def test_out_of_tokens(client: openai.OpenAI) -> None:
    reply = ask(client, max_output_tokens=2)
    assert reply.status == "incomplete"
    assert reply.incomplete_details is not None
    assert reply.incomplete_details.reason == "max_output_tokens"
    streamed = list(client.responses.create(model="demo", input="Hello!", max_output_tokens=2, stream=True))
    assert streamed[-1].type == "response.incomplete"


def test_a_conversation_goes_on(client: openai.OpenAI) -> None:
    first = ask(client, input="My name is Ada.")
    second = ask(client, input="What is my name?", previous_response_id=first.id)
    by_hand = ask(
        client,
        input=[
            {"role": "user", "content": "My name is Ada."},
            {"role": "assistant", "content": first.output_text},
            {"role": "user", "content": "What is my name?"},
        ],
    )
    assert second.previous_response_id == first.id
    assert second.output_text == by_hand.output_text
    assert second.usage is not None
    assert by_hand.usage is not None
    assert second.usage.input_tokens == by_hand.usage.input_tokens
    third = ask(client, input="Thanks!", previous_response_id=second.id)
    assert third.usage is not None
    assert third.usage.input_tokens > second.usage.input_tokens


def test_kept_responses(client: openai.OpenAI) -> None:
    reply = ask(client, input=[{"role": "user", "content": "one"}, {"role": "user", "content": "two"}])
    again = client.responses.retrieve(reply.id)
    assert again.output_text == reply.output_text
    assert again.usage == reply.usage
    items = client.responses.input_items.list(reply.id, order="asc", limit=1)
    parts = [part for item in items if item.type == "message" for part in item.content]  # it turns pages by itself
    assert [part.text for part in parts if part.type == "input_text"] == ["one", "two"]
    assert items.has_more
    client.responses.delete(reply.id)
    for what in (client.responses.retrieve, client.responses.delete):
        with pytest.raises(openai.NotFoundError) as caught:
            what(reply.id)
        assert reply.id in caught.value.message
    with pytest.raises(openai.BadRequestError) as refused:
        ask(client, previous_response_id=reply.id)
    assert (refused.value.code, refused.value.param) == ("previous_response_not_found", "previous_response_id")


def test_what_is_not_to_be_kept(client: openai.OpenAI) -> None:
    reply = ask(client, store=False)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(reply.id)


def test_tokens_are_counted_as_they_are_used(client: openai.OpenAI) -> None:
    first = ask(client, instructions="Be brief.")
    assert first.usage is not None
    counted = client.responses.input_tokens.count(model="demo", input="Hello!", instructions="Be brief.")
    assert counted.input_tokens == first.usage.input_tokens
    second = ask(client, input="And now?", previous_response_id=first.id)
    assert second.usage is not None
    counted = client.responses.input_tokens.count(model="demo", input="And now?", previous_response_id=first.id)
    assert counted.input_tokens == second.usage.input_tokens


def test_a_call_and_its_result(client: openai.OpenAI) -> None:
    """The model must call; what it is told of the result is the conversation with that call in it."""
    question = "What is the weather in Paris?"
    reply = ask(client, input=question, tools=[WEATHER], tool_choice="required")
    (call,) = [item for item in reply.output if item.type == "function_call"]
    assert (call.name, call.status) == ("get_weather", "completed")
    events = list(
        client.responses.create(
            model="demo", input=question, temperature=0, tools=[WEATHER], tool_choice="required", stream=True
        )
    )
    kinds = [event.type for event in events]
    first = kinds.index("response.function_call_arguments.delta")
    assert kinds[first - 1] == "response.output_item.added"
    parts = [event.delta for event in events if event.type == "response.function_call_arguments.delta"]
    done = [event for event in events if event.type == "response.function_call_arguments.done"]
    assert "".join(parts) == done[0].arguments == call.arguments
    result: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "Sunny, 21 degrees."}
    after = ask(client, input=[result], tools=[WEATHER], previous_response_id=reply.id)
    assert after.status == "completed"
    by_hand: list[Any] = [{"role": "user", "content": question}, call.model_dump(), result]
    assert ask(client, input=by_hand, tools=[WEATHER]).output_text == after.output_text


def test_an_answer_held_to_a_schema(client: openai.OpenAI) -> None:
    from pydantic import BaseModel

    class Sum(BaseModel):
        left: int
        right: int

    parsed = client.responses.parse(model="demo", input="Add 2 and 3.", text_format=Sum, temperature=0)
    assert isinstance(parsed.output_parsed, Sum)


def test_log_probabilities(client: openai.OpenAI) -> None:
    reply = ask(client, include=["message.output_text.logprobs"], top_logprobs=2, max_output_tokens=4)
    (message,) = reply.output
    assert message.type == "message"
    (part,) = message.content
    assert part.type == "output_text"
    assert part.logprobs is not None
    assert "".join(entry.token for entry in part.logprobs) == part.text
    assert all(len(entry.top_logprobs) == 2 for entry in part.logprobs)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"background": True}, "background"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
        ({"include": ["everything"]}, "include"),
        ({"text": {"verbosity": "low"}}, "text.verbosity"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]},
            "input[0].content[0].type",
        ),
        ({"reasoning": {"effort": "high"}}, "reasoning.effort"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
    ],
)
def test_refused_by_name(client: openai.OpenAI, fields: dict[str, Any], param: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, **fields)
    assert caught.value.param == param


def test_the_store_survives_a_restart_is_private_and_can_be_switched_off(tmp_path: Path) -> None:
    with serve(tmp_path) as first, openai_client(first) as client:
        kept = ask(client)
        conversation = client.conversations.create(items=[{"role": "user", "content": "Hello!"}]).id
    file = tmp_path / "arriero" / "responses.sqlite"
    assert file.is_file()
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in file.parent.glob("responses.sqlite*"))
    with serve(tmp_path) as second, openai_client(second) as client:
        assert client.responses.retrieve(kept.id).output_text == kept.output_text
        assert [item.type for item in client.conversations.items.list(conversation)] == ["message"]
    with serve(tmp_path, environment={"ARRIERO_STORE_RESPONSES": "0"}) as off, openai_client(off) as client:
        assert ask(client).status == "completed"
        with pytest.raises(openai.NotFoundError):
            client.responses.retrieve(kept.id)
        with pytest.raises(openai.BadRequestError) as caught:
            ask(client, previous_response_id=kept.id)
        assert caught.value.param == "previous_response_id"
        calls: tuple[Callable[[], object], ...] = (
            client.conversations.create,
            lambda: client.conversations.retrieve(conversation),
        )
        for what in calls:
            with pytest.raises(openai.BadRequestError, match="ARRIERO_STORE_RESPONSES"):
                what()
