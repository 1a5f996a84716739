"""The terminal of a text that stands bare between marks: what of its schema can be held there. Pure text."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from llguidance import regex_to_lark

_UNHELD = frozenset({"allOf", "anyOf", "oneOf", "not", "if", "format", "contentEncoding", "contentMediaType"})
"""What may be said of a text that its characters are not held to."""


def text_terminal(schema: Any, texts: Sequence[str], *, strict: bool, margin: str = "") -> str:
    """The terminal of one of `texts`, or, where there are none, of any text that `schema` allows.

    `margin` may stand around texts that are held: a regular expression for what the notation lets stand there.
    ValueError where a strict tool asks for more than can be held.
    """
    if texts:
        return f"/{margin}({'|'.join(map(regex_quoted, texts))}){margin}/"
    said = schema if isinstance(schema, dict) else {}
    wanted = said.get("pattern")
    if isinstance(wanted, str) and wanted.startswith("^") and wanted.endswith("$") and not wanted.endswith("\\$"):
        return f"/{margin}({regex_to_lark(wanted[1:-1], '')}){margin}/"
    kind = said.get("type")
    if strict and (not _UNHELD.isdisjoint(said) or wanted is not None or not (kind is None or kind == "string")):
        raise ValueError("its calls write texts bare, which cannot be held to this schema")
    least, most = said.get("minLength", 0), said.get("maxLength")
    if least or most is not None:
        return f"/{margin}(?s:.{{{int(least)},{'' if most is None else int(most)}}}){margin}/"
    return "/(?s:.*)/"


def regex_quoted(text: str) -> str:
    """A regular expression that matches `text` alone."""
    return re.sub(r"([\\/.+*?()|\[\]{}^$#&~\-])", r"\\\1", text).replace("\n", "\\n")


def quoted(text: str) -> str:
    """A terminal that matches `text` alone."""
    return json.dumps(text, ensure_ascii=False)
