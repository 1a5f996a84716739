"""The worker of an embedding model: texts in, vectors out. As in host.py the main thread tokenizes (long texts beside)
and the loop thread owns the engine and all sending; there is nothing to render and nothing to stream.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from arriero.core import messages as wire
from arriero.core.embedding import Embedded, EmbedRequest, LoadedEmbedder, TokenPair, TokenText
from arriero.core.errors import ArrieroError, ContextLengthExceeded, InvalidRequest, UnsupportedFeature
from arriero.core.events import Usage
from arriero.core.ranking import Ranked, RankRequest
from arriero.core.tokenizer import Tokenizer
from arriero.engine.embedding import EmbeddingEnded, EmbeddingEngine
from arriero.engine.loop import Command, Loop, StepStats
from arriero.worker.connection import Connection
from arriero.worker.text_desk import Encoding, Steps, TextDesk
from arriero.worker.token_ids import check_tokens, text_of

STATS_INTERVAL = 0.1  # seconds, while there is work


@dataclass(frozen=True, slots=True)
class _Pending:
    """What must be known of a request until its vectors are there. Times are monotonic seconds."""

    prompt_tokens: int
    truncated: tuple[int, ...]
    received: float


class EmbeddingDesk:
    """Serves the commands of one connection for one loaded embedding model."""

    def __init__(
        self,
        connection: Connection,
        model: LoadedEmbedder,
        text_desk: TextDesk,
        crash: Callable[[BaseException], None],
    ) -> None:
        self._connection, self._tokenizer, self._text_desk = connection, model.tokenizer, text_desk
        self._info, self._encode_pair = model.embedder.info, model.encode_pair
        self._engine = EmbeddingEngine(model.embedder)
        self._loop = Loop(self._engine, self._sink, self._on_step, crash)
        self._pending: dict[int, _Pending] = {}
        self._reading: set[int] = set()  # requests whose texts are being tokenized; the main thread's
        self._stats_sent = 0.0

    def ready(self, load_ns: int) -> wire.Ready:
        """What the server is told of the model."""
        info = self._info
        return wire.Ready(
            context_length=info.max_tokens,
            max_sequences=info.batch_texts,
            layout=info.pooling,
            memory=info.memory,
            layers_total=info.layers_total,
            layers_gpu=info.layers_gpu,
            load_ns=load_ns,
            capabilities=("embedding",) if self._encode_pair is None else ("rerank",),
        )

    def run(self) -> None:
        """Work until the process ends; the calling thread becomes the loop thread."""
        self._loop.run()

    # --- the main thread ---

    def handle(self, command: wire.Command) -> None:
        """Do what the server asks; what an embedding model cannot do is answered so."""
        match command:
            case wire.Embed(id=number) | wire.Rank(id=number):
                self._reading.add(number)
                self._text_desk.run(self._steps(command), lambda: number in self._reading)
            case wire.Abort(id=number):
                self._reading.discard(number)
                self._loop.submit(lambda: self._abort(number))
            case _:
                self._text_desk.run(self._steps(command))

    def _steps(self, command: wire.Command) -> Steps[None]:
        try:
            match command:
                case wire.Embed(id=number, request=request):
                    yield from self._embed(number, request)
                case wire.Rank(id=number, request=ranking):
                    yield from self._rank(number, ranking)
                case wire.Tokenize(id=number, text=text):
                    tokens = yield Encoding(len(text), lambda: self._ids(text))
                    self._reply(wire.Tokens(id=number, tokens=tokens))
                case wire.Detokenize(id=number, tokens=ids):
                    self._reply(wire.Text(id=number, text=text_of(ids, self._tokenizer)))
                case _:
                    raise UnsupportedFeature("an embedding model generates no text")
        except ArrieroError as error:
            number = command.id  # type: ignore[union-attr]  # what fails here has an id
            self._reading.discard(number)
            self._reply(wire.RequestFailed(id=number, error=error.info()))

    def _reply(self, report: Any) -> None:
        self._loop.submit(lambda: self._connection.send([report]))

    def _embed(self, number: int, request: EmbedRequest) -> Steps[None]:
        received = time.monotonic()
        if self._encode_pair is not None:
            raise UnsupportedFeature("the model ranks documents and makes no vectors")
        chars = sum(len(given) for given in request.inputs)
        texts, truncated = yield Encoding(chars, lambda: self._texts(request))
        self._submit(number, texts, truncated, received)

    def _texts(self, request: EmbedRequest) -> tuple[list[TokenText], list[int]]:
        """The inputs as tokens, and which of them were cut. In any thread."""
        texts: list[TokenText] = []
        truncated: list[int] = []
        for index, given in enumerate(request.inputs):
            tokens = self._tokens(given)
            if not tokens:
                raise InvalidRequest(f"input {index} is empty")
            if len(tokens) > self._info.max_tokens:
                if not request.truncate:
                    raise _too_long(index, len(tokens), self._info.max_tokens)
                tokens = self._cut(given, tokens)
                truncated.append(index)
            texts.append(TokenText(tokens, request.dimensions))
        return texts, truncated

    def _rank(self, number: int, request: RankRequest) -> Steps[None]:
        received = time.monotonic()
        encode = self._encode_pair
        if encode is None:
            raise UnsupportedFeature("the model makes vectors and ranks nothing by itself")
        chars = sum(len(query) + len(document) for query, document in request.pairs)
        texts, truncated = yield Encoding(chars, lambda: self._pairs(request, encode))
        self._submit(number, texts, truncated, received)

    def _pairs(
        self, request: RankRequest, encode: Callable[[str, str], TokenPair]
    ) -> tuple[list[TokenText], list[int]]:
        """The same of pairs."""
        texts: list[TokenText] = []
        truncated: list[int] = []
        for index, (query, document) in enumerate(request.pairs):
            before, told, after = encode(query, document)
            over = len(before) + len(told) + len(after) - self._info.max_tokens
            if over > 0:
                if not request.truncate or over > len(told):  # a query is never cut
                    raise _too_long(index, self._info.max_tokens + over, self._info.max_tokens)
                told = told[: len(told) - over]
                truncated.append(index)
            texts.append(TokenText([*before, *told, *after]))
        return texts, truncated

    def _submit(self, number: int, texts: list[TokenText], truncated: list[int], received: float) -> None:
        self._reading.discard(number)
        pending = _Pending(sum(len(text.tokens) for text in texts), tuple(truncated), received)
        self._loop.submit(lambda: self._add(number, texts, pending))

    def _ids(self, text: str) -> tuple[int, ...]:
        return tuple(self._tokenizer.encode(text, add_special=False, parse_special=True))

    def _tokens(self, given: str | tuple[int, ...]) -> list[int]:
        if isinstance(given, str):
            return self._tokenizer.encode(given, add_special=True, parse_special=True)
        check_tokens(given, self._tokenizer.n_vocab)
        return list(given)

    def _cut(self, given: str | tuple[int, ...], tokens: list[int]) -> list[int]:
        """Cut the end off a text, but keep the special tokens around it; token ids are cut as they are."""
        limit = self._info.max_tokens
        if not isinstance(given, str):
            return tokens[:limit]
        bare = self._tokenizer.encode(given, add_special=False, parse_special=True)
        before, after = _around(tokens, bare, self._tokenizer)
        return [*before, *bare[: max(0, limit - len(before) - len(after))], *after][:limit]

    # --- the loop thread ---

    def _add(self, number: int, texts: list[TokenText], pending: _Pending) -> None:
        self._pending[number] = pending
        self._engine.add(number, texts)

    def _abort(self, number: int) -> None:
        if self._pending.pop(number, None) is not None:
            self._engine.abort(number)
            self._connection.send([self.stats()])  # perhaps there is no further step

    def _sink(self, ended: list[EmbeddingEnded]) -> Iterable[Command]:
        reports: list[Any] = [self.stats()]
        for one in ended:
            pending = self._pending.pop(one.id, None)
            if pending is None:
                continue  # aborted
            total_ns = int((time.monotonic() - pending.received) * 1e9)
            usage = Usage(prompt_tokens=pending.prompt_tokens, prefill_ns=total_ns, total_ns=total_ns)
            if one.error is not None:
                reports.append(wire.RequestFailed(id=one.id, error=one.error, usage=usage))
            elif self._encode_pair is not None:
                scores = tuple(struct.unpack("<f", vector)[0] for vector in one.vectors)
                ranked = Ranked(scores=scores, usage=usage, truncated=pending.truncated)
                reports.append(wire.Scores(id=one.id, ranked=ranked))
            else:
                embedded = Embedded(vectors=one.vectors, usage=usage, truncated=pending.truncated)
                reports.append(wire.Vectors(id=one.id, embedded=embedded))
        self._connection.send(reports)
        return ()

    def _on_step(self, stats: StepStats) -> None:
        if time.monotonic() - self._stats_sent > STATS_INTERVAL or not self._engine.has_work:
            self._connection.send([self.stats()])

    def stats(self) -> wire.Stats:
        """What has been counted so far."""
        self._stats_sent = time.monotonic()
        stats = self._engine.stats()
        return wire.Stats(counters=stats.counters, gauges=stats.gauges)


def _around(tokens: list[int], bare: list[int], tokenizer: Tokenizer) -> tuple[list[int], list[int]]:
    """Return the special tokens that stand before and after `bare` in `tokens`."""
    extra = len(tokens) - len(bare)
    for before in range(extra + 1):
        if tokens[before : before + len(bare)] == bare:
            return tokens[:before], tokens[before + len(bare) :]
    # A tokenizer that joins its specials with the text: those of an empty text are the best there is.
    return tokenizer.encode("", add_special=True, parse_special=True), []


def _too_long(index: int, tokens: int, limit: int) -> ContextLengthExceeded:
    return ContextLengthExceeded(
        f"input {index} has {tokens} tokens, but the model's context holds {limit}; shorten it, or ask to truncate",
        index=index,
        prompt_tokens=tokens,
        context_length=limit,
    )
