"""EmbeddingEngine: texts of many requests, packed into as few calls of an embedder as they fit. Ids in, vectors out.

Requests take turns text by text, so that a large one does not hold up a small one. One thread calls it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from arriero.core.embedding import Embedder, TokenText
from arriero.core.errors import ArrieroError, ErrorInfo, InvalidRequest
from arriero.engine.stats import EngineStats

NO_VECTOR = "embedding contains NaN or Inf values"


@dataclass(frozen=True, slots=True)
class EmbeddingEnded:
    """The last word on a request: a vector for each text in their order, or what went wrong."""

    id: int
    vectors: tuple[bytes, ...] = ()
    error: ErrorInfo | None = None


@dataclass(slots=True, eq=False)
class _Job:
    id: int
    texts: Sequence[TokenText]
    vectors: dict[int, bytes] = field(default_factory=dict)
    next: int = 0  # the first text that is in no call yet


class EmbeddingEngine:
    """Embeds on `embedder`. Each request added ends with exactly one EmbeddingEnded, unless it is aborted."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder, self._info = embedder, embedder.info
        self._jobs: dict[int, _Job] = {}  # all that have not ended
        self._turns: deque[_Job] = deque()  # of these, those with texts that are in no call yet
        self._ended: list[EmbeddingEnded] = []
        self._stats = EngineStats()

    @property
    def has_work(self) -> bool:
        """Whether `step` would do or tell anything."""
        return bool(self._turns or self._ended)

    @property
    def gather_seconds(self) -> float:
        """None: a text's call is rarely short enough to wait for another's."""
        return 0.0

    def add(self, request_id: int, texts: Sequence[TokenText]) -> None:
        """Queue a request's texts. ValueError for an id in use, and for a text that is empty or too long."""
        if request_id in self._jobs:
            raise ValueError(f"request {request_id} is under way")
        if any(not 1 <= len(text.tokens) <= self._info.max_tokens for text in texts):
            raise ValueError(f"a text must have 1 to {self._info.max_tokens} tokens")
        self._stats.added += 1
        self._stats.prompt_tokens += sum(len(text.tokens) for text in texts)
        job = self._jobs[request_id] = _Job(request_id, texts)
        if texts:
            self._turns.append(job)
        else:
            self._end(job)

    def tidy(self) -> bool:
        """Nothing waits for a quiet moment."""
        return False

    def abort(self, request_id: int) -> bool:
        """Forget a request; says whether it was there."""
        job = self._jobs.pop(request_id, None)
        if job is None:
            return False
        self._turns.remove(job)
        self._stats.aborts += 1
        return True

    def step(self, now: float) -> list[EmbeddingEnded]:
        """Compute one call and return what ended. `now` (seconds of a monotonic clock) decides nothing here."""
        if self._turns:
            self._compute(self._take())
        ended, self._ended = self._ended, []
        return ended

    def stats(self) -> EngineStats:
        """Return all counters, and as gauges the requests and texts that are not done."""
        waiting = sum(len(job.texts) - job.next for job in self._turns)
        return replace(self._stats, runner=dict(self._stats.runner), running=len(self._jobs), waiting=waiting)

    def _take(self) -> list[tuple[_Job, int]]:
        """Choose the texts of the next call: one of each request in turn, until the next does not fit."""
        chosen: list[tuple[_Job, int]] = []
        room = self._info.batch_tokens
        while self._turns and len(chosen) < self._info.batch_texts:
            job = self._turns[0]
            room -= len(job.texts[job.next].tokens)
            if chosen and room < 0:
                break
            chosen.append((job, job.next))
            job.next += 1
            self._turns.popleft()
            if job.next < len(job.texts):
                self._turns.append(job)
        return chosen

    def _compute(self, chosen: list[tuple[_Job, int]]) -> None:
        texts = [job.texts[index] for job, index in chosen]
        try:
            output = self._embedder.embed(texts)
        except Exception as error:  # whatever an embedder raises must end only the requests it was working on
            self._stats.failed_steps += 1
            for job, _ in chosen:
                self._fail(job, error)
            return
        tokens = sum(len(text.tokens) for text in texts)
        self._stats.decode_calls += 1
        self._stats.batch_sequences_total += len(texts)
        self._stats.executed_tokens += tokens
        self._stats.prefilled_tokens += tokens
        for name, value in output.counters.items():
            self._stats.runner[name] = self._stats.runner.get(name, 0) + value
        for (job, index), vector in zip(chosen, output.vectors, strict=True):
            if vector is None:
                self._fail(job, InvalidRequest(NO_VECTOR))
                continue
            job.vectors[index] = vector
            if len(job.vectors) == len(job.texts):
                self._end(job)

    def _end(self, job: _Job) -> None:
        del self._jobs[job.id]
        self._stats.finished += 1
        self._ended.append(EmbeddingEnded(job.id, tuple(job.vectors[index] for index in range(len(job.texts)))))

    def _fail(self, job: _Job, error: Exception) -> None:
        if self._jobs.pop(job.id, None) is None:
            return  # another of its texts has failed already
        if job in self._turns:
            self._turns.remove(job)
        self._stats.failed += 1
        if isinstance(error, ArrieroError):
            info = error.info()
        else:
            info = ErrorInfo("internal", f"the runner failed: {type(error).__name__}: {error}")
        self._ended.append(EmbeddingEnded(job.id, error=info))
