"""Conversations: make, find, change, forget, them and their items. Where responses are not kept, nor are they."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from arriero.core.errors import InvalidRequest, StoredNotFound, StoreError, UnsupportedFeature
from arriero.core.responses import SavedConversation, SavedItem
from arriero.service.responses import Responses

log = logging.getLogger(__name__)


class Conversations:
    """In the file, and by the thread, of `responses`."""

    def __init__(self, responses: Responses) -> None:
        self._responses = responses

    async def create(self, saved: SavedConversation, items: Sequence[SavedItem]) -> None:
        """Keep a new one. UnsupportedFeature where nothing is kept; InvalidRequest where there is no room for it."""
        self._check()
        try:
            await self._responses.run(lambda store: store.conversations.create(saved, items))
        except StoreError as error:
            if "size" not in error.details:  # not too large: the disk or the file is at fault
                raise
            raise InvalidRequest(error.message, param="items") from None

    async def get(self, conversation_id: str) -> SavedConversation:
        """The conversation of that id; StoredNotFound."""
        self._check()
        found = await self._responses.run(lambda store: store.conversations.get(conversation_id))
        if found is None:
            raise _missing(conversation_id)
        return found

    async def update(self, conversation_id: str, metadata: dict[str, str]) -> SavedConversation:
        """Give it other metadata; StoredNotFound."""
        self._check()
        await self._responses.run(lambda store: store.conversations.update(conversation_id, metadata))
        return await self.get(conversation_id)

    async def delete(self, conversation_id: str) -> None:
        """Forget it and its items; StoredNotFound."""
        self._check()
        if not await self._responses.run(lambda store: store.conversations.delete(conversation_id)):
            raise _missing(conversation_id)

    async def items(self, conversation_id: str) -> list[SavedItem]:
        """Its items, the oldest first; StoredNotFound."""
        self._check()
        found = await self._responses.run(lambda store: store.conversations.items(conversation_id))
        if found is None:
            raise _missing(conversation_id)
        return found

    async def add(self, conversation_id: str, items: Sequence[SavedItem]) -> None:
        """Append items; StoredNotFound, InvalidRequest where there is no room for them."""
        self._check()
        try:
            added = await self._responses.run(lambda store: store.conversations.add(conversation_id, items))
        except StoreError as error:
            if "size" not in error.details:  # not too large: the disk or the file is at fault
                raise
            raise InvalidRequest(error.message, param="items") from None
        if not added:
            raise _missing(conversation_id)

    async def go_on(self, conversation_id: str, items: Callable[[list[str]], Sequence[SavedItem]]) -> bool:
        """Append the `items` that are made of the ids that it has; whether that could be done.

        An answer is worth more than its record.
        """
        try:
            await self.add(conversation_id, items([item.id for item in await self.items(conversation_id)]))
        except (InvalidRequest, StoredNotFound, StoreError) as error:
            log.warning("conversation %s does not go on: %s", conversation_id, error.message)
            return False
        return True

    async def delete_item(self, conversation_id: str, item_id: str) -> SavedConversation:
        """Forget one item; StoredNotFound."""
        conversation = await self.get(conversation_id)
        if not await self._responses.run(lambda store: store.conversations.delete_item(conversation_id, item_id)):
            raise missing_item(item_id)
        return conversation

    def _check(self) -> None:
        if not self._responses.on:
            text = "conversations are not supported here: nothing is kept (ARRIERO_STORE_RESPONSES=0)"
            raise UnsupportedFeature(text, param="conversation")


def _missing(conversation_id: str) -> StoredNotFound:
    return StoredNotFound(f"Conversation with id '{conversation_id[:64]}' not found.")


def missing_item(item_id: str) -> StoredNotFound:
    """What is said of an item that is not in its conversation."""
    return StoredNotFound(f"Item with id '{item_id[:64]}' not found.")
