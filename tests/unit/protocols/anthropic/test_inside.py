"""Fields inside the objects of messages: the package's own are known or refused by name, others are never let pass."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, Union, get_args, get_origin, get_type_hints

import anthropic.types as plain
import anthropic.types.beta as beta
import msgspec
import pytest
from anthropic.types import tool_union_param
from anthropic.types.beta import beta_content_block_param, beta_tool_union_param
from anthropic.types.beta import message_create_params as beta_create
from anthropic.types.message_create_params import MessageCreateParamsStreaming
from typing_extensions import is_typeddict

from arriero.core.errors import ArrieroError, UnsupportedFeature
from arriero.protocols.anthropic import inside, messages, tools
from arriero.protocols.anthropic.fields import HARMLESS, NEUTRAL
from arriero.protocols.anthropic.request import decode_messages
from arriero.protocols.call import Call
from tests.unit.protocols.conftest import find

USER = {"role": "user", "content": "x"}
TOOL = {"name": "f", "input_schema": {"type": "object"}}
CHOICES, THINKING = inside.KINDS["tool_choice"], inside.KINDS["thinking"]


def block(kind: str) -> Collection[str]:
    return {*messages.BLOCK_FIELDS[kind], "type", "cache_control"}


# The package's type, without "Beta" and "Param" around it → what is known here.
KNOWN: dict[str, Collection[str]] = {
    "Tool": tools.FIELDS,
    "ToolChoiceAuto": CHOICES["auto"],
    "ToolChoiceAny": CHOICES["any"],
    "ToolChoiceTool": CHOICES["tool"],
    "ToolChoiceNone": CHOICES["none"],
    "ThinkingConfigEnabled": THINKING["enabled"],
    "ThinkingConfigAdaptive": THINKING["adaptive"],
    "ThinkingConfigDisabled": THINKING["disabled"],
    "ThinkingConfigBetweenTools": THINKING["between_tools"],
    "OutputConfig": inside.OBJECTS["output_config"],
    "JSONOutputFormat": inside.FORMAT,
    "ContextManagementConfig": inside.OBJECTS["context_management"],
    "ClearThinking20251015Edit": inside.EDIT,
    "BillingPolicy": inside.QUIET["billing_policy"],
    "CacheControlEphemeral": inside.QUIET["cache_control"],
    "Diagnostics": inside.QUIET["diagnostics"],
    "Metadata": inside.QUIET["metadata"],
    "UserMessage": messages.MESSAGE,
    "AssistantMessage": messages.MESSAGE,
    "SystemMessage": messages.SYSTEM_MESSAGE,
    "TextBlock": block("text"),
    "ThinkingBlock": block("thinking"),
    "RedactedThinkingBlock": block("redacted_thinking"),
    "ToolUseBlock": block("tool_use"),
    "ToolResultBlock": block("tool_result"),
}
# Objects that are read whole or not at all: schemas, what is refused by its type or as soon as it holds anything.
OPAQUE = {
    *("InputSchemaTyped", "TokenTaskBudget", "ThinkingBlockBinding", "SystemMessageOutputConfig", "DirectCaller"),
    "FallbackCreditToken",
}
REFUSED_WHOLE = {"Compact20260112Edit", "ClearToolUses20250919Edit", "ToolReferenceBlock", "BrowserStateBlock"}


def named(kind: Any) -> str:
    return str(kind.__name__).removeprefix("Beta").removesuffix("Param")


def objects(hint: Any) -> Iterator[Any]:
    """The package's objects in a type."""
    if is_typeddict(hint):
        yield hint
    for inner in get_args(hint):
        yield from objects(inner)


def refused_by_type(kind: Any) -> bool:
    """Whether it is among the blocks and tools that `test_what_is_not_here_is_refused_by_its_type` sends."""
    return kind in [one for one, _ in (*others(BLOCKS), *others(TOOLS))]


def reached(kind: Any, seen: dict[str, Any]) -> None:
    for name, hint in get_type_hints(kind, include_extras=True).items():
        for inner in objects(hint):
            done = named(inner) in seen or named(inner) in OPAQUE | REFUSED_WHOLE or refused_by_type(inner)
            if done or name in NEUTRAL or name in ("citations", "caller", "keep"):
                continue
            seen[named(inner)] = inner
            reached(inner, seen)


def literal(kind: Any) -> str:
    """The text that the package's type has for `type`."""
    hint = get_type_hints(kind)["type"]
    while get_origin(hint) is Union:
        hint = get_args(hint)[0]
    return str(get_args(hint)[0])


BLOCKS = (*get_args(plain.ContentBlockParam), *get_args(beta_content_block_param.BetaContentBlockParam))
TOOLS = (*get_args(tool_union_param.ToolUnionParam), *get_args(beta_tool_union_param.BetaToolUnionParam))


def others(kinds: tuple[Any, ...]) -> list[tuple[Any, str]]:
    """Those of the union that are no objects of ours, with their type's name."""
    return [(kind, literal(kind)) for kind in kinds if is_typeddict(kind) and named(kind) not in KNOWN]


def decode(unknown: Any = "refuse", **fields: Any) -> Call:
    body = msgspec.json.encode({"model": "demo", "max_tokens": 9, "messages": [USER]} | fields)
    return decode_messages(body, find, unknown=unknown)


def test_every_field_of_the_package_is_known() -> None:
    seen: dict[str, Any] = {}
    for root in (MessageCreateParamsStreaming, beta_create.MessageCreateParamsStreaming):
        reached(root, seen)
    assert sorted(seen.keys() ^ KNOWN.keys()) == []
    for name, known in KNOWN.items():
        for kind in (getattr(plain, f"{name}Param", None), getattr(beta, f"Beta{name}Param", None)):
            fields = set() if kind is None else set(get_type_hints(kind))
            assert sorted(fields - set(known)) == [], name


def test_what_is_not_here_is_refused_by_its_type() -> None:
    for _, kind in others(BLOCKS):
        with pytest.raises(UnsupportedFeature) as raised:
            decode(messages=[{"role": "user", "content": [{"type": kind}]}])
        assert raised.value.details["param"] == "messages.0.content.0.type"
    for _, kind in others(TOOLS):
        with pytest.raises(UnsupportedFeature) as raised:
            decode(tools=[{"type": kind, "name": "f"}])
        assert raised.value.details["param"] == "tools.0.type"
    assert len(others(BLOCKS)) > 10
    assert len(others(TOOLS)) > 10


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"tool_choice": {"type": "auto", "name": "f"}}, "tool_choice.name: only goes with the type tool"),
        (
            {"tool_choice": {"type": "none", "disable_parallel_tool_use": True}},
            "tool_choice.disable_parallel_tool_use: only goes with the type auto or any or tool",
        ),
        ({"thinking": {"type": "disabled", "display": "omitted"}}, "thinking.display: only goes with the type"),
        ({"thinking": {"type": "adaptive", "dispaly": 3}}, "thinking.dispaly: unknown field: did you mean 'display'?"),
        (
            {"context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all", "odd": 1}]}},
            "context_management.edits.0.odd: unknown field",
        ),
        ({"output_format": {"type": "json_schema", "schema": {}, "strict": True}}, "output_format.strict: unknown"),
        (
            {"messages": [{"role": "system", "content": "x", "output_config": {"effort": "low"}}, USER]},
            "messages.0.output_config: say it for the whole request",
        ),
        ({"messages": [{"role": "system", "content": "x", "clear_at": "noon"}, USER]}, "messages.0.clear_at: must be"),
        (
            {"messages": [{"role": "system", "content": "x", "clear_at": "next_user_message"}, USER, USER | {"n": 1}]},
            "",
        ),
    ],
)
def test_strange_fields_are_told_by_name(fields: dict[str, Any], text: str) -> None:
    if not text:
        assert decode(**fields).ignored == ("messages.n",)
        return
    with pytest.raises(ArrieroError) as raised:
        decode(**fields)
    assert raised.value.message.startswith(text)
    assert raised.value.details["param"] == text.partition(":")[0]


def test_strange_fields_can_be_warned_of() -> None:
    fields: dict[str, Any] = {
        "tools": [TOOL],
        "tool_choice": {"type": "auto", "name": "f", "odd": 1},
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all", "odd": 1}]},
        "output_format": {"type": "json_schema", "schema": {}, "strict": True},
    }
    told = ["context_management.edits.odd", "output_format.strict", "tool_choice.name", "tool_choice.odd"]
    assert sorted(decode("warn", **fields).ignored) == told


def test_what_cannot_change_an_answer_is_only_named() -> None:
    quiet = {name: {"odd": 1} for name in inside.QUIET}
    assert quiet.keys() <= HARMLESS
    assert sorted(decode(**quiet).ignored) == [f"{name}.odd" for name in sorted(quiet)]


def test_a_system_turn_may_last_until_the_users_next_one() -> None:
    brief = {"role": "system", "content": "Be brief.", "clear_at": "next_user_message"}
    over = decode(messages=[USER, brief, {"role": "assistant", "content": "y"}, USER]).request.messages or ()
    assert [message.role for message in over] == ["user", "assistant", "user"]
    for turns in ([USER, brief], [USER, brief | {"clear_at": "never"}, USER]):
        assert [message.content for message in decode(messages=turns).request.messages or ()][1] == "Be brief."
