"""Forms with files in them (multipart/form-data, RFC 7578), read from a whole body. Small, and strict."""

from __future__ import annotations

import re
from email.message import Message
from urllib.parse import unquote

from arriero.core.errors import InvalidRequest

_MOST_PARTS = 16
_LONGEST_HEAD = 4096
# A value is quoted or a plain word, as .NET writes it; `filename*` is in RFC 5987's spelling, as aiohttp writes it.
_PARAMETER = re.compile(r';\s*([\w*.-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;"]+))')


def read_form(content_type: str, body: bytes) -> dict[str, tuple[str | None, bytes]]:
    """Return each part's file name (None for a plain value) and content, by the part's name. InvalidRequest."""
    header = Message()
    header["content-type"] = content_type
    boundary = header.get_boundary()
    if header.get_content_type() != "multipart/form-data" or not boundary or len(boundary) > 200:
        raise InvalidRequest("the body must be multipart/form-data")
    mark = b"\r\n--" + boundary.encode("latin-1", "replace")
    pieces = (b"\r\n" + body).split(mark, _MOST_PARTS + 2)  # a short mark may be there millions of times
    if len(pieces) - 2 > _MOST_PARTS:
        raise InvalidRequest(f"a form has at most {_MOST_PARTS} parts")
    if len(pieces) < 2 or not pieces[-1].startswith(b"--") or pieces[0].strip():
        raise InvalidRequest("the form is not whole")
    parts: dict[str, tuple[str | None, bytes]] = {}
    for piece in pieces[1:-1]:
        head, gap, content = piece.partition(b"\r\n\r\n")
        if not gap or len(head) > _LONGEST_HEAD:
            raise InvalidRequest("a part of the form has no head")
        name, filename = _disposition(head)
        parts[name] = (filename, content)
    return parts


def _disposition(head: bytes) -> tuple[str, str | None]:
    for line in head.decode("utf-8", "replace").split("\r\n"):
        name, _, value = line.partition(":")
        if name.strip().lower() == "content-disposition":
            parameters = _PARAMETER.findall(value)
            found = {key.lower(): re.sub(r"\\(.)", r"\1", text) or word for key, text, word in parameters}
            if "name" in found:
                spelled = unquote(found["filename*"].rpartition("'")[2]) if "filename*" in found else None
                return found["name"], found.get("filename", spelled)
    raise InvalidRequest("a part of the form has no name")
