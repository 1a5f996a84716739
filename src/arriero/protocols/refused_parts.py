"""What is said to parts of a message that are no text: images, audio, files. Texts that Ollama has are Ollama's."""

from __future__ import annotations

import binascii
import re
from typing import Any

from arriero.core.errors import UnsupportedFeature

URLS = "image URLs are not currently supported, please use base64 encoded data instead"
INVALID = "invalid image input"
_DATA = re.compile(r"data:(?:image/(?:jpeg|jpg|png|webp))?;base64,")


def refused_part(part: dict[str, Any], kind: str, at: str) -> UnsupportedFeature:
    """The error for the part of that kind, which is not a text; `at` is where its type stands."""
    if kind in ("image_url", "input_image"):
        return UnsupportedFeature(_image(part), param=at)
    if kind == "input_audio":
        return UnsupportedFeature("this model cannot hear: send text", param=at)
    if kind in ("file", "input_file"):
        return UnsupportedFeature("file inputs are not currently supported: send their text", param=at)
    return UnsupportedFeature(f"content parts of type '{kind[:64]}' are not supported", param=at)


def _image(part: dict[str, Any]) -> str:
    url = part.get("image_url")
    if isinstance(url, dict):
        url = url.get("url")
    if not isinstance(url, str):
        return INVALID
    if url.lower().startswith(("http://", "https://")):
        return URLS
    head = _DATA.match(url)
    try:
        data = head is not None and binascii.a2b_base64(url[head.end() :], strict_mode=True)
    except ValueError:
        data = b""
    return "this model cannot see images: send text" if data else INVALID
