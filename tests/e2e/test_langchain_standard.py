"""LangChain's standard integration suite for chat models, through `langchain-openai`, against a real server.

Nothing here is ours but the model's address. What the suite asks of other servers or of models that see and hear is
expected to fail, by name and with the reason.
"""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from langchain_core.language_models import BaseChatModel
from langchain_openai import ChatOpenAI
from langchain_tests.integration_tests import ChatModelIntegrationTests
from pydantic import SecretStr

from tests.e2e.serving import Server


def foreign(why: str) -> pytest.MarkDecorator:
    """The test does not apply, and is not run."""
    return pytest.mark.xfail(reason=why, run=False)


NO_MEDIA = "the demo model reads text alone; the server refuses other parts by name"


class TestChat(ChatModelIntegrationTests):
    """The demo model. Standard tests may only be overridden to mark them, hence the bare calls."""

    _server: Server

    @pytest.fixture(autouse=True)
    def _address(self, server: Server) -> None:
        type(self)._server = server

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatOpenAI

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {
            "model": "demo",
            "base_url": f"{self._server.url}/v1",
            "api_key": SecretStr("unused"),
            "http_client": httpx.Client(trust_env=False),
            "http_async_client": httpx.AsyncClient(trust_env=False),
            "max_retries": 0,
            "temperature": 0,
            "max_tokens": 256,
            "stream_usage": True,  # the package's default where the address is OpenAI's own
        }

    @property
    def supports_json_mode(self) -> bool:
        return True

    @property
    def supports_model_override(self) -> bool:
        return True

    @property
    def model_override_value(self) -> str:
        return "demo:latest"

    @foreign("it replays a recorded server, and this one is real")
    def test_stream_time(self) -> None: ...

    @foreign(NO_MEDIA)
    def test_image_inputs(self, model: BaseChatModel) -> None: ...

    @foreign(NO_MEDIA)
    def test_image_tool_message(self, model: BaseChatModel) -> None: ...

    @foreign(NO_MEDIA)
    def test_pdf_inputs(self, model: BaseChatModel) -> None: ...

    @foreign(NO_MEDIA)
    def test_pdf_tool_message(self, model: BaseChatModel) -> None: ...

    @foreign(NO_MEDIA)
    def test_audio_inputs(self, model: BaseChatModel) -> None: ...

    @foreign("Anthropic's content blocks are not part of OpenAI's API")
    def test_anthropic_inputs(self, model: BaseChatModel) -> None: ...
