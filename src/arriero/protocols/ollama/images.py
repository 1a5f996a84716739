"""Images in Ollama's requests: base64 as Go's JSON decoder reads it, and what a model without vision says to them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from arriero.core.errors import InvalidRequest, NotImplementedYet, UnsupportedFeature
from arriero.core.model import ModelSpec

_ALPHABET = re.compile(r"[A-Za-z0-9+/]*")


def check_images(images: Sequence[Any], spec: ModelSpec, full_name: str) -> None:
    """Refuse images: no base64, a model that cannot see, or any at all, as no runner here reads them."""
    for image in images:
        if not isinstance(image, str):
            raise InvalidRequest("invalid request: images must be base64 texts", param="images")
        offset = illegal_byte(image)
        if offset is not None:
            raise InvalidRequest(f"illegal base64 data at input byte {offset}", param="images")
    if images and "vision" not in spec.capabilities:
        raise UnsupportedFeature(f"{full_name} does not support vision", param="images")
    if images:
        raise NotImplementedYet("images is not supported by this version of arriero", param="images")


def illegal_byte(text: str) -> int | None:
    """Where Go's base64 decoder (standard alphabet, padded) gives up; None for what it can read."""
    text = text.replace("\r", "").replace("\n", "")
    matched = _ALPHABET.match(text)
    end = matched.end() if matched else 0
    if len(text) % 4 == 0 and text[end:] in ("", "=", "=="):
        return None
    return end if end < len(text) and text[end] != "=" else len(text) - len(text) % 4
