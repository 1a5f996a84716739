"""Calls on a worker of one's own: what the service is asked, and what its events become. The service is scripted."""

from __future__ import annotations

import struct
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

import arriero
from arriero.client import AsyncEngine, Engine
from arriero.core import errors
from arriero.core.constraint import Constraint
from arriero.core.embedding import Embedded, EmbedRequest
from arriero.core.errors import ErrorInfo
from arriero.core.events import Accepted, Event, Failed, Finished, TextDelta, ThinkingDelta, ToolCallDelta, Usage
from arriero.core.model import ModelDetails, ModelSpec, RunningModel, ShownModel
from arriero.core.request import GenerateRequest, LoadOptions, Message, ToolCall
from arriero.service.options import ServiceOptions

SPEC = ModelSpec(
    name="tiny:latest",
    path="/models/tiny.gguf",
    digest="ab" * 32,
    size=5,
    modified_at=86400.0,
    details=ModelDetails(family="llama", quantization="Q8_0", parameter_size="5M", context_length=2048),
    chat_template="T",
    options={"temperature": 0.5},
)
FINISHED = Finished(reason="stop", usage=Usage(prompt_tokens=3, completion_tokens=2))


class ScriptedService:
    """Knows one model; answers with `events`."""

    made: ScriptedService

    def __init__(self, catalog: Any, options: ServiceOptions, metrics: Any) -> None:
        self.options = options
        self.requests: list[GenerateRequest] = []
        self.done: list[str] = []
        self.events: list[Event] = []
        ScriptedService.made = self

    def find(self, name: str) -> ModelSpec:
        """Any name is the model's."""
        return SPEC

    async def generate(self, request: GenerateRequest) -> AsyncGenerator[Event, None]:
        """Yield the script."""
        self.requests.append(request)
        try:
            for event in self.events:
                yield event
        finally:
            self.done.append("generate")

    async def embed(self, request: EmbedRequest) -> Embedded:
        """One vector."""
        self.embedded = request
        return Embedded(vectors=(struct.pack("<2f", 0.5, -1.0),), usage=Usage(prompt_tokens=4))

    async def load(self, model: str, load: LoadOptions, keep_alive: float | None) -> None:
        """Note it."""
        self.done.append(f"load {load.num_ctx} {keep_alive}")

    async def unload(self, model: str) -> None:
        """Note it."""
        self.done.append("unload")

    def models(self) -> list[ModelSpec]:
        """The model."""
        return [SPEC]

    def running(self) -> list[RunningModel]:
        """The model."""
        return [RunningModel(spec=SPEC, size=9, size_vram=1, expires_at=None, context_length=512)]

    async def show(self, name: str, verbose: bool) -> ShownModel:
        """The model."""
        return ShownModel(spec=SPEC, model_info={"general.architecture": "llama"})

    async def close(self) -> None:
        """Note it."""
        self.done.append("close")


@pytest.fixture(autouse=True)
def scripted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No worker, no configuration of whoever runs the tests."""
    monkeypatch.setattr("arriero.client.worker_speaker.Service", ScriptedService)
    monkeypatch.setenv("ARRIERO_HOME", str(tmp_path))


async def test_a_conversation_becomes_a_request_and_events_an_answer() -> None:
    async with AsyncEngine("/models/tiny.gguf") as engine:
        service = ScriptedService.made
        call = ToolCall(name="f", arguments={}, id="c")
        service.events = [
            Accepted(prompt_tokens=3),
            ThinkingDelta(text="hm"),
            TextDelta(text="Hi", tokens=1),
            TextDelta(text="", tokens=1),
            ToolCallDelta(index=0, call=call),
            FINISHED,
        ]
        given: Any = {"system": "s", "options": {"num_ctx": 99, "seed": 4}, "keep_alive": "1m", "think": True}
        answer = await engine.chat([{"role": "user", "content": "q"}], **given)
        assert (answer.text, answer.thinking, answer.tool_calls) == ("Hi", "hm", (call,))
        assert (answer.finish_reason, answer.usage.prompt_tokens) == ("stop", 3)
        (request,) = service.requests
        assert request.model == "tiny:latest"
        assert request.messages == (Message(role="system", content="s"), Message(role="user", content="q"))
        assert (request.sampling.seed, request.sampling.temperature, request.load.num_ctx) == (4, 0.5, 99)
        assert (request.keep_alive, request.think) == (60.0, True)
    assert service.done == ["generate", "close"]


async def test_a_prompt_and_a_raw_one() -> None:
    async with AsyncEngine("/models/tiny.gguf") as engine:
        ScriptedService.made.events = [FINISHED]
        await engine.generate("q", system="s")
        await engine.generate("q", raw=True)
        first, second = ScriptedService.made.requests
        assert (first.prompt, first.system, first.raw, first.messages) == ("q", "s", False, None)
        assert (second.prompt, second.raw) == ("q", True)


async def test_leaving_a_stream_closes_the_generation() -> None:
    async with AsyncEngine("/models/tiny.gguf") as engine:
        service = ScriptedService.made
        service.events = [TextDelta(text="a"), TextDelta(text="b"), FINISHED]
        async with engine.stream("q") as stream:
            assert (await anext(stream)).text == "a"
        assert service.done == ["generate"]


async def test_a_failure_is_raised() -> None:
    async with AsyncEngine("/models/tiny.gguf") as engine:
        ScriptedService.made.events = [TextDelta(text="a"), Failed(error=ErrorInfo("worker_died", "gone"))]
        with pytest.raises(errors.WorkerDied, match="gone"):
            await engine.generate("q")
        with pytest.raises(errors.InvalidOption, match="unknown options: hot"):
            await engine.generate("q", options={"hot": 1})
        with pytest.raises(errors.InvalidOption, match="invalid format"):
            await engine.generate("q", format="xml")


async def test_an_answer_is_held_to_a_format() -> None:
    async with AsyncEngine("/models/tiny.gguf") as engine:
        ScriptedService.made.events = [FINISHED]
        await engine.generate("q", format="json")
        await engine.generate("q", format={"type": "integer"})
        asked = [request.constraint for request in ScriptedService.made.requests]
        assert asked == [Constraint(kind="json_object"), Constraint(kind="json_schema", schema={"type": "integer"})]


async def test_texts_become_vectors() -> None:
    async with AsyncEngine("/models/tiny.gguf") as engine:
        found = await engine.embed("q", dimensions=2, truncate=True)
        assert (found.vectors, found.usage.prompt_tokens) == (((0.5, -1.0),), 4)
        expected = EmbedRequest(model="tiny", inputs=("q",), dimensions=2, truncate=True)
        assert ScriptedService.made.embedded == expected


async def test_an_empty_prompt_loads_and_unloads() -> None:
    async with AsyncEngine("/models/tiny.gguf") as engine:
        service = ScriptedService.made
        assert (await engine.generate("", options={"num_ctx": 64}, keep_alive=-1)).finish_reason == "load"
        assert (await engine.generate("", keep_alive=0)).finish_reason == "unload"
        assert service.done == ["load 64 -1.0", "unload"]


def test_the_blocking_engine_tells_of_its_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARRIERO_DETERMINISTIC", "1")
    with Engine("/models/tiny.gguf", worker={"layout": "streams"}) as engine:
        options = ScriptedService.made.options
        assert options.keep_alive == -1
        assert dict(options.worker) == {"deterministic": True, "layout": "streams"}
        (model,) = engine.models()
        assert (model.name, model.size, model.details.quantization_level) == ("tiny:latest", 5, "Q8_0")
        (running,) = engine.ps()
        assert (running.size_vram, running.context_length, running.expires_at) == (1, 512, None)
        shown = engine.show()
        assert (shown.template, shown.model_info) == ("T", {"general.architecture": "llama"})
        assert engine.version() == arriero.__version__
        assert engine.server().kind == "arriero"
