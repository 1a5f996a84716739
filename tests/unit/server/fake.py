"""A scripted service: it says what a test wants, when the test wants it, and remembers how each stream ended."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence

from arriero.core.embedding import Embedded, EmbedRequest
from arriero.core.errors import (
    ArrieroError,
    ModelNotFound,
    PreviousResponseNotFound,
    ResponseNotFound,
    UnsupportedFeature,
)
from arriero.core.events import Accepted, Event, Finished, TextDelta, Usage
from arriero.core.library import CreateRequest, Progress
from arriero.core.model import ModelDetails, ModelSpec, RunningModel, ShownModel
from arriero.core.ranking import Ranked, RankRequest
from arriero.core.request import Choices, GenerateRequest, LoadOptions
from arriero.core.responses import SavedResponse
from arriero.core.tokenizer import Tokenized
from arriero.service.batches import Batches
from arriero.service.choices import run_choices
from arriero.service.conversations import Conversations
from arriero.service.message_batches import MessageBatches
from arriero.service.responses import Responses
from arriero.store.batches import BatchStore
from arriero.store.blobs import parse_digest

USAGE = Usage(prompt_tokens=12, cached_tokens=4, completion_tokens=2, total_ns=100, prefill_ns=30, decode_ns=40)
HELLO: tuple[Event, ...] = (
    Accepted(prompt_tokens=12, cached_tokens=4),
    TextDelta(text="Hello"),
    TextDelta(text=" wörld"),
    Finished(reason="stop", usage=USAGE, context=(1, 2, 3)),
)
DEMO = ModelSpec(
    name="demo:latest",
    path="/models/demo.gguf",
    digest="ab" * 32,
    size=4_700_000,
    modified_at=1790000000.0,
    details=ModelDetails(family="llama", parameter_size="4.5M", quantization="Q8_0", context_length=2048),
    capabilities=("completion", "tools"),
)
WAIT = "wait"
"""In a script: say nothing more until the test sets `go` (or the client goes)."""

Script = Sequence[Event | BaseException | str]


class FakeService:
    """Follows `script` for every generation."""

    def __init__(self) -> None:
        self.script: Script = HELLO
        self.requests: list[GenerateRequest] = []
        self.loads: list[tuple[str, LoadOptions, float | None]] = []
        self.unloads: list[str] = []
        self.transfers: list[tuple[str, str, bool]] = []
        self.go = asyncio.Event()
        self.opened = asyncio.Event()
        self.waiting = asyncio.Event()
        self.closed = asyncio.Event()
        self.endings: list[str] = []
        self.is_ready = True
        self.batches = Batches(BatchStore(None))
        self.message_batches = MessageBatches(self.batches)
        self.responses: dict[str, SavedResponse] = {}
        self.conversations = Conversations(Responses(None, 0, 0))
        self.reports: Sequence[Progress | BaseException] = (Progress(status="success"),)
        self.created: list[CreateRequest] = []
        self.copies: list[tuple[str, str]] = []
        self.deleted: list[str] = []
        self.blobs: dict[str, bytes] = {}
        self.on_yield: Callable[[int], None] = lambda index: None

    async def generate(self, request: GenerateRequest) -> AsyncGenerator[Event, None]:
        self.requests.append(request)
        self.opened.set()
        ending = "closed"
        try:
            for index, step in enumerate(self.script):
                if isinstance(step, str):
                    self.waiting.set()
                    await self.go.wait()
                elif isinstance(step, BaseException):
                    raise step
                else:
                    self.on_yield(index)
                    yield step
            ending = "exhausted"
        except asyncio.CancelledError:
            ending = "cancelled"
            raise
        except (ArrieroError, RuntimeError):
            ending = "raised"
            raise
        finally:
            self.endings.append(ending)
            self.closed.set()

    def generate_choices(self, choices: Choices) -> AsyncGenerator[Event, None]:
        return run_choices(self.generate, choices)

    async def render(self, request: GenerateRequest) -> str:
        self.requests.append(request)
        return f"<{request.prompt}>"

    async def prompt_tokens(self, request: GenerateRequest, *, special: bool = True) -> Tokenized:
        self.requests.append(request)
        return Tokenized([1, 2, 3], 2048)

    async def detokenize(self, request: GenerateRequest) -> str:
        self.requests.append(request)
        return "".join(map(chr, request.prompt_tokens or ()))

    async def embed(self, request: EmbedRequest) -> Embedded:
        raise UnsupportedFeature("the scripted service makes no vectors")

    async def rank(self, request: RankRequest) -> Ranked:
        raise UnsupportedFeature("the scripted service ranks nothing")

    async def load(self, model: str, load: LoadOptions, keep_alive: float | None) -> None:
        self.loads.append((model, load, keep_alive))

    async def unload(self, model: str) -> None:
        self.unloads.append(model)

    def models(self) -> list[ModelSpec]:
        return [DEMO]

    def find(self, name: str) -> ModelSpec:
        if name not in ("demo", "demo:latest"):
            raise ModelNotFound(f"model '{name}' not found", model=name)
        return DEMO

    async def show(self, name: str, verbose: bool, memory: bool = False) -> ShownModel:
        info = {"general.architecture": "llama", "llama.context_length": 2048}
        return ShownModel(spec=self.find(name), model_info=info)

    async def create(self, request: CreateRequest) -> AsyncGenerator[Progress, None]:
        self.created.append(request)
        for step in self.reports:
            if isinstance(step, BaseException):
                raise step
            yield step

    async def pull(self, model: str, insecure: bool) -> AsyncGenerator[Progress, None]:
        self.transfers.append(("pull", model, insecure))
        async with contextlib.aclosing(self._report()) as reports:
            async for report in reports:
                yield report

    async def push(self, model: str, insecure: bool) -> AsyncGenerator[Progress, None]:
        self.transfers.append(("push", model, insecure))
        async with contextlib.aclosing(self._report()) as reports:
            async for report in reports:
                yield report

    async def _report(self) -> AsyncGenerator[Progress, None]:
        """Yield `reports`; an exception among them is raised, WAIT waits for `go`. `closed` says that it is over."""
        try:
            for step in self.reports:
                if isinstance(step, BaseException):
                    raise step
                yield step
                if step.status == WAIT:
                    await self.go.wait()
        finally:
            self.closed.set()

    async def copy(self, source: str, destination: str) -> None:
        self.copies.append((source, destination))

    async def delete(self, model: str) -> None:
        self.find(model)
        self.deleted.append(model)

    async def has_blob(self, digest: str) -> bool:
        return parse_digest(digest) in self.blobs

    async def add_blob(self, digest: str, chunks: AsyncIterator[bytes]) -> bool:
        if await self.has_blob(digest):
            return False
        self.blobs[digest] = b"".join([chunk async for chunk in chunks])
        return True

    def keeps_responses(self) -> bool:
        return True

    async def save_response(self, saved: SavedResponse) -> bool:
        self.responses[saved.id] = saved
        return True

    async def response(self, response_id: str) -> SavedResponse:
        if response_id not in self.responses:
            raise ResponseNotFound(f"Response with id '{response_id}' not found.")
        return self.responses[response_id]

    async def response_chain(self, response_id: str) -> list[SavedResponse]:
        found: list[SavedResponse] = []
        following: str | None = response_id
        while following is not None:
            if following not in self.responses:
                raise PreviousResponseNotFound("Previous response not found.", param="previous_response_id")
            found.insert(0, self.responses[following])
            following = found[0].previous
        return found

    async def delete_response(self, response_id: str) -> None:
        await self.response(response_id)
        del self.responses[response_id]

    def running(self) -> list[RunningModel]:
        return [RunningModel(spec=DEMO, size=10, size_vram=0, expires_at=None, context_length=512)]

    def ready(self) -> bool:
        return self.is_ready

    def metrics(self) -> bytes:
        return b"arriero_up 1\n"
