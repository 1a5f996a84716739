"""What embedding requests may say, on each route; the accepted ones are in tests/wire."""

from __future__ import annotations

import json

import pytest

from arriero.core.errors import ArrieroError, ContextLengthExceeded, InvalidRequest, ModelNotFound
from arriero.core.model import ModelDetails, ModelSpec
from arriero.protocols.embed_call import EmbedCall, numbers
from arriero.protocols.ollama import embed as ollama_embed
from arriero.protocols.openai import embed as openai_embed


def find(name: str) -> ModelSpec:
    """`e` makes vectors of 64 numbers, `chat` does not, others are unknown."""
    if name not in ("e", "chat"):
        raise ModelNotFound(f"model '{name}' not found", model=name)
    return ModelSpec(
        name=f"{name}:latest",
        path="/x.gguf",
        digest="ab" * 32,
        size=1,
        modified_at=0.0,
        details=ModelDetails(embedding_length=64),
        capabilities=("embedding",) if name == "e" else ("completion",),
    )


def embed(**fields: object) -> EmbedCall:
    return ollama_embed.decode_embed(json.dumps(fields).encode(), find)


def openai(**fields: object) -> EmbedCall:
    return openai_embed.decode_embeddings(json.dumps(fields).encode(), find)


@pytest.mark.parametrize(
    ("fields", "code", "text"),
    [
        ({"input": "x"}, "model_not_found", "model '' not found"),
        ({"model": "y", "input": "x"}, "model_not_found", 'model "y" not found, try pulling it first'),
        ({"model": "e", "input": 1}, "invalid_request", "invalid input type"),
        ({"model": "e", "input": {"a": 1}}, "invalid_request", "invalid input type"),
        ({"model": "e", "input": ["x", 1]}, "invalid_request", "invalid input type"),
        ({"model": "y", "input": [1]}, "invalid_request", "invalid input type"),
        ({"model": "chat", "input": "x"}, "not_implemented", ollama_embed.NO_EMBEDDINGS),
        (
            {"model": "e", "input": "x", "options": {"num_ctx": "9"}},
            "invalid_option",
            'option "num_ctx" must be of type',
        ),
        ({"model": "e", "input": "x", "keep_alive": "soon"}, "invalid_request", "time: invalid duration"),
    ],
)
def test_embed_errors(fields: dict[str, object], code: str, text: str) -> None:
    with pytest.raises(ArrieroError) as raised:
        embed(**fields)
    assert raised.value.code == code
    assert raised.value.message.startswith(text)


def test_embeddings_errors() -> None:
    def refused(**fields: object) -> ArrieroError:
        with pytest.raises(ArrieroError) as raised:
            ollama_embed.decode_embeddings(json.dumps(fields).encode(), find)
        return raised.value

    assert (refused(prompt="x").code, refused(prompt="x").message) == ("invalid_request", "model is required")
    error = refused(model="chat", prompt="x")
    assert (error.code, error.message) == ("internal", ollama_embed.NO_EMBEDDINGS)
    assert refused(model="y", prompt="x").code == "model_not_found"


def test_nothing_to_embed_is_no_error_for_any_model() -> None:
    nothings: tuple[object, ...] = ("", [], None)
    for nothing in nothings:
        assert embed(model="chat", input=nothing).request.inputs == ()
    assert embed(model="e", input=[""]).request.inputs == ("",)


def test_more_dimensions_than_there_are_is_told() -> None:
    call = embed(model="e", input="x", dimensions=65)
    assert (call.request.dimensions, call.ignored) == (65, ("dimensions",))
    assert embed(model="e", input="x", dimensions=64).ignored == ()


def test_an_input_that_is_too_long_has_ollamas_text() -> None:
    error = ollama_embed.refusal(ContextLengthExceeded("both numbers", prompt_tokens=9, context_length=4))
    assert (error.message, error.details["prompt_tokens"]) == ("the input length exceeds the context length", 9)
    other = InvalidRequest("x")
    assert ollama_embed.refusal(other) is other


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": "x"}, "model"),
        ({"model": "e"}, "input"),
        ({"model": "e", "input": ""}, "input"),
        ({"model": "e", "input": []}, "input"),
        ({"model": "e", "input": {}}, "input"),
        ({"model": "e", "input": True}, "input"),
        ({"model": "e", "input": [True]}, "input[0]"),
        ({"model": "e", "input": ["a", ""]}, "input[1]"),
        ({"model": "e", "input": ["a", []]}, "input[1]"),
        ({"model": "e", "input": [1, "a"]}, "input[0]"),
        ({"model": "e", "input": [[1, -1]]}, "input[0]"),
        ({"model": "e", "input": [2**31]}, "input[0]"),
        ({"model": "e", "input": "x", "encoding_format": "int8"}, "encoding_format"),
        ({"model": "e", "input": "x", "dimensions": 0}, "dimensions"),
        ({"model": "e", "input": "x", "dimensions": 65}, "dimensions"),
        ({"model": "e", "input": "x", "dimensions": "8"}, "dimensions"),
        ({"model": "e", "input": "x", "temperature": 1}, "temperature"),
        ({"model": "e", "input": "x", "options": {"num_ctxx": 1}}, "options.num_ctxx"),
    ],
)
def test_openai_errors_name_the_field(fields: dict[str, object], param: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        openai(**fields)
    assert raised.value.details["param"] == param


def test_unknown_fields_may_be_warned_of() -> None:
    body = json.dumps({"model": "e", "input": "x", "dimension": 3}).encode()
    with pytest.raises(InvalidRequest, match="did you mean 'dimensions'"):
        openai_embed.decode_embeddings(body, find)
    assert openai_embed.decode_embeddings(body, find, "warn").ignored == ("dimension",)


def test_numbers_are_little_endian() -> None:
    assert numbers(bytes.fromhex("0000803f 000000bf")) == [1.0, -0.5]
