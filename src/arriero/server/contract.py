"""What the server needs of the service; service.Service is it, tests bring a scripted one."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Protocol

from arriero.core.embedding import Embedded, EmbedRequest
from arriero.core.events import Event
from arriero.core.library import CreateRequest, Progress
from arriero.core.model import ModelSpec, RunningModel, ShownModel
from arriero.core.ranking import Ranked, RankRequest
from arriero.core.request import Choices, GenerateRequest, LoadOptions
from arriero.core.responses import SavedResponse
from arriero.core.tokenizer import Tokenized
from arriero.service.batches import Batches
from arriero.service.conversations import Conversations
from arriero.service.message_batches import MessageBatches


class Answering(Protocol):
    """What answers a generation call."""

    def generate(self, request: GenerateRequest) -> AsyncGenerator[Event, None]:
        """Accepted, deltas, then Finished or Failed; raises before the first event. Closing it frees the work."""

    def generate_choices(self, choices: Choices) -> AsyncGenerator[Event, None]:
        """Accepted, ChoiceEvents, then Finished or Failed; otherwise as `generate`."""

    async def render(self, request: GenerateRequest) -> str:
        """The prompt that a request makes; nothing is generated."""

    async def load(self, model: str, load: LoadOptions, keep_alive: float | None) -> None:
        """Load a model now."""

    async def unload(self, model: str) -> None:
        """Unload a model as soon as nobody uses it."""


class Service(Answering, Protocol):
    """The use cases behind the routes. All raise ArrieroError."""

    async def embed(self, request: EmbedRequest) -> Embedded:
        """The vectors of texts; cancelling it frees the work."""

    async def rank(self, request: RankRequest) -> Ranked:
        """The scores of pairs of a query and a document; cancelling it frees the work."""

    async def prompt_tokens(self, request: GenerateRequest, *, special: bool = True) -> Tokenized:
        """The token ids of the prompt that a request makes, however many; nothing is generated."""

    async def detokenize(self, request: GenerateRequest) -> str:
        """The text of a request's `prompt_tokens`."""

    @property
    def batches(self) -> Batches:
        """Uploaded files, and batches of requests."""

    @property
    def message_batches(self) -> MessageBatches:
        """Batches of Anthropic's messages."""

    def models(self) -> list[ModelSpec]:
        """All known models, newest first. Reads headers of files that are new: not for an event loop."""

    def find(self, name: str) -> ModelSpec:
        """The model of that name; ModelNotFound."""

    async def show(self, name: str, verbose: bool, memory: bool = False) -> ShownModel:
        """The model with its file's keys and tensors, and with its memory plan where that is asked for."""

    def create(self, request: CreateRequest) -> AsyncGenerator[Progress, None]:
        """Make a model; the last report is `success`. Closing it gives up."""

    def pull(self, model: str, insecure: bool) -> AsyncGenerator[Progress, None]:
        """Fetch a model; the last report is `success`. Closing it gives up, and keeps what has come."""

    def push(self, model: str, insecure: bool) -> AsyncGenerator[Progress, None]:
        """Send a model to a registry; the last report is `success`."""

    async def copy(self, source: str, destination: str) -> None:
        """Give a model a second name."""

    async def delete(self, model: str) -> None:
        """Remove a model."""

    async def has_blob(self, digest: str) -> bool:
        """Whether a blob is there."""

    async def add_blob(self, digest: str, chunks: AsyncIterator[bytes]) -> bool:
        """Store a blob; False if it was there."""

    def keeps_responses(self) -> bool:
        """Whether responses can be kept."""

    async def save_response(self, saved: SavedResponse) -> bool:
        """Keep a response; says whether that could be done."""

    async def response(self, response_id: str) -> SavedResponse:
        """The response of that id; ResponseNotFound."""

    async def response_chain(self, response_id: str) -> list[SavedResponse]:
        """The response and its ancestors, the oldest first; PreviousResponseNotFound."""

    async def delete_response(self, response_id: str) -> None:
        """Forget a response; ResponseNotFound."""

    @property
    def conversations(self) -> Conversations:
        """Conversations that are kept, and their items."""

    def running(self) -> list[RunningModel]:
        """The loaded models."""

    def ready(self) -> bool:
        """Whether requests are taken."""

    def metrics(self) -> bytes:
        """Prometheus text."""


class HttpMetrics(Protocol):
    """What the server counts; observe.Metrics is it."""

    def http_request(self, route: str, method: str, status: int) -> None:
        """A request was answered."""

    def internal_error(self) -> None:
        """Something happened that must not."""
