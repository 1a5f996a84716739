"""Whose fault it is that a conversation cannot be kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from arriero.core.errors import InvalidRequest, StoreError
from arriero.core.responses import SavedConversation, SavedItem
from arriero.service.conversations import Conversations
from arriero.service.responses import Responses

NEW = SavedConversation(id="conv_1", created=5, metadata={})
LARGE = [SavedItem(id="item_1", body=b"x" * 200)]


async def test_what_is_too_large_is_the_clients_fault(tmp_path: Path) -> None:
    responses = Responses(tmp_path / "responses.sqlite", 4, 100)
    conversations = Conversations(responses)
    with pytest.raises(InvalidRequest, match="there is room for 100"):
        await conversations.create(NEW, LARGE)
    await conversations.create(NEW, [])
    with pytest.raises(InvalidRequest, match="there is room for 100"):
        await conversations.add(NEW.id, LARGE)
    await responses.close()


async def test_a_file_that_cannot_be_written_is_not(tmp_path: Path) -> None:
    responses = Responses(tmp_path, 4, 100)
    with pytest.raises(StoreError, match="cannot be opened"):
        await Conversations(responses).create(NEW, [])
    await responses.close()
