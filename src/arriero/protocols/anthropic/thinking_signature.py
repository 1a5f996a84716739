"""Signatures of thinking blocks in Anthropic's replies.

A client sends a block back as it came, and no key of ours guards it: the signature says which text it belongs to, or,
where the client wanted the text omitted, carries it, so that the next turn of a tool loop still has it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib

_DIGEST, _TEXT = "arriero-1.", "arriero-2."


def sign(thinking: str, *, omitted: bool) -> str:
    """Return the signature of a block; with `omitted` the block itself goes out empty."""
    if omitted:
        return _TEXT + base64.urlsafe_b64encode(thinking.encode()).decode()
    return _DIGEST + base64.urlsafe_b64encode(hashlib.sha256(thinking.encode()).digest()).decode()


def restore(thinking: str, signature: str) -> str:
    """Return the text of a block that came back: its own, or what its signature carries. Others' signatures pass."""
    if thinking or not signature.startswith(_TEXT):
        return thinking
    try:
        return base64.urlsafe_b64decode(signature.removeprefix(_TEXT)).decode()
    except (binascii.Error, ValueError):  # cut off or made up: there is no text to restore
        return ""
