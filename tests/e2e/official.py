"""The official packages' clients of a server: no retries, no proxies, no key that means anything."""

from __future__ import annotations

import anthropic
import openai

from tests.e2e.serving import Server

LIMIT = 110.0  # seconds; a little less than a test may take


def openai_client(server: Server) -> openai.OpenAI:
    """A client of the `openai` package."""
    plain = openai.DefaultHttpxClient(trust_env=False)
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key="unused", max_retries=0, http_client=plain, timeout=LIMIT)


def anthropic_client(server: Server) -> anthropic.Anthropic:
    """A client of the `anthropic` package."""
    plain = anthropic.DefaultHttpxClient(trust_env=False)
    return anthropic.Anthropic(base_url=server.url, api_key="unused", max_retries=0, http_client=plain)
