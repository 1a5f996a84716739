"""OpenAI's conversations and compaction with the official client on a real server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai.types.conversations import Conversation, ConversationItemList
from openai.types.responses import CompactedResponse, ResponseItemList

from tests.e2e.official import openai_client
from tests.e2e.serving import Server
from tests.e2e.test_responses import ask

HELLO: Any = {"role": "user", "content": "Hello!"}
CALL: Any = {"type": "function_call", "call_id": "call_1", "name": "add", "arguments": '{"a": 1}'}
RESULT: Any = {"type": "function_call_output", "call_id": "call_1", "output": "1"}


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[openai.OpenAI]:
    with openai_client(server) as one:
        yield one


def strictly(model: Any, value: Any) -> None:
    """The reply is what the package's own type says, which it builds without looking."""
    model.model_validate(value.model_dump(), strict=False)


def texts(client: openai.OpenAI, conversation: str) -> list[tuple[str, str]]:
    """Who said what."""
    found = []
    for item in client.conversations.items.list(conversation, order="asc"):
        assert item.type == "message"
        assert item.status == "completed"
        found += [(str(item.role), part.text) for part in item.content if part.type in ("input_text", "output_text")]
    return found


def test_made_read_changed_deleted(client: openai.OpenAI) -> None:
    made = client.conversations.create(metadata={"topic": "tests"}, items=[HELLO, CALL, RESULT])
    strictly(Conversation, made)
    assert (made.object, made.metadata) == ("conversation", {"topic": "tests"})
    assert client.conversations.retrieve(made.id) == made
    assert client.conversations.update(made.id, metadata={"a": "b"}).metadata == {"a": "b"}
    assert client.conversations.retrieve(made.id).metadata == {"a": "b"}
    assert client.conversations.update(made.id, metadata=None).metadata == {}
    with pytest.raises(openai.BadRequestError, match="'metadata' is required"):
        client.post(f"/conversations/{made.id}", cast_to=Conversation, body={})
    gone = client.conversations.delete(made.id)
    assert (gone.id, gone.deleted, gone.object) == (made.id, True, "conversation.deleted")
    for what in (
        lambda: client.conversations.retrieve(made.id),
        lambda: client.conversations.delete(made.id),
        lambda: client.conversations.update(made.id, metadata={}),
        lambda: client.conversations.items.list(made.id),
        lambda: client.conversations.items.create(made.id, items=[HELLO]),
        lambda: ask(client, conversation=made.id),
    ):
        with pytest.raises(openai.NotFoundError) as caught:
            what()
        assert made.id in caught.value.message


def test_items(client: openai.OpenAI) -> None:
    made = client.conversations.create()
    added: Any = client.conversations.items.create(made.id, items=[HELLO, CALL, RESULT])
    strictly(ConversationItemList, added)
    assert [item.type for item in added.data] == ["message", "function_call", "function_call_output"]
    newest = client.conversations.items.list(made.id, limit=2)
    strictly(ConversationItemList, newest)
    assert newest.has_more
    assert [item.id for item in newest] == [item.id for item in added.data][::-1]  # the client turns pages by itself
    one: Any = client.conversations.items.retrieve(added.data[1].id, conversation_id=made.id)
    assert one == added.data[1]
    assert client.conversations.items.delete(one.id, conversation_id=made.id).id == made.id
    assert [item.type for item in client.conversations.items.list(made.id)] == ["function_call_output", "message"]
    with pytest.raises(openai.NotFoundError):
        client.conversations.items.retrieve(one.id, conversation_id=made.id)
    again = client.conversations.items.create(made.id, items=[HELLO | {"id": added.data[0].id}])
    assert again.data[0].id != added.data[0].id  # an id names one item


def test_a_response_goes_on_with_a_conversation(client: openai.OpenAI) -> None:
    made = client.conversations.create()
    first = ask(client, input="My name is Ada.", conversation=made.id)
    assert first.conversation is not None
    assert first.conversation.id == made.id
    events = list(
        client.responses.create(
            model="demo", input="What is my name?", temperature=0, conversation={"id": made.id}, stream=True
        )
    )
    last = events[-1]
    assert last.type == "response.completed"
    chain = ask(client, input="My name is Ada.")
    same = ask(client, input="What is my name?", previous_response_id=chain.id)
    assert last.response.output_text == same.output_text
    assert last.response.usage is not None
    assert same.usage is not None
    assert last.response.usage.input_tokens == same.usage.input_tokens
    assert texts(client, made.id) == [
        ("user", "My name is Ada."),
        ("assistant", first.output_text),
        ("user", "What is my name?"),
        ("assistant", same.output_text),
    ]
    ids = [item.id for item in client.conversations.items.list(made.id, order="asc")]
    assert ids[1] == first.output[0].id
    counted = client.responses.input_tokens.count(model="demo", input="Thanks!", conversation=made.id)
    assert counted.input_tokens > same.usage.input_tokens
    assert len(texts(client, made.id)) == 4  # counting adds nothing


def test_a_response_goes_on_from_one_of_a_conversation(client: openai.OpenAI) -> None:
    """With all that the conversation had by then, and nothing of what came later."""
    made = client.conversations.create(items=[{"role": "user", "content": "My name is Ada."}])
    first = ask(client, input="Hi.", conversation=made.id)
    ask(client, input="This came later.", conversation=made.id)
    said: list[Any] = [{"role": "user", "content": "My name is Ada."}, {"role": "user", "content": "Hi."}]
    said += [{"role": "assistant", "content": first.output_text}, {"role": "user", "content": "And now?"}]
    second = ask(client, input="And now?", previous_response_id=first.id)
    third = ask(client, input="Thanks!", previous_response_id=second.id)
    by_hand = ask(client, input=said)
    assert second.usage is not None
    assert third.usage is not None
    assert by_hand.usage is not None
    assert second.usage.input_tokens == by_hand.usage.input_tokens
    assert third.usage.input_tokens > second.usage.input_tokens
    client.conversations.delete(made.id)
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, previous_response_id=second.id)
    assert caught.value.code == "previous_response_not_found"


def test_items_by_reference(client: openai.OpenAI) -> None:
    """As Vercel's AI SDK sends back what was stored."""
    first = ask(client, input="My name is Ada.")
    reference: Any = {"type": "item_reference", "id": first.output[0].id}
    question: Any = {"role": "user", "content": "What is my name?"}
    said = {"role": "assistant", "content": first.output_text}
    by_reference = ask(client, input=[{"role": "user", "content": "My name is Ada."}, reference, question])
    by_hand = ask(client, input=[{"role": "user", "content": "My name is Ada."}, said, question])
    assert by_reference.output_text == by_hand.output_text
    listed = client.responses.input_items.list(by_reference.id, order="asc")
    strictly(ResponseItemList, listed)
    assert [item.id for item in listed][1] == reference["id"]
    with pytest.raises(openai.NotFoundError) as caught:
        ask(client, input=[{"type": "item_reference", "id": "msg_x"}, question])
    assert "msg_x" in caught.value.message


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"metadata": {"k": 3}}, "metadata.k"),
        ({"metadata": {str(number): "" for number in range(17)}}, "metadata"),
        ({"metadata": {"k": "v" * 513}}, "metadata.k"),
        ({"items": [{"type": "item_reference", "id": "x"}]}, "items[0].type"),
        (
            {"items": [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]},
            "items[0].content[0].type",
        ),
        ({"extra_body": {"item": []}}, "item"),
    ],
)
def test_what_is_refused(client: openai.OpenAI, fields: dict[str, Any], param: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.conversations.create(**fields)
    assert caught.value.param == param


def test_one_past_at_a_time(client: openai.OpenAI) -> None:
    made = client.conversations.create()
    first = ask(client)
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, conversation=made.id, previous_response_id=first.id)
    assert caught.value.param == "conversation"


def test_a_compaction_stands_for_what_was_said(client: openai.OpenAI) -> None:
    said: list[Any] = [HELLO, {"role": "assistant", "content": "Hello! I am here."}, {"role": "user", "content": "Hi."}]
    compacted = client.responses.compact(model="demo", input=said)
    strictly(CompactedResponse, compacted)
    assert compacted.object == "response.compaction"
    (item,) = compacted.output
    assert item.type == "compaction"
    assert compacted.usage.output_tokens > 0
    more: Any = [item.model_dump(exclude_none=True), {"role": "user", "content": "Go on."}]
    alone = ask(client, input="Go on.")
    after = ask(client, input=more)
    assert after.usage is not None
    assert alone.usage is not None
    assert after.usage.input_tokens > alone.usage.input_tokens + compacted.usage.output_tokens / 2
    kept = ask(client)
    assert client.responses.compact(model="demo", previous_response_id=kept.id).output[0].type == "compaction"
    conversation = client.conversations.create(items=[more[0]])
    (again,) = client.conversations.items.list(conversation.id)
    assert again.type == "compaction"
    assert again.encrypted_content == item.encrypted_content


@pytest.mark.parametrize(
    ("item", "param"),
    [
        ({"type": "compaction", "encrypted_content": "gAAAAABo"}, "input[0].encrypted_content"),
        ({"type": "compaction", "encrypted_content": "arriero-1.%%"}, "input[0].encrypted_content"),
        ({"type": "compaction"}, "input[0].encrypted_content"),
    ],
)
def test_others_compactions_are_refused(client: openai.OpenAI, item: Any, param: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, input=[item, HELLO])
    assert caught.value.param == param
    with pytest.raises(openai.BadRequestError):
        client.responses.compact(model="demo")
