"""A model on a worker that others with the same weights use too: its own templates, its own LoRA adapters."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping

import msgspec

from arriero.backends.local import LocalBackend
from arriero.core.backend import Permit, Restarted
from arriero.core.embedding import Embedded, EmbedRequest
from arriero.core.events import Event
from arriero.core.messages import Ready
from arriero.core.model import ModelSpec
from arriero.core.ranking import Ranked, RankRequest
from arriero.core.request import GenerateRequest


class AdaptedBackend:
    """Implements core.backend.Backend for `spec` on `worker`, which others may hold.

    `is_first` says whether the worker's memory is told with this model (adapters are told with their own);
    `let_go` is called once, when this model closes: it gives the worker where nobody else has it, which then ends.
    """

    def __init__(
        self,
        spec: ModelSpec,
        worker: LocalBackend,
        is_first: Callable[[AdaptedBackend], bool],
        let_go: Callable[[AdaptedBackend], LocalBackend | None],
    ) -> None:
        self.spec, self.worker = spec, worker
        self._is_first, self._let_go = is_first, let_go
        self.face = "" if spec == worker.spec else f"{spec.name}@{spec.digest}"
        """The worker's name for it; "": the one that it was loaded as."""
        self._size = 0
        self._closed = False

    @property
    def gauges(self) -> Mapping[str, float]:
        """Of the engine, which all that share the worker share, too."""
        return self.worker.gauges

    @property
    def info(self) -> Ready | None:
        """What the worker said when it was ready; memory only where nobody else tells it."""
        info = self.worker.info
        if info is None:
            return None
        shared = info.memory if self._is_first(self) else {}
        return msgspec.structs.replace(info, memory={**shared, "adapters": self._size})

    async def start(self) -> Ready:
        """Load the weights and the adapters, if they are not there; ModelLoadError says why that cannot be."""
        await self.worker.start()
        if self.face:
            self._size = await self.worker.attach(self.face, self.spec) or self._size
        info = self.info
        assert info is not None
        return info

    async def close(self) -> None:
        """Let go of the worker; if nobody else has it, its memory is back when this returns."""
        if not self._closed:
            self._closed = True
            last = self._let_go(self)
            if last is not None:
                await last.close()

    def generate(self, request: GenerateRequest, permit: Permit) -> AsyncGenerator[Event | Restarted, None]:
        """See LocalBackend."""
        return self.worker.generate(request, permit, self.face)

    async def embed(self, request: EmbedRequest, permit: Permit) -> Embedded:
        """See LocalBackend."""
        return await self.worker.embed(request, permit)

    async def rank(self, request: RankRequest, permit: Permit) -> Ranked:
        """See LocalBackend."""
        return await self.worker.rank(request, permit)

    async def render(self, request: GenerateRequest) -> str:
        """See LocalBackend."""
        return await self.worker.render(request, self.face)

    async def prompt_tokens(self, request: GenerateRequest) -> list[int]:
        """See LocalBackend."""
        return await self.worker.prompt_tokens(request, self.face)

    async def tokenize(self, text: str) -> list[int]:
        """See LocalBackend."""
        return await self.worker.tokenize(text)

    async def detokenize(self, tokens: list[int]) -> str:
        """See LocalBackend."""
        return await self.worker.detokenize(tokens)
