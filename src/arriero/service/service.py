"""The service as a server sees it: one object with every use case. Built whole in app.py."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from arriero.backends.local import LocalBackend
from arriero.backends.spare import SpareWorker
from arriero.core.allowance import cpus
from arriero.core.embedding import Embedded, EmbedRequest
from arriero.core.errors import ModelNotFound
from arriero.core.events import Event
from arriero.core.library import CreateRequest, Progress
from arriero.core.model import ModelSpec, RunningModel, ShownModel
from arriero.core.ranking import Ranked, RankRequest
from arriero.core.request import Choices, GenerateRequest, LoadOptions
from arriero.core.responses import SavedResponse
from arriero.core.tokenizer import Tokenized
from arriero.observe.metrics import Metrics
from arriero.service.admission import Admission
from arriero.service.batches import Batches
from arriero.service.choices import run_choices
from arriero.service.conversations import Conversations
from arriero.service.drafts import Drafts
from arriero.service.embed import Embeddings
from arriero.service.generate import Generator
from arriero.service.library import Library
from arriero.service.lifecycle import Lifecycle, with_defaults
from arriero.service.load_options import sized
from arriero.service.memory import allowed_memory, check_options, fits, free_memory, plan_memory, promised, waits_for
from arriero.service.message_batches import MessageBatches
from arriero.service.options import ServiceOptions
from arriero.service.responses import Responses
from arriero.service.shared_workers import SharedWorkers, worker_of
from arriero.service.spares import SpareKeeper
from arriero.service.templates import check_template
from arriero.service.tokens import Tokens
from arriero.store.batches import BatchStore
from arriero.store.catalog import Catalog
from arriero.store.describe import shown
from arriero.store.names import parse_name
from arriero.store.places import Stores

if TYPE_CHECKING:
    from arriero.service.transfer.transfers import Transfers


class Service:
    """Everything a route may ask for. Methods raise ArrieroError; the server turns codes into statuses."""

    def __init__(
        self, catalog: Catalog, options: ServiceOptions, metrics: Metrics, stores: Stores | None = None
    ) -> None:
        self._catalog, self._options, self._metrics = catalog, options, metrics
        self._admission = Admission(options.max_queue)
        self._workers: weakref.WeakSet[LocalBackend] = weakref.WeakSet()
        self._spare = SpareWorker("llama_cpp", {}, self._worker_started)
        self._spares = SpareKeeper(self._spare, self._is_idle, lambda: free_memory(tuple(self._workers)))
        workers = SharedWorkers(self._start_worker)
        self._drafts = Drafts(catalog.find, options.worker)
        self._lifecycle = Lifecycle(
            workers.backend,
            keep_alive=options.keep_alive,
            max_loaded=options.max_loaded_models,
            fits=lambda spec, load: fits(spec, load, self._worker_options()),
            check=lambda spec, load: check_options(spec, load, options.worker),
            shares=workers.shares,
            sized=lambda spec, load: sized(spec, load, options.context_length),
            drafts=self._drafts.chosen,
            worker_of=worker_of,
            waits=lambda spec, load: waits_for(spec, load, self._worker_options(), tuple(self._workers)),
        )
        self._generator = Generator(
            catalog,
            self._admission,
            self._lifecycle,
            metrics,
            options.context_length,
            tool_repair=options.tool_repair,
            tool_dedupe=options.tool_dedupe,
        )
        self._embeddings = Embeddings(catalog, self._admission, self._lifecycle, metrics, options.context_length)
        self._tokens = Tokens(catalog, self._lifecycle, options.context_length)
        self._stores = stores or Stores(None)
        self._library = Library(
            catalog,
            self._stores,
            self._lifecycle.unload,
            check_template,
            lambda model: self.pull(model, False),
            options.prefixes,
        )
        self._responses = Responses(options.responses, options.max_responses, options.max_responses_bytes)
        self.conversations = Conversations(self._responses)
        self.batches = Batches(BatchStore(options.batches))
        self.message_batches = MessageBatches(self.batches)
        self._transfers: Transfers | None = None
        self._closed = False

    def generate(self, request: GenerateRequest) -> AsyncGenerator[Event, None]:
        """Accepted, deltas, then Finished or Failed; raises before the first event. Closing it frees the work."""
        return self._generator.run(request)

    def generate_choices(self, choices: Choices) -> AsyncGenerator[Event, None]:
        """Accepted, what each answer says as ChoiceEvents, then Finished or Failed; otherwise as `generate`."""
        return run_choices(self._generator.run, choices)

    async def embed(self, request: EmbedRequest) -> Embedded:
        """The vectors of texts; cancelling it frees the work."""
        return await self._embeddings.run(request)

    async def rank(self, request: RankRequest) -> Ranked:
        """The scores of pairs of a query and a document; cancelling it frees the work."""
        return await self._embeddings.rank(request)

    async def render(self, request: GenerateRequest) -> str:
        """The prompt that a request makes; nothing is generated."""
        return await self._generator.render(request)

    async def prompt_tokens(self, request: GenerateRequest, *, special: bool = True) -> Tokenized:
        """The token ids of the prompt that a request makes, however many; nothing is generated.

        Without `special` a raw prompt gets no token for its beginning.
        """
        return await self._tokens.of(request, special=special)

    async def detokenize(self, request: GenerateRequest) -> str:
        """The text of a request's `prompt_tokens`."""
        return await self._tokens.text(request)

    async def load(self, model: str, load: LoadOptions, keep_alive: float | None) -> None:
        """Load `model` now; ModelNotFound or ModelLoadError if that cannot be."""
        spec = self._catalog.find(model)
        async with self._lifecycle.lease(spec, with_defaults(load, self._options.context_length), keep_alive):
            pass

    async def unload(self, model: str) -> None:
        """Unload `model` as soon as nobody uses it; nothing happens if it is not loaded."""
        await self._lifecycle.unload(self._catalog.find(model).name)

    def models(self) -> list[ModelSpec]:
        """All known models, newest first. Reads headers of files that are new: not for an event loop."""
        return self._catalog.models()

    def find(self, name: str) -> ModelSpec:
        """The model of that name; ModelNotFound."""
        return self._catalog.find(name)

    async def show(self, name: str, verbose: bool, memory: bool = False) -> ShownModel:
        """The model with its file's keys and tensors; ModelNotFound names it with its tag, as Ollama does here."""
        try:
            spec = self._catalog.find(name)
        except ModelNotFound:
            raise ModelNotFound(f"model '{parse_name(name)}' not found", model=name) from None
        header = await asyncio.to_thread(shown, spec, verbose=verbose)
        found = msgspec.structs.replace(header, draft=await self._drafts.details(spec))
        if not memory:
            return found
        load = with_defaults(LoadOptions(draft=spec.options.get("draft")), self._options.context_length)
        spec, load = await self._drafts.chosen(spec, load)
        plan = await asyncio.to_thread(plan_memory, spec, load, self._worker_options())
        return msgspec.structs.replace(found, memory=plan)

    def create(self, request: CreateRequest) -> AsyncGenerator[Progress, None]:
        """Make a model; the last report is `success`. Raises before or between reports; closing it gives up."""
        return self._library.create(request)

    async def copy(self, source: str, destination: str) -> None:
        """Give a model a second name."""
        await self._library.copy(source, destination)

    async def delete(self, model: str) -> None:
        """Remove a model from its models folder."""
        await self._library.delete(model)

    async def has_blob(self, digest: str) -> bool:
        """Whether a blob is there."""
        return await self._library.has_blob(digest)

    async def add_blob(self, digest: str, chunks: AsyncIterator[bytes]) -> bool:
        """Store a blob; False if it was there."""
        return await self._library.add_blob(digest, chunks)

    def pull(self, model: str, insecure: bool) -> AsyncGenerator[Progress, None]:
        """Fetch a model from a registry or a URL; the last report is `success`. Closing it keeps what has come."""
        return self._transferring().pull(model, insecure)

    def push(self, model: str, insecure: bool) -> AsyncGenerator[Progress, None]:
        """Send a model to a registry; the last report is `success`."""
        return self._transferring().push(model, insecure)

    def keeps_responses(self) -> bool:
        """Whether responses can be kept."""
        return self._responses.on

    async def save_response(self, saved: SavedResponse) -> bool:
        """Keep a response; says whether that could be done."""
        return await self._responses.save(saved)

    async def response(self, response_id: str) -> SavedResponse:
        """The response of that id; ResponseNotFound."""
        return await self._responses.get(response_id)

    async def response_chain(self, response_id: str) -> list[SavedResponse]:
        """The response and its ancestors, the oldest first; PreviousResponseNotFound."""
        return await self._responses.chain(response_id)

    async def delete_response(self, response_id: str) -> None:
        """Forget a response; ResponseNotFound."""
        await self._responses.delete(response_id)

    def running(self) -> list[RunningModel]:
        """The loaded models."""
        return self._lifecycle.running()

    def ready(self) -> bool:
        """Whether requests are taken."""
        return not self._closed

    def metrics(self) -> bytes:
        """Prometheus text."""
        self._metrics.queue(self._admission.pending, self._admission.inside)
        self._metrics.spare_workers(int(self._spare.is_ready))
        self._metrics.allowance(allowed_memory(), cpus())
        return self._metrics.render()

    async def sweep(self) -> None:
        """Remove what is kept on the disk of models that are gone, or of all, where that is switched off."""
        await self._library.sweep(off=not self._options.prefix_bytes)

    async def close(self) -> None:
        """End every worker."""
        self._closed = True
        await self.batches.close()
        if self._transfers is not None:
            await self._transfers.close()
        await self._spares.close()
        await self._lifecycle.close()
        await self._responses.close()

    def _transferring(self) -> Transfers:
        """Made on first use: what it needs of HTTP clients costs a quarter of a second that a start can spare."""
        if self._transfers is None:
            from arriero.service.transfer.transfers import Transfers

            self._transfers = Transfers(self._stores, self._options.registry, self._library)
        return self._transfers

    def _worker_options(self) -> Mapping[str, Any]:
        options = self._options
        known = {**options.worker, "promised_bytes": promised(tuple(self._workers))}
        if options.prefixes is None or not options.prefix_bytes:
            return known
        return {**known, "spill_folder": str(options.prefixes), "spill_bytes": options.prefix_bytes}

    def _start_worker(self, spec: ModelSpec, load: LoadOptions) -> LocalBackend:
        worker = LocalBackend(
            spec,
            load,
            options=self._worker_options(),
            load_timeout=self._options.load_timeout,
            spare=self._spare,
            on_stats=lambda worker, stats: self._metrics.engine_stats(spec.name, worker, stats),
            on_end=self._metrics.worker_ended,
        )
        self._workers.add(worker)
        return worker

    def _worker_started(self, spare: bool) -> None:
        self._metrics.worker_started(spare)
        if self._options.spare_worker:
            self._spares.worker_started()

    def _is_idle(self) -> bool:
        return not self._admission.inside and not any(worker.is_starting for worker in self._workers)
