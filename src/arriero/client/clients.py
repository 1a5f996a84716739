"""Client and AsyncClient: the calls over a server's HTTP API."""

from __future__ import annotations

from arriero.client.address import from_environment, key_from_environment, parse
from arriero.client.async_calls import AsyncCalls
from arriero.client.calls import Calls
from arriero.client.detect import Api, ServerSpeaker


class AsyncClient(AsyncCalls):
    """Talks to an arriero, an Ollama or any server with the OpenAI API.

    `host` is read as Ollama reads OLLAMA_HOST, which is its default; an URL that ends with /v1 works too. `api`
    ("ollama" or "openai") spares the question which one the server speaks. `api_key` goes along as a Bearer token;
    its default is ARRIERO_API_KEY, then OLLAMA_API_KEY. `timeout` bounds each exchange in seconds. `model` is used
    where a call names none.
    """

    def __init__(
        self,
        host: str | None = None,
        *,
        model: str | None = None,
        api: Api | None = None,
        api_key: str | None = None,
        timeout: float | None = None,
    ) -> None:
        self.address = from_environment() if host is None else parse(host)
        key = key_from_environment() if api_key is None else api_key
        super().__init__(ServerSpeaker(self.address, api=api, api_key=key, timeout=timeout), model)


class Client(Calls):
    """AsyncClient's calls for code that is not async; the arguments are the same."""

    def __init__(
        self,
        host: str | None = None,
        *,
        model: str | None = None,
        api: Api | None = None,
        api_key: str | None = None,
        timeout: float | None = None,
    ) -> None:
        inner = AsyncClient(host, model=model, api=api, api_key=api_key, timeout=timeout)
        self.address = inner.address
        super().__init__(inner)
