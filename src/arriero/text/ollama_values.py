"""Messages and tools as Ollama hands them to Go templates: the same fields, types and texts.

Source: template/template.go and api/types.go of Ollama 0.33. A schema keeps the keys that Ollama's types have. One
thing differs on purpose: `.Function` and `.Function.Parameters` of a tool print as JSON, which is what templates that
print them expect; Ollama 0.14 to 0.33 print them in Go's notation (its issue 14601).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from arriero.core.request import Message, ToolCall, ToolSpec
from arriero.text.go_template.json_text import json_object, marshal
from arriero.text.go_template.printing import sprint
from arriero.text.go_template.values import (
    STRINGS,
    Map,
    NilPointer,
    Slice,
    Struct,
    StructField,
    Type,
)

_TYPESCRIPT = {
    "string": "string",
    "number": "number",
    "integer": "number",
    "boolean": "boolean",
    "array": "any[]",
    "object": "Record<string, any>",
    "null": "null",
}


def _json_text(value: Any) -> str:
    try:
        return marshal(value)
    except ValueError:  # Ollama leaves the error aside
        return ""


def _map_text(entries: Map) -> str:
    return "{}" if entries.is_nil else _json_text(entries)


def _type_text(names: Slice) -> str:
    return names[0] if len(names) == 1 else sprint([Slice(STRINGS, names)]) if names else ""


def _type_json(names: Slice) -> str:
    return marshal(names[0] if len(names) == 1 else Slice(STRINGS, names, is_nil=names.is_nil))


def _typescript(tool_property: Struct) -> str:
    """The property's type in TypeScript's words."""
    choices = tool_property.values["AnyOf"]
    if choices:
        return " | ".join(map(_typescript, choices))
    names = tool_property.values["Type"]
    return " | ".join(_TYPESCRIPT.get(name, "any") for name in names) if names else "any"


def _nil_slice(type_: Type) -> Any:
    return lambda: Slice(type_, is_nil=True)


def _text(name: str, json: str = "", *, omit_empty: bool = False) -> StructField:
    return StructField(name, json or name, omit_empty, zero=str)


ANY_SLICE = Type("[]interface {}")
PROPERTY_TYPE = Type("api.PropertyType", element=str, text=_type_text, to_json=_type_json)
PROPERTIES = Type("api.ToolPropertiesMap", to_json=lambda value: json_object(value.values), text=_json_text)
PROPERTY_SLICE = Type("[]api.ToolProperty", element=lambda: _property({}))
PROPERTY = Type(
    "api.ToolProperty",
    fields=(
        StructField("AnyOf", "anyOf", True, zero=_nil_slice(PROPERTY_SLICE)),
        StructField("Type", "type", True, zero=_nil_slice(PROPERTY_TYPE)),
        StructField("Items", "items", True, boxed=True),
        _text("Description", "description", omit_empty=True),
        StructField("Enum", "enum", True, zero=_nil_slice(ANY_SLICE)),
        StructField("Properties", "properties", True, zero=lambda: NilPointer("*api.ToolPropertiesMap")),
        StructField("Required", "required", True, zero=_nil_slice(STRINGS)),
    ),
    methods={"ToTypeScriptType": _typescript},
)
PROPERTY_MAP = Type("template.templateProperties", element=lambda: _property({}), text=_map_text)
PARAMETERS = Type(
    "template.templateToolFunctionParameters",
    fields=(
        _text("Type", "type"),
        StructField("Defs", "$defs", True, boxed=True),
        StructField("Items", "items", True, boxed=True),
        StructField("Required", "required", True, zero=_nil_slice(STRINGS)),
        StructField("Properties", "properties", zero=lambda: Map(PROPERTY_MAP, is_nil=True)),
    ),
    text=_json_text,
)
FUNCTION = Type(
    "template.templateToolFunction",
    fields=(_text("Name", "name"), _text("Description", "description"), StructField("Parameters", "parameters")),
    text=_json_text,
)
TOOL = Type(
    "template.templateTool",
    fields=(
        _text("Type", "type"),
        StructField("Items", "items", True, boxed=True),
        StructField("Function", "function"),
    ),
    text=_json_text,
)
TOOLS = Type("template.templateTools", element=dict, text=_json_text)
ARGUMENTS = Type("template.templateArgs", text=_map_text)
CALL_FUNCTION = Type(
    "template.templateToolCallFunction",
    fields=(StructField("Index", "Index", zero=int), _text("Name"), StructField("Arguments", "Arguments")),
)
CALL = Type("template.templateToolCall", fields=(_text("ID"), StructField("Function", "Function")))
CALLS = Type("[]template.templateToolCall", element=dict)
IMAGES = Type("[]api.ImageData", element=dict)
MESSAGE = Type(
    "template.templateMessage",
    fields=(
        *map(_text, ("Role", "Content", "Thinking")),
        StructField("Images", "Images", zero=_nil_slice(IMAGES)),
        StructField("ToolCalls", "ToolCalls", zero=_nil_slice(CALLS)),
        *map(_text, ("ToolName", "ToolCallID")),
    ),
)
MESSAGES = Type("[]*template.templateMessage", element=dict)


def plain(value: Any) -> Any:
    """JSON as Go decodes it into any: every number is a float64."""
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def message_values(messages: Sequence[Message]) -> Slice:
    """`.Messages`."""
    return Slice(MESSAGES, [_message(message) for message in messages])


def tool_values(tools: Sequence[ToolSpec] | None) -> Slice:
    """`.Tools`; None is a nil slice."""
    return Slice(TOOLS, [_tool(tool) for tool in tools or ()], is_nil=tools is None)


def _message(message: Message) -> Struct:
    values = {
        "Role": message.role,
        "Content": message.content,
        "Thinking": message.thinking or "",
        "ToolName": message.tool_name or "",
        "ToolCallID": message.tool_call_id or "",
    }
    calls = [_call(index, call) for index, call in enumerate(message.tool_calls)]
    return Struct(MESSAGE, values | ({"ToolCalls": Slice(CALLS, calls)} if calls else {}), is_pointer=True)


def _call(index: int, call: ToolCall) -> Struct:
    # Go templates range over arguments: a text that is none stands as a member.
    arguments = Map(ARGUMENTS, plain({"arguments": call.unread} if call.unread else call.arguments))
    function = Struct(CALL_FUNCTION, {"Index": index, "Name": call.name, "Arguments": arguments})
    return Struct(CALL, {"ID": call.id, "Function": function})


def _tool(tool: ToolSpec) -> Struct:
    schema = tool.parameters
    parameters: dict[str, Any] = {
        "Type": _string(schema.get("type")),
        "Defs": plain(schema.get("$defs")),
        "Items": plain(schema.get("items")),
        "Required": _strings(schema.get("required"), STRINGS),
    }
    properties = schema.get("properties")
    if isinstance(properties, Mapping):
        parameters["Properties"] = Map(PROPERTY_MAP, {key: _property(one) for key, one in properties.items()})
    function = {"Name": tool.name, "Description": tool.description, "Parameters": Struct(PARAMETERS, parameters)}
    return Struct(TOOL, {"Type": "function", "Function": Struct(FUNCTION, function)})


def _property(schema: Any) -> Struct:
    if not isinstance(schema, Mapping):
        schema = {}
    values: dict[str, Any] = {
        "Items": plain(schema.get("items")),
        "Description": _string(schema.get("description")),
        "Required": _strings(schema.get("required"), STRINGS),
    }
    names = schema.get("type")
    values["Type"] = _strings([names] if isinstance(names, str) else names, PROPERTY_TYPE)
    if isinstance(schema.get("anyOf"), list):
        values["AnyOf"] = Slice(PROPERTY_SLICE, map(_property, schema["anyOf"]))
    if isinstance(schema.get("enum"), list):
        values["Enum"] = plain(schema["enum"])
    inner = schema.get("properties")
    if isinstance(inner, Mapping):
        properties = Struct(PROPERTIES, {}, is_pointer=True)
        properties.values = {key: _property(one) for key, one in inner.items()}
        values["Properties"] = properties
    return Struct(PROPERTY, values)


def _string(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _strings(value: Any, type_: Type) -> Slice:
    known = isinstance(value, list)
    return Slice(type_, [one for one in value if isinstance(one, str)] if known else (), is_nil=not known)
