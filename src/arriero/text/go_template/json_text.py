"""Values to JSON as Go's encoding/json writes them: compact, maps sorted, <, > and & escaped."""

from __future__ import annotations

import json
import re
from typing import Any

from arriero.text.go_template.floats import json_float
from arriero.text.go_template.values import NilPointer, Struct, is_nil, is_true, named_type, unboxed

_HTML = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
_ESCAPED = re.compile("[<>&\u2028\u2029\ud800-\udfff]")


def json_string(text: str) -> str:
    """A JSON string; bytes that are no UTF-8 become U+FFFD."""
    return _ESCAPED.sub(lambda found: _HTML.get(found[0], "\\ufffd"), json.dumps(text, ensure_ascii=False))


def json_object(entries: dict[str, Any]) -> str:
    """An object with its entries in the order that they have."""
    return "{" + ",".join(f"{json_string(key)}:{marshal(value)}" for key, value in entries.items()) + "}"


def marshal(value: Any) -> str:
    """Return the JSON of `value`; ValueError where there is none (NaN)."""
    value = unboxed(value)
    named = named_type(value)
    if named is not None and named.to_json is not None:
        return named.to_json(value)
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return str(int(value))
        case float():
            return json_float(value)
        case str():
            return json_string(value)
        case None | NilPointer():
            return "null"
        case list():
            return "null" if is_nil(value) else "[" + ",".join(marshal(one) for one in value) + "]"
        case dict():
            return "null" if is_nil(value) else json_object(dict(sorted(value.items())))
        case Struct():
            fields = (
                (one.json, value.values[one.name])
                for one in value.type.fields
                if not (one.omit_empty and not is_true(value.values[one.name]))
            )
            return json_object(dict(fields))
    raise ValueError(f"json: unsupported type: {type(value).__name__}")
