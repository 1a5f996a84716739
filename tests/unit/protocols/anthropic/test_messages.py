from __future__ import annotations

from typing import Any

import pytest

from arriero.core.errors import ArrieroError
from arriero.core.request import Message, ToolCall
from arriero.protocols.anthropic.messages import MessageReader
from arriero.protocols.anthropic.thinking_signature import restore, sign
from arriero.protocols.anthropic.tools import read_tools
from tests.unit.protocols.conftest import find

USE = {"type": "tool_use", "id": "toolu_1", "name": "add", "input": {"a": 1}}
RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "3"}
CALL = ToolCall(name="add", arguments={"a": 1}, id="toolu_1")


def user(*content: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(content)}


def assistant(*content: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": list(content)}


def text(words: str, **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": words, **more}


def read(*messages: Any) -> tuple[Message, ...]:
    return MessageReader().read(list(messages))


def test_blocks_of_text_are_joined_and_turns_of_one_role_are_one() -> None:
    cached = {"cache_control": {"type": "ephemeral"}}
    assert read(user(text("a"), text("b", **cached)), user(text("c"))) == (Message(role="user", content="a\nb\nc"),)
    assert read({"role": "user", "content": "a"}) == (Message(role="user", content="a"),)
    system = {"role": "system", "content": "from now on"}
    assert [message.role for message in read(user(text("a")), assistant(text("b")), system)] == [
        "user",
        "assistant",
        "system",
    ]


def test_a_round_of_tools() -> None:
    found = read(user(text("1 + 2?")), assistant(text("Let me see."), USE), user(RESULT, text("Go on.")))
    assert found == (
        Message(role="user", content="1 + 2?"),
        Message(role="assistant", content="Let me see.", tool_calls=(CALL,)),
        Message(role="tool", content="3", tool_name="add", tool_call_id="toolu_1"),
        Message(role="user", content="Go on."),
    )


def test_results_alone_add_no_empty_turn() -> None:
    other = USE | {"id": "toolu_2", "name": "sub"}
    found = read(user(text("x")), assistant(USE, other), user(RESULT, RESULT | {"tool_use_id": "toolu_2"}))
    assert [(message.role, message.tool_name) for message in found[2:]] == [("tool", "add"), ("tool", "sub")]
    assert found[1].tool_calls == (CALL, ToolCall(name="sub", arguments={"a": 1}, id="toolu_2"))


@pytest.mark.parametrize(
    ("result", "content"),
    [
        ({"content": [text("a"), text("b")]}, "a\nb"),
        ({"content": []}, ""),
        ({}, ""),
        ({"content": "no such file", "is_error": True}, "Error: no such file"),
        ({"content": "Error 3", "is_error": True}, "Error 3"),
        ({"content": "fine", "is_error": False}, "fine"),
    ],
)
def test_results(result: dict[str, Any], content: str) -> None:
    block = {"type": "tool_result", "tool_use_id": "toolu_1", **result}
    assert read(user(text("x")), assistant(USE), user(block))[2].content == content


def test_thinking_is_kept_and_what_was_omitted_comes_back() -> None:
    plain = {"type": "thinking", "thinking": "hm", "signature": "someone else's"}
    omitted = {"type": "thinking", "thinking": "", "signature": sign("secret é", omitted=True)}
    hidden = {"type": "redacted_thinking", "data": "zz"}
    reader = MessageReader()
    found = reader.read([user(text("x")), assistant(plain, omitted, hidden, text("y")), user(text("z"))])
    assert found[1] == Message(role="assistant", content="y", thinking="hm\nsecret é")
    assert list(reader.ignored) == ["messages.content.redacted_thinking"]


def test_signatures() -> None:
    assert restore("", sign("abc", omitted=True)) == "abc"
    assert restore("abc", sign("abc", omitted=False)) == "abc"
    assert restore("", sign("abc", omitted=False)) == ""
    assert sign("abc", omitted=False) != sign("abd", omitted=False)
    for broken in ("arriero-2.x", "arriero-2._w==", "arriero-2.é", ""):
        assert restore("", broken) == ""


@pytest.mark.parametrize(
    ("messages", "code", "param"),
    [
        (None, "invalid_request", "messages"),
        ([], "invalid_request", "messages"),
        ([3], "invalid_request", "messages.0"),
        ([{"role": "tool", "content": "x"}], "invalid_request", "messages.0.role"),
        ([{"role": "user"}], "invalid_request", "messages.0.content"),
        ([{"role": "user", "content": 3}], "invalid_request", "messages.0.content"),
        ([user(3)], "invalid_request", "messages.0.content.0"),
        ([user({})], "invalid_request", "messages.0.content.0.type"),
        ([user({"type": "text"})], "invalid_request", "messages.0.content.0.text"),
        ([user({"type": "text", "text": 3})], "invalid_request", "messages.0.content.0.text"),
        ([user({"type": "image", "source": {}})], "unsupported", "messages.0.content.0.type"),
        ([user({"type": "document", "source": {}})], "unsupported", "messages.0.content.0.type"),
        ([user({"type": "search_result"})], "unsupported", "messages.0.content.0.type"),
        ([user({"type": "server_tool_use"})], "unsupported", "messages.0.content.0.type"),
        ([user(USE)], "invalid_request", "messages.0.content.0.type"),
        ([assistant(RESULT)], "invalid_request", "messages.0.content.0.type"),
        ([user(RESULT)], "invalid_request", "messages.0.content.0.tool_use_id"),
        ([assistant(USE | {"input": "x"})], "invalid_request", "messages.0.content.0.input"),
        ([assistant(USE | {"id": 3})], "invalid_request", "messages.0.content.0.id"),
        ([assistant(USE), user(RESULT | {"is_error": 3})], "invalid_request", "messages.1.content.0.is_error"),
        (
            [assistant(USE), user(RESULT | {"content": [{"type": "image"}]})],
            "unsupported",
            "messages.1.content.0.content.0.type",
        ),
    ],
)
def test_refusals_name_the_place(messages: Any, code: str, param: str) -> None:
    with pytest.raises(ArrieroError) as caught:
        MessageReader().read(messages)
    assert (caught.value.code, caught.value.details["param"]) == (code, param)


@pytest.mark.parametrize(
    "kind",
    [
        *("web_search_tool_result", "web_fetch_tool_result", "code_execution_tool_result"),
        *("bash_code_execution_tool_result", "text_editor_code_execution_tool_result", "tool_search_tool_result"),
        "container_upload",
    ],
)
def test_blocks_of_anthropics_servers_are_refused(kind: str) -> None:
    with pytest.raises(ArrieroError, match=kind) as caught:
        read(user({"type": kind}))
    assert caught.value.code == "unsupported"


TOOL = {"name": "f", "description": "does", "input_schema": {"type": "object"}}


def tools(wire: Any, choice: Any = None, model: str = "demo") -> Any:
    return read_tools(wire, choice, find(model), model)


def test_tools_and_their_choice() -> None:
    (tool,) = tools([TOOL | {"type": "custom", "strict": True}]).tools
    assert (tool.name, tool.description, tool.parameters, tool.strict) == ("f", "does", {"type": "object"}, True)
    assert tools([TOOL], {"type": "none"}).tools == ()
    auto = tools([TOOL], {"type": "auto", "disable_parallel_tool_use": True})
    assert (auto.parallel, auto.must_call, auto.names) == (False, False, None)
    assert tools([TOOL], {"type": "any"}).must_call
    named = tools([TOOL], {"type": "tool", "name": "f"})
    assert (named.must_call, named.names) == (True, ("f",))


def test_input_is_streamed_where_that_is_asked_for() -> None:
    eager = TOOL | {"name": "g", "eager_input_streaming": True}
    assert [tools([TOOL, one]).eager for one in (eager, eager | {"eager_input_streaming": False})] == [True, False]


def test_examples_of_input_are_told_to_the_model() -> None:
    (tool,) = tools([TOOL | {"input_examples": [{"a": 1}]}]).tools
    assert tool.description == 'does\nExample: {"a":1}'


@pytest.mark.parametrize(
    ("wire", "choice", "code", "param"),
    [
        (3, None, "invalid_request", "tools"),
        ([3], None, "invalid_request", "tools.0"),
        ([{"name": "f"}], None, "invalid_request", "tools.0.input_schema"),
        ([TOOL | {"input_schema": {"type": "string"}}], None, "invalid_request", "tools.0.input_schema"),
        ([TOOL | {"name": ""}], None, "invalid_request", "tools.0.name"),
        ([TOOL | {"description": 3}], None, "invalid_request", "tools.0.description"),
        ([TOOL | {"input_examples": [3]}], None, "invalid_request", "tools.0.input_examples"),
        ([TOOL | {"strict": 3}], None, "invalid_request", "tools.0.strict"),
        ([TOOL, TOOL], None, "invalid_request", "tools"),
        ([{"type": "web_search_20250305", "name": "web_search"}], None, "unsupported", "tools.0.type"),
        ([TOOL | {"defer_loading": True}], None, "unsupported", "tools.0.defer_loading"),
        ([TOOL | {"allowed_callers": ["code"]}], None, "unsupported", "tools.0.allowed_callers"),
        ([TOOL], "auto", "invalid_request", "tool_choice"),
        ([TOOL], {"type": "some"}, "invalid_request", "tool_choice.type"),
        ([TOOL], {"type": "tool", "name": "g"}, "invalid_request", "tool_choice.name"),
        ([TOOL], {"type": "auto", "disable_parallel_tool_use": 1}, "invalid_request", None),
        ([], {"type": "any"}, "invalid_request", "tool_choice"),
    ],
)
def test_what_tools_are_refused(wire: Any, choice: Any, code: str, param: str | None) -> None:
    with pytest.raises(ArrieroError) as caught:
        tools(wire, choice)
    assert caught.value.code == code
    assert param is None or caught.value.details["param"] == param


def test_a_model_without_tools_says_so() -> None:
    with pytest.raises(ArrieroError, match="does not support tools"):
        tools([TOOL], model="plain")
    assert tools([TOOL], {"type": "none"}, "plain").tools == ()
