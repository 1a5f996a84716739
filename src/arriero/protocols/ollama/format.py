"""Ollama's `format`: nothing, "json", or a JSON schema, as a constraint."""

from __future__ import annotations

from typing import Any

import msgspec

from arriero.core.constraint import Constraint
from arriero.core.errors import InvalidOption


def read_format(value: Any) -> Constraint | None:
    """Return the constraint, None for null and ""; InvalidOption with Ollama's text for anything else.

    Whether the schema can be held is known where the vocabulary is: the worker refuses it before the answer begins.
    """
    if value is None or value == "":
        return None
    if value == "json":
        return Constraint(kind="json_object")
    if isinstance(value, dict):
        return Constraint(kind="json_schema", schema=value)
    shown = msgspec.json.encode(msgspec.json.encode(value).decode()).decode()
    # Ollama answers this one like an option of the wrong type.
    raise InvalidOption(f'invalid format: {shown}; expected "json" or a valid JSON Schema object', param="format")
