"""Scripted events encode to exactly the bytes in `replies/`, in the form of the Responses API."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from arriero.protocols.responses.reply import ResponseReply, encode_deleted, encode_items
from tests.wire.conftest import Golden
from tests.wire.test_replies import NOW, SCRIPTS, call

ECHO: dict[str, Any] = {"instructions": None, "metadata": {}, "tools": [], "text": {"format": {"type": "text"}}}


def encoder() -> ResponseReply:
    return ResponseReply(call(chat=True), "0123456789", 1790000000, ECHO, stored=True)


@pytest.mark.parametrize("script", SCRIPTS)
def test_streamed(script: str, golden: Golden) -> None:
    reply = encoder()
    golden(f"replies/responses-{script}.sse", b"".join(reply.chunk(event, NOW) for event in SCRIPTS[script]))


@pytest.mark.parametrize("script", ["text", "logprobs", "calls"])
def test_whole(script: str, golden: Golden) -> None:
    whole = encoder().whole(SCRIPTS[script], NOW)
    reply = encoder()
    streamed = b"".join(reply.chunk(event, NOW) for event in SCRIPTS[script])
    last = msgspec.json.decode(streamed.strip().rpartition(b"\ndata: ")[2])
    assert last["response"] == msgspec.json.decode(whole)
    golden(f"replies/responses-{script}.json", whole + b"\n")


def test_what_is_kept(golden: Golden) -> None:
    golden("replies/responses-deleted.json", encode_deleted("resp_1") + b"\n")
    items = [{"id": "in_1", "type": "message", "role": "user", "content": "x"}]
    golden("replies/responses-items.json", encode_items(items, more=True) + b"\n")
    golden("replies/responses-no-items.json", encode_items([], more=False) + b"\n")
