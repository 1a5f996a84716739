"""Counting without generating: what a request's prompt becomes on its model, and texts of token ids."""

from __future__ import annotations

from arriero.core.request import GenerateRequest
from arriero.core.tokenizer import Tokenized
from arriero.service.generate import check_abilities
from arriero.service.lifecycle import Lifecycle, with_defaults
from arriero.service.model_turns import with_model_turns
from arriero.store.catalog import Catalog


class Tokens:
    """Asks the models of a catalog, loading them where needed."""

    def __init__(self, catalog: Catalog, lifecycle: Lifecycle, context_length: int | None = None) -> None:
        self._catalog, self._lifecycle, self._context_length = catalog, lifecycle, context_length

    async def of(self, request: GenerateRequest, *, special: bool = True) -> Tokenized:
        """The prompt of `request`, however long; raises what a generation would raise before it begins.

        Without `special` a raw prompt gets no token for its beginning.
        """
        spec = self._catalog.find(request.model)
        check_abilities(spec, request)
        request = with_model_turns(spec, request)
        load = with_defaults(request.load, self._context_length)
        async with self._lifecycle.lease(spec, load, request.keep_alive) as backend:
            if request.raw and not special:
                tokens = await backend.tokenize(request.prompt or "")
            else:
                tokens = await backend.prompt_tokens(request)
            return Tokenized(tokens, (await backend.start()).context_length)

    async def text(self, request: GenerateRequest) -> str:
        """The text of the request's `prompt_tokens`; InvalidRequest for one that the vocabulary lacks."""
        spec = self._catalog.find(request.model)
        load = with_defaults(request.load, self._context_length)
        async with self._lifecycle.lease(spec, load, request.keep_alive) as backend:
            return await backend.detokenize(list(request.prompt_tokens or ()))
