"""Anthropic's tools and tool_choice to core's."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from arriero.core.model import ModelSpec
from arriero.core.request import ToolSpec
from arriero.protocols.anthropic.fields import bad, text_field, unsupported
from arriero.protocols.anthropic.inside import check_inside
from arriero.protocols.tool_schema import NO_OBJECT, is_for_objects
from arriero.protocols.unknown import Unknown

FIELDS = (
    *("name", "type", "description", "input_schema", "input_examples", "strict"),
    *("allowed_callers", "defer_loading", "cache_control", "eager_input_streaming"),
)
"""What is read of a tool."""


class Tools(NamedTuple):
    """The tools that the model is told of, whether several calls may come at once, whether it must call, and which.

    `eager`: a call's input is told of while it is written. `ignored` names fields that nobody knows.
    """

    tools: tuple[ToolSpec, ...] = ()
    parallel: bool = True
    must_call: bool = False
    names: tuple[str, ...] | None = None
    eager: bool = False
    ignored: tuple[str, ...] = ()


def read_tools(wire: Any, choice: Any, spec: ModelSpec, model: str, unknown: Unknown = "refuse") -> Tools:
    """Return the tools of a request; `model` is its name as the client wrote it. Errors carry `param`."""
    if not isinstance(wire, list):
        raise bad("tools", "must be a list")
    tools = tuple(_tool(item, f"tools.{index}") for index, item in enumerate(wire))
    if len({tool.name for tool in tools}) < len(tools):
        raise bad("tools", "tool names must be unique")
    strange = [name for at, item in enumerate(wire) for name in check_inside(item, f"tools.{at}", FIELDS, unknown)]
    ignored = tuple(dict.fromkeys(strange))
    kind, parallel = _choice(choice, tools)
    if kind == "none":
        return Tools(ignored=ignored)
    if tools and "tools" not in spec.capabilities:
        raise unsupported("tools", f'"{model}" does not support tools')
    names = (choice["name"],) if kind == "tool" else None
    eager = any(item.get("eager_input_streaming") is True for item in wire)
    return Tools(tools, parallel, kind in ("any", "tool"), names, eager, ignored)


def _tool(item: Any, at: str) -> ToolSpec:
    if not isinstance(item, dict):
        raise bad(at, "must be an object")
    kind = item.get("type")
    if kind not in (None, "custom"):
        shown = kind[:64] if isinstance(kind, str) else "?"
        raise unsupported(f"{at}.type", f"tools of type '{shown}' run on Anthropic's servers or need its models")
    if item.get("defer_loading"):
        raise unsupported(f"{at}.defer_loading", "there is no tool search: send the tools that count")
    if item.get("allowed_callers") not in (None, ["direct"]):
        raise unsupported(f"{at}.allowed_callers", "only the model itself calls tools")
    name = text_field(item, "name", at)
    if not name:
        raise bad(f"{at}.name", "must not be empty")
    schema = item.get("input_schema")
    if not isinstance(schema, dict):
        raise bad(f"{at}.input_schema", "field required" if schema is None else "must be an object")
    if not is_for_objects(schema):
        raise bad(f"{at}.input_schema", NO_OBJECT)
    description = item.get("description") or ""
    if not isinstance(description, str):
        raise bad(f"{at}.description", "must be a string")
    strict = item.get("strict")
    if not isinstance(strict, bool | None):
        raise bad(f"{at}.strict", "must be a boolean")
    return ToolSpec(
        name=name, description=_with_examples(description, item, at), parameters=schema, strict=bool(strict)
    )


def _with_examples(description: str, item: dict[str, Any], at: str) -> str:
    """Templates know no examples of a tool's input, so its description has them."""
    examples = item.get("input_examples") or []
    if not isinstance(examples, list) or not all(isinstance(example, dict) for example in examples):
        raise bad(f"{at}.input_examples", "must be a list of objects")
    lines = [description] if description else []
    lines += [f"Example: {msgspec.json.encode(example).decode()}" for example in examples]
    return "\n".join(lines)


def _choice(choice: Any, tools: tuple[ToolSpec, ...]) -> tuple[str, bool]:
    """Return the kind of choice, and whether several calls may come at once."""
    if choice is None:
        return "auto", True
    if not isinstance(choice, dict):
        raise bad("tool_choice", "must be an object")
    kind = text_field(choice, "type", "tool_choice")
    alone = choice.get("disable_parallel_tool_use")
    if not isinstance(alone, bool | None):
        raise bad("tool_choice.disable_parallel_tool_use", "must be a boolean")
    if kind not in ("auto", "any", "tool", "none"):
        raise bad("tool_choice.type", "must be auto, any, tool or none")
    if kind == "tool" and text_field(choice, "name", "tool_choice") not in [tool.name for tool in tools]:
        raise bad("tool_choice.name", "no tool has this name")
    if kind in ("any", "tool") and not tools:
        raise bad("tool_choice", "there are no tools to choose from")
    return kind, not alone
