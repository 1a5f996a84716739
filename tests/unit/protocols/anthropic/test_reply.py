from __future__ import annotations

from typing import Any

import msgspec
import pytest

from arriero.core.errors import ErrorInfo
from arriero.core.events import (
    Accepted,
    Event,
    Failed,
    Finished,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    ToolCallPart,
    Usage,
)
from arriero.core.request import GenerateRequest, SamplingParams, ToolCall
from arriero.protocols.anthropic.reply import MessageReply, encode_error
from arriero.protocols.anthropic.thinking_signature import restore, sign
from arriero.protocols.call import Call

USAGE = Usage(prompt_tokens=10, cached_tokens=4, completion_tokens=5, thinking_tokens=2)


def reply(**fields: Any) -> MessageReply:
    request = GenerateRequest(model="demo:latest", prompt="x", sampling=SamplingParams(max_tokens=5))
    call = Call(request=request, model="demo", stream=True, chat=True, stop_sequences=("END",), **fields)
    return MessageReply(call, "1", 0)


def stream(*events: Event, **fields: Any) -> list[dict[str, Any]]:
    encoder = reply(**fields)
    raw = b"".join(encoder.chunk(event, 0) for event in events).decode()
    found = []
    for part in raw.split("\n\n")[:-1]:
        name, data = part.split("\n")
        event = msgspec.json.decode(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        found.append(event)
    return found


def whole(*events: Event, **fields: Any) -> dict[str, Any]:
    message: dict[str, Any] = msgspec.json.decode(reply(**fields).whole(events, 0))
    return message


def gathered(events: list[dict[str, Any]]) -> dict[str, Any]:
    """The message that a client makes of a stream."""
    message: dict[str, Any] = dict(events[0]["message"])
    blocks: list[Any] = []
    for event in events[1:]:
        if event["type"] == "content_block_start":
            assert event["index"] == len(blocks)
            blocks.append(dict(event["content_block"]))
            pieces = ""
        elif event["type"] == "content_block_delta":
            delta = dict(event["delta"])
            kind = delta.pop("type")
            if kind == "input_json_delta":
                pieces += delta["partial_json"]
            else:
                for name, value in delta.items():
                    blocks[-1][name] += value
        elif event["type"] == "content_block_stop" and blocks[-1]["type"] == "tool_use":
            blocks[-1]["input"] = msgspec.json.decode(pieces)
        elif event["type"] == "message_delta":
            message |= event["delta"] | {"usage": event["usage"]}
    return message | {"content": blocks}


CALL = ToolCall(name="add", arguments={"a": [1, "é"]}, id="call_x")
FINISHED = Finished(reason="stop", usage=USAGE)
SCRIPTS: dict[str, tuple[Event, ...]] = {
    "text": (TextDelta(text="Hé"), TextDelta(text=""), TextDelta(text=" you"), FINISHED),
    "thinking": (
        ThinkingDelta(text="h"),
        ThinkingDelta(text="m"),
        TextDelta(text="\n\n"),
        TextDelta(text="Yes"),
        FINISHED,
    ),
    "calls": (TextDelta(text="See:"), ToolCallDelta(index=0, call=CALL), ToolCallDelta(index=1, call=CALL), FINISHED),
    "white space": (TextDelta(text=" \n"), ToolCallDelta(index=0, call=CALL), TextDelta(text="\n"), FINISHED),
    "parts": (
        TextDelta(text="See:"),
        ToolCallPart(index=0, id="call_x", name="add", arguments='{"a":[1,'),
        ToolCallPart(index=0, id="call_x", name="add", arguments='"é"]}'),
        ToolCallDelta(index=0, call=CALL),
        ToolCallDelta(index=1, call=CALL),
        FINISHED,
    ),
    "nothing": (FINISHED,),
    "again": (Accepted(prompt_tokens=10, cached_tokens=4), TextDelta(text="Hi"), FINISHED),
}


@pytest.mark.parametrize("show", [True, False])
@pytest.mark.parametrize("script", SCRIPTS)
def test_a_stream_makes_the_same_message_as_a_whole_reply(script: str, show: bool) -> None:
    events = (Accepted(prompt_tokens=10, cached_tokens=4), *SCRIPTS[script])
    assert gathered(stream(*events, show_thinking=show)) == whole(*events, show_thinking=show)


@pytest.mark.parametrize("script", SCRIPTS)
def test_events_come_in_anthropics_order(script: str) -> None:
    kinds = [event["type"] for event in stream(Accepted(prompt_tokens=10), *SCRIPTS[script])]
    assert kinds[:2] == ["message_start", "ping"]
    assert kinds[-2:] == ["message_delta", "message_stop"]
    opened = False
    for kind in kinds[2:-2]:
        assert kind in ("content_block_start", "content_block_delta", "content_block_stop")
        assert opened == (kind != "content_block_start")
        opened = kind != "content_block_stop"
    assert not opened


def test_what_came_from_the_cache_is_counted_apart() -> None:
    start, *_, delta, _ = stream(Accepted(prompt_tokens=10, cached_tokens=4), FINISHED)
    usage = start["message"]["usage"]
    assert (usage["input_tokens"], usage["cache_read_input_tokens"], usage["output_tokens"]) == (6, 4, 0)
    assert (delta["usage"]["input_tokens"], delta["usage"]["output_tokens"]) == (6, 5)
    assert delta["usage"]["output_tokens_details"] == {"thinking_tokens": 2}


@pytest.mark.parametrize(
    ("finished", "reason", "stop"),
    [
        (FINISHED, "end_turn", None),
        (Finished(reason="length", usage=USAGE), "max_tokens", None),
        (Finished(reason="length", usage=Usage(completion_tokens=4)), "model_context_window_exceeded", None),
        (Finished(reason="stop", usage=USAGE, stop_sequence="END"), "stop_sequence", "END"),
        (Finished(reason="stop", usage=USAGE, stop_sequence="<|im_end|>"), "end_turn", None),
    ],
)
def test_why_it_ended(finished: Finished, reason: str, stop: str | None) -> None:
    message = whole(finished)
    assert (message["stop_reason"], message["stop_sequence"]) == (reason, stop)


def test_a_whole_call_is_to_be_run_whatever_stop_string_follows() -> None:
    behind = Finished(reason="tool_calls", usage=USAGE, stop_sequence="END")
    message = whole(ToolCallDelta(index=0, call=CALL), behind)
    assert (message["stop_reason"], message["stop_sequence"]) == ("tool_use", "END")
    cut = Finished(reason="length", usage=USAGE)
    assert whole(ToolCallDelta(index=0, call=CALL), cut)["stop_reason"] == "max_tokens"


def test_calls_have_ids_of_their_own_and_end_the_turn() -> None:
    message = whole(
        ToolCallDelta(index=0, call=CALL), ToolCallDelta(index=1, call=ToolCall(name="b", arguments={})), FINISHED
    )
    assert message["stop_reason"] == "tool_use"
    first, second = message["content"]
    assert first == {"type": "tool_use", "id": "toolu_x", "name": "add", "input": {"a": [1, "é"]}}
    assert second["id"].startswith("toolu_")
    assert second["id"] != first["id"]


def test_a_call_that_breaks_off_is_none() -> None:
    part = ToolCallPart(index=0, id="call_x", name="add", arguments='{"a":')
    ending = (TextDelta(text='<tool_call>{"a":'), Finished(reason="length", usage=USAGE))
    events = stream(Accepted(prompt_tokens=1), part, *ending)
    assert [event["type"] for event in events[2:6]] == [
        *("content_block_start", "content_block_delta", "content_block_stop", "content_block_start")
    ]
    assert events[-2]["delta"]["stop_reason"] == "max_tokens"
    assert [block["type"] for block in whole(part, *ending)["content"]] == ["text"]


def test_omitted_thinking_is_in_its_signature_alone() -> None:
    events = (ThinkingDelta(text="hm"), TextDelta(text="Yes"), FINISHED)
    (block, _) = whole(*events, show_thinking=False)["content"]
    assert block["thinking"] == ""
    assert restore("", block["signature"]) == "hm"
    shown = whole(*events)["content"][0]
    assert (shown["thinking"], shown["signature"]) == ("hm", sign("hm", omitted=False))


def test_an_error_in_the_middle_is_an_event() -> None:
    failed = Failed(error=ErrorInfo("overloaded", "full"))
    *_, last = stream(Accepted(prompt_tokens=1), TextDelta(text="Half"), failed)
    assert last == {"type": "error", "error": {"type": "overloaded_error", "message": "full"}}


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (ErrorInfo("invalid_request", "no"), "invalid_request_error", "no"),
        (ErrorInfo("unsupported", "no"), "invalid_request_error", "no"),
        (ErrorInfo("unauthorized", "no"), "authentication_error", "no"),
        (ErrorInfo("model_not_found", "no"), "not_found_error", "no"),
        (ErrorInfo("too_large", "no"), "request_too_large", "no"),
        (ErrorInfo("overloaded", "no"), "overloaded_error", "no"),
        (ErrorInfo("deadline_exceeded", "no"), "timeout_error", "no"),
        (ErrorInfo("worker_died", "no"), "api_error", "no"),
        (ErrorInfo("internal", "no"), "api_error", "no"),
        (
            ErrorInfo("context_length_exceeded", "no", {"prompt_tokens": 9, "context_length": 8}),
            "invalid_request_error",
            "prompt is too long: 9 tokens > 8 maximum",
        ),
    ],
)
def test_errors(error: ErrorInfo, kind: str, message: str) -> None:
    expected = {"type": "error", "error": {"type": kind, "message": message}}
    assert msgspec.json.decode(encode_error(error)) == expected


def test_a_code_that_clients_act_on_is_passed_on() -> None:
    error = ErrorInfo("unsupported", "no", {"param": "thread", "error_code": "thread_unsupported_request"})
    assert msgspec.json.decode(encode_error(error))["error"]["details"] == {"error_code": "thread_unsupported_request"}


def test_white_space_waits_for_its_word_however_long_it_is() -> None:
    told = reply()
    assert b"".join(told.chunk(TextDelta(text="\n"), 0) for _ in range(20_000)) == b""
    assert told.chunk(TextDelta(text="a"), 0).count(rb"\n") == 20_000
