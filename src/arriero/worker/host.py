"""The worker: commands in, steps, events out. The main thread renders and tokenizes (long texts are tokenized beside),
the loop thread owns the engine, the teller's makes text and sends it, a fourth one reads. None waits for another.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from typing import Any

from arriero.core import messages as wire
from arriero.core.constraint import TokenMask
from arriero.core.embedding import LoadedEmbedder
from arriero.core.errors import ArrieroError, ErrorInfo, UnsupportedFeature
from arriero.core.request import GenerateRequest
from arriero.core.tokenizer import LoadedModel
from arriero.engine.engine import Engine
from arriero.engine.events import Ended, EngineEvent
from arriero.engine.loop import Command, Loop, StepStats
from arriero.engine.options import EngineOptions
from arriero.engine.sequence import SequenceSpec
from arriero.runners import open_model, prepare
from arriero.worker.answers import answer
from arriero.worker.beam_desk import BeamDesk
from arriero.worker.budgets import within_budget
from arriero.worker.connection import Connection
from arriero.worker.crash import crash
from arriero.worker.embedding import EmbeddingDesk
from arriero.worker.faces import Face, Faces
from arriero.worker.failures import failure
from arriero.worker.guesses import draft_tokens, predicted_tokens
from arriero.worker.inbox import Inbox, Rest
from arriero.worker.mask_desk import MaskDesk
from arriero.worker.prompt import Prompt
from arriero.worker.stream import RequestStream, stream_stops
from arriero.worker.teller import Decisions, Step, Teller
from arriero.worker.text_desk import Steps, TextDesk
from arriero.worker.token_ids import check_sampling

STATS_INTERVAL = 0.1  # seconds; idle and every end flush at once
MOST_GONE = 4096
WIND_UP = 2.7  # seconds; a little less than what the server waits (backends/child.py)


def _engine_options(settings: Mapping[str, Any]) -> EngineOptions:
    """The engine's share of a worker's settings."""
    known = {field.name for field in fields(EngineOptions)}
    return EngineOptions(**{name: value for name, value in settings.items() if name in known})


class Host:
    """Serves one connection until the server goes or says Shutdown; then the process ends."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._model: LoadedModel
        self._faces: Faces
        self._engine: Engine
        self._loop: Loop[EngineEvent]
        self._embedding: EmbeddingDesk | None = None  # of an embedding model: it does all that stands below
        self._loaded = threading.Event()
        self._mask_desk: MaskDesk
        self._beam_desk: BeamDesk
        self._compiling: set[int] = set()  # requests whose mask is being made; the loop thread's
        self._gone: set[int] = set()  # requests whose abort overtook them; each thread looks before it begins
        self._inbox = Inbox(connection, self._urgent)
        self._text_desk = TextDesk(self._inbox.resume)
        self._teller: Teller
        self._streams: dict[int, RequestStream] = {}  # whose sequence has not ended; the loop thread's
        self._stats_sent = 0.0
        self._step_ended = 0.0

    def serve(self) -> None:
        """Read commands for ever. Returns only when the server has gone."""
        for command in self._inbox:
            match command:
                case wire.Prepare(runner=runner):
                    prepare(runner)
                    self._connection.send([wire.Prepared()])
                case wire.Load():
                    threading.Thread(target=self._run, args=(command,), name="engine", daemon=True).start()
                case wire.Shutdown():
                    self._wind_up()
                    return
                case Rest(go_on=go_on):
                    go_on()
                case _:
                    self._loaded.wait()  # the server speaks of requests only after Ready
                    self._handle(command)

    # --- the reading thread ---

    def _urgent(self, command: wire.Command) -> bool:
        """Take an abort at once: the main thread may be rendering somebody's long prompt meanwhile."""
        if not isinstance(command, wire.Abort):
            return False
        self._loaded.wait()  # Ready is sent a moment before
        if self._embedding is not None:
            return False
        number, arrived = command.id, self._loop.steps
        self._gone.add(number)
        self._loop.submit(lambda: self._abort(number, arrived))
        return True

    # --- the main thread ---

    def _handle(self, command: wire.Command) -> None:
        if self._embedding is not None:
            self._embedding.handle(command)
            return
        match command:
            case wire.Generate(id=number):
                steps = self._generate(number, command.request, command.face)
                self._text_desk.run(steps, lambda: self._is_wanted(number))
            case wire.Attach():
                self._attach(command)
            case wire.Detach(face=face):
                self._loop.submit(lambda: self._detach(face))
            case wire.Tokenize() | wire.Detokenize() | wire.Render() | wire.Prompt():
                self._text_desk.run(answer(command, self._model.tokenizer, self._faces, self._reply))
            case wire.Embed(id=number) | wire.Rank(id=number):
                error = UnsupportedFeature("the model was not made for embeddings")
                self._reply(wire.RequestFailed(id=number, error=error.info()))

    def _attach(self, command: wire.Attach) -> None:
        try:
            face = self._faces.make(command.spec)
        except Exception as error:
            self._reply(wire.RequestFailed(id=command.id, error=failure(error)))
            return

        def attach() -> None:
            report: wire.Attached | wire.RequestFailed
            try:
                report = wire.Attached(id=command.id, size=self._faces.attach(command.face, face))
            except ArrieroError as error:
                report = wire.RequestFailed(id=command.id, error=error.info())
            self._reply(report)

        self._loop.submit(attach)

    def _reply(self, report: Any) -> None:
        self._teller.say([report])

    def _is_wanted(self, number: int) -> bool:
        """Whether its client is still there; to be asked until it is not."""
        if number not in self._gone:
            return True
        self._gone.discard(number)
        return False

    def _generate(self, number: int, request: GenerateRequest, face_key: str) -> Steps[None]:
        received = time.monotonic()
        if not self._is_wanted(number):
            return
        try:
            face = self._faces[face_key]
            prompt = yield from face.prompts.build(request)
            predicted = yield from predicted_tokens(request, self._model.tokenizer)
            check_sampling(request.sampling, self._model.tokenizer.n_vocab)
            if request.prompt_logprobs and self._model.make_scorer is None:
                raise UnsupportedFeature("this model's runner cannot score prompts", param="echo")
            plan = face.plans.plan(request, prompt)
            if plan is None:
                stream = self._stream(number, request, face, prompt, predicted, None, received)
                self._loop.submit(lambda: self._add(stream))
                return
        except Exception as error:  # raised, it would end the worker, and everybody's streams with it
            self._reply(wire.RequestFailed(id=number, error=failure(error)))
            return

        def compiled(mask: TokenMask | None) -> None:
            stream = self._stream(number, request, face, prompt, predicted, mask, received)
            self._loop.submit(lambda: self._masked(number, stream))

        def refused(error: ErrorInfo) -> None:
            report = wire.RequestFailed(id=number, error=error)
            self._loop.submit(lambda: self._masked(number, report))

        self._loop.submit(lambda: self._compiling.add(number))
        self._mask_desk.submit(plan, compiled, refused)

    def _stream(
        self,
        number: int,
        request: GenerateRequest,
        face: Face,
        prompt: Prompt,
        predicted: tuple[int, ...],
        mask: TokenMask | None,
        received: float,
    ) -> RequestStream:
        piece = face.special_tokens.piece(request)
        mask = within_budget(request, prompt, face.plans.thinking(request), mask, self._model.tokenizer, piece)
        make_scorer = self._model.make_scorer if request.prompt_logprobs else None
        scorer = None if make_scorer is None else make_scorer(request.sampling.logprobs or 0)
        asked = request.sampling.max_tokens or int(scorer is not None)  # none: the engine would compute nothing
        most = face.prompts.room(request) + 1 - len(prompt.tokens)  # the last one drawn is not stored
        sequence = SequenceSpec(
            id=number,
            tokens=prompt.tokens,
            sampler=self._model.make_sampler(request.sampling, mask),
            max_tokens=most if asked < 0 else min(asked, most),
            stop_ids=stream_stops(request.sampling, self._model.tokenizer),
            min_tokens=request.sampling.min_tokens,
            priority=request.priority,
            tenant=request.tenant,
            use_cache=request.cache_prompt and scorer is None,
            deadline=None if request.deadline is None else received + request.deadline,
            scorer=scorer,
            adapters=face.adapters_of(request),
            draft_tokens=draft_tokens(request),
            prediction=predicted,
            model=face.name,
        )
        return RequestStream(request, prompt, sequence, self._model.tokenizer, received, mask, piece)

    def _wind_up(self) -> None:
        """Let what is cached outlive this process, where the runner can do that, in the time that the server gives."""
        if not self._loaded.is_set() or self._embedding is not None or not self._model.runner.info.spill_blocks:
            return
        closed = threading.Event()

        def close() -> None:
            for number in list(self._streams):
                self._engine.abort(number)
            self._engine.spill_all()
            if self._engine.has_work:
                self._engine.step(time.monotonic())
            self._model.runner.close()
            closed.set()

        self._loop.submit(close)
        self._loop.stop()
        closed.wait(WIND_UP)

    # --- the loop thread ---

    def _run(self, command: wire.Load) -> None:
        try:
            self._load(command)
        except ArrieroError as error:
            self._connection.send([wire.LoadFailed(error=error.info())])
            return
        except BaseException as error:
            crash(error)
        if self._embedding is not None:
            self._embedding.run()
        else:
            self._loop.run()

    def _load(self, command: wire.Load) -> None:
        started = time.monotonic()
        self._progress(0.0)
        model = open_model(command.spec, command.load, command.options, self._progress)
        if isinstance(model, LoadedEmbedder):
            self._embedding = EmbeddingDesk(self._connection, model, self._text_desk, crash)
            load_ns = int((time.monotonic() - started) * 1e9)
            self._connection.send([self._embedding.stats(), self._embedding.ready(load_ns)])
            self._loaded.set()
            return
        info = model.runner.info
        self._model = model
        hold_calls = bool(command.options.get("hold_calls", True))
        self._faces = Faces(command.spec, model, hold_calls=hold_calls)
        self._mask_desk = MaskDesk(model.masks)
        self._engine = Engine(model.runner, _engine_options(command.options), model.drafter)
        self._beam_desk = BeamDesk(self._engine, model.make_sampler, model.tokenizer.eog_ids)
        self._loop = Loop(self._engine, self._sink, self._on_step, crash)
        self._engine.tell_early(self._loop.tell_early)
        decisions = Decisions(
            submit=self._loop.submit,
            stop=lambda number: self._engine.finish(number, "stop"),
            again=self._again,
            go_on=self._go_on,
            over=lambda number: self._streams.pop(number, None),
        )
        self._teller = Teller(self._connection, decisions, crash)
        ready = wire.Ready(
            context_length=info.max_sequence_tokens,
            max_sequences=info.max_sequences,
            layout=info.layout,
            kv_cache_type=info.kv_cache_type,
            memory=info.memory,
            layers_total=info.layers_total,
            layers_gpu=info.layers_gpu,
            load_ns=int((time.monotonic() - started) * 1e9),
            capabilities=self._faces[""].templates.capabilities,
        )
        self._connection.send([self._stats(), ready])
        threading.Thread(target=self._teller.run, name="teller", daemon=True).start()
        self._loaded.set()

    def _progress(self, fraction: float) -> None:
        self._connection.send([wire.LoadProgress(fraction=fraction)])

    def _sink(self, events: list[EngineEvent]) -> Iterable[Command]:
        """Hand a step's events on: their text is made and sent while the next step runs."""
        now = time.monotonic()
        told: list[tuple[RequestStream, EngineEvent]] = []
        ended = False
        for event in self._beam_desk.told(events):
            stream = self._streams.get(event.id)
            if stream is None:
                continue  # aborted
            if isinstance(event, Ended):
                ended = True
                if event.reason != "length":  # what goes on after a full context, its text decides
                    del self._streams[event.id]
                if event.reason == "abort":
                    continue
            told.append((stream, event))
        if told:
            self._teller.tell(Step(told, self._step_ended, now, self._stats() if ended else None))
        return ()

    def _on_step(self, stats: StepStats) -> None:
        self._step_ended = time.monotonic()
        if self._step_ended - self._stats_sent > STATS_INTERVAL or not self._engine.has_work:
            self._teller.say([self._stats()])

    def _stats(self) -> wire.Stats:
        self._stats_sent = time.monotonic()
        stats = self._engine.stats()
        if not self._faces.shared:
            return wire.Stats(counters=stats.counters, gauges=stats.gauges)
        counters, gauges = self._engine.stats_by_model()
        return wire.Stats(
            counters=stats.counters, gauges=stats.gauges, counters_by_model=counters, gauges_by_model=gauges
        )

    def _again(self, stream: RequestStream) -> SequenceSpec | None:
        """What goes on after the context was full; None if nothing does."""
        room = stream.room(self._model.runner.info.max_sequence_tokens)
        shifted = stream.shifted(room)
        if shifted is None:
            return None
        tokens, left = shifted
        most = min(left, room + 1 - len(tokens))
        return replace(stream.sequence, tokens=tokens, max_tokens=most, min_tokens=0, deadline=None)

    def _go_on(self, stream: RequestStream, sequence: SequenceSpec) -> None:
        if self._streams.get(stream.number) is stream:  # its client is still there
            self._engine.add(sequence)

    def _detach(self, face: str) -> None:
        in_use = {path for stream in self._streams.values() for path, _ in stream.sequence.adapters}
        self._faces.detach(face, in_use)

    def _masked(self, number: int, what: RequestStream | wire.RequestFailed) -> None:
        """The mask of a request is there, or cannot be made; the client may have gone meanwhile."""
        if number not in self._compiling:
            return
        self._compiling.remove(number)
        if isinstance(what, RequestStream):
            self._add(what)
        else:
            self._teller.say([what])

    def _add(self, stream: RequestStream) -> None:
        if stream.number in self._gone:
            self._gone.discard(stream.number)
            return
        sequence = stream.sequence
        self._streams[stream.number] = stream
        if not self._engine.has_work:
            self._step_ended = time.monotonic()  # the next step starts now, not when the last one ended
        cached = self._engine.match_length(sequence.tokens, sequence.cache_salt)
        place = self._engine.place(sequence)
        accepted = wire.RequestAccepted(
            id=stream.number,
            prompt_tokens=len(stream.prompt.tokens),
            cached_tokens=cached,
            common_tokens=self._engine.common_length(sequence) if stream.explain_cache else None,
            dropped_messages=stream.prompt.dropped_messages,
            opens_thinking=stream.prompt.opens_thinking,
            ahead=place.ahead,
            queue_seconds=place.seconds,
        )
        echo = stream.echo()
        self._teller.say([accepted] if echo is None else [accepted, echo])
        self._sink(self._beam_desk.add(sequence, stream.beams, stream.sampling))

    def _abort(self, number: int, arrived: int) -> None:
        """The client of `number` is gone; this was heard when `arrived` steps had ended."""
        self._compiling.discard(number)
        if self._streams.pop(number, None) is not None:
            self._gone.discard(number)
            self._engine.abort(number, self._loop.steps - arrived)
            self._beam_desk.abort(number)
        elif len(self._gone) > MOST_GONE:  # some had ended when their abort came
            for old in sorted(self._gone)[: MOST_GONE // 2]:
                self._gone.discard(old)
