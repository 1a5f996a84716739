"""Recorded request bodies decode to exactly the core requests beside them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from arriero.core.model import ModelSpec
from arriero.protocols.anthropic import request as anthropic_request
from arriero.protocols.call import Call, Find
from arriero.protocols.ollama import request as ollama_request
from arriero.protocols.openai import request as openai_request
from tests.wire.conftest import HERE, Golden

DECODERS: dict[str, Callable[[bytes, Find], Call]] = {
    "ollama_generate": ollama_request.decode_generate,
    "ollama_chat": ollama_request.decode_chat,
    "openai_chat": openai_request.decode_chat,
    "openai_completion": openai_request.decode_completion,
    "anthropic_messages": anthropic_request.decode_messages,
}


def find(name: str) -> ModelSpec:
    """A model with every capability and some options of its own."""
    return ModelSpec(
        name=f"{name}:latest",
        path="/models/x.gguf",
        digest="ab" * 32,
        size=1,
        modified_at=0.0,
        capabilities=("completion", "tools", "thinking"),
        options={"top_k": 7, "stop": ["<end>"], "temperature": 0.3},
    )


@pytest.mark.parametrize("path", sorted((HERE / "requests").glob("*.json")), ids=lambda path: path.stem)
def test_request(path: object, golden: Golden) -> None:
    name = str(path).rsplit("/", 1)[-1].removesuffix(".json")
    decode = DECODERS[name.partition("-")[0]]
    call = decode((HERE / "requests" / f"{name}.json").read_bytes(), find)
    golden(f"requests/{name}.core", msgspec.json.format(msgspec.json.encode(_changed(call))) + b"\n")


def _changed(value: Any) -> Any:
    """A struct's fields that are not at their defaults, all the way down."""
    if isinstance(value, msgspec.Struct):
        fields = [(one, getattr(value, one.name)) for one in msgspec.structs.fields(value)]
        return {one.name: _changed(given) for one, given in fields if given != one.default}
    return [_changed(item) for item in value] if isinstance(value, tuple) else value


def test_every_decoder_has_requests() -> None:
    names = {path.stem.partition("-")[0] for path in (HERE / "requests").glob("*.json")}
    assert names == set(DECODERS)
