from __future__ import annotations

from pathlib import Path

import pytest

from arriero.core.errors import PreviousResponseNotFound
from arriero.core.responses import SavedResponse
from arriero.service.responses import Responses


def saved(name: str, previous: str | None = None) -> SavedResponse:
    return SavedResponse(id=name, body=b"{}", input=b"[]", previous=previous)


async def test_which_response_of_a_chain_is_missing(tmp_path: Path) -> None:
    responses = Responses(tmp_path / "responses.sqlite", 9, 9999)
    try:
        await responses.save(saved("resp_1"))
        await responses.save(saved("resp_2", "resp_1"))
        assert [one.id for one in await responses.chain("resp_2")] == ["resp_1", "resp_2"]
        await responses.delete("resp_1")
        with pytest.raises(PreviousResponseNotFound, match=r"^A response before the one with id 'resp_2' not found"):
            await responses.chain("resp_2")
        with pytest.raises(PreviousResponseNotFound, match=r"^Previous response with id 'resp_1' not found"):
            await responses.chain("resp_1")
    finally:
        await responses.close()
