"""What a server is asked before the first call."""

from __future__ import annotations

import socket

import pytest

from arriero.client import AsyncClient, ConnectionFailed, detect


async def test_what_listens_and_says_nothing_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detect, "ASK_S", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        async with AsyncClient(f"http://127.0.0.1:{silent.getsockname()[1]}", model="m") as client:
            with pytest.raises(ConnectionFailed, match=r"has not said which API it has within 0\.05 s"):
                await client.generate("q")
