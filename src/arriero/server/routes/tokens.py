"""vLLM's routes about tokens. Their errors are OpenAI's."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from arriero.protocols import vllm_tokens
from arriero.server.beside import beside, find_on_loop
from arriero.server.disconnect import while_connected
from arriero.server.routes.context import Context, json_response, read_body


class TokenRoutes:
    """Handlers over one context."""

    def __init__(self, context: Context) -> None:
        self._service = context.service

    async def tokenize(self, request: Request) -> Response:
        """POST /tokenize."""
        body = await read_body(request, "openai")
        if isinstance(body, Response):
            return body
        find = find_on_loop(self._service.find)
        prompt, special = await beside(len(body), lambda: vllm_tokens.decode_tokenize(body, find))
        work = self._service.prompt_tokens(prompt, special=special)
        return json_response(vllm_tokens.encode_tokenized(await while_connected(request.receive, work)))

    async def detokenize(self, request: Request) -> Response:
        """POST /detokenize."""
        body = await read_body(request, "openai")
        if isinstance(body, Response):
            return body
        find = find_on_loop(self._service.find)
        tokens = await beside(len(body), lambda: vllm_tokens.decode_detokenize(body, find))
        text = await while_connected(request.receive, self._service.detokenize(tokens))
        return json_response(vllm_tokens.encode_detokenized(text))
