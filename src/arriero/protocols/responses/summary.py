"""What a compacted conversation is made of: the question for a summary, and the item that carries the answer."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from arriero.core.errors import InvalidRequest, UnsupportedFeature
from arriero.core.request import Message

ASK = (
    "Summarize our conversation so far, so that it can be continued from the summary alone. Keep names, numbers, "
    "decisions, open questions, and the results of tools. Answer with the summary only."
)
_PREFIX = "arriero-1."


def summary_item(text: str, reply_id: str) -> dict[str, Any]:
    """Return the item for a summary. It is not encrypted: its content is the text in base64, behind a mark."""
    content = _PREFIX + base64.b64encode(text.encode()).decode()
    return {"id": f"cmp_{reply_id}", "type": "compaction", "encrypted_content": content}


def summary_turns(item: dict[str, Any], at: str) -> tuple[Message, Message]:
    """Return the two turns that an item stands for: that a summary was asked for, and what it was.

    UnsupportedFeature for an item of somebody else's, which only they can read.
    """
    content = item.get("encrypted_content")
    if not isinstance(content, str):
        raise InvalidRequest("'encrypted_content' must be a text", param=f"{at}.encrypted_content")
    if not content.startswith(_PREFIX):
        text = "only a compaction that was made by this server can be read here"
        raise UnsupportedFeature(text, param=f"{at}.encrypted_content")
    try:
        text = base64.b64decode(content.removeprefix(_PREFIX), validate=True).decode()
    except (binascii.Error, ValueError):
        raise InvalidRequest("this compaction was changed on its way", param=f"{at}.encrypted_content") from None
    return Message(role="user", content=ASK), Message(role="assistant", content=text)
