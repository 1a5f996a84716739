"""Embedding requests and replies of every protocol, byte for byte; the files are in `embeddings/`."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence

import msgspec
import pytest

from arriero.core.embedding import Embedded, EmbedRequest
from arriero.core.events import Usage
from arriero.core.model import ModelDetails, ModelSpec
from arriero.protocols.call import Find
from arriero.protocols.embed_call import EmbedCall, vector_json
from arriero.protocols.ollama import embed as ollama_embed
from arriero.protocols.openai import embed as openai_embed
from tests.wire.conftest import HERE, Golden
from tests.wire.test_requests import _changed

Encode = Callable[[EmbedCall, Sequence[msgspec.Raw], Usage], bytes]
DECODERS: dict[str, Callable[[bytes, Find], EmbedCall]] = {
    "ollama_embed": ollama_embed.decode_embed,
    "ollama_embeddings": ollama_embed.decode_embeddings,
    "openai": openai_embed.decode_embeddings,
}
EMBEDDED = Embedded(
    vectors=(struct.pack("<3f", 0.5, -0.25, 1e-7), struct.pack("<3f", 1, 0, -1)),
    usage=Usage(prompt_tokens=9, load_ns=5, total_ns=30),
    truncated=(1,),
)


def find(name: str) -> ModelSpec:
    return ModelSpec(
        name=f"{name}:latest",
        path="/models/x.gguf",
        digest="ab" * 32,
        size=1,
        modified_at=0.0,
        details=ModelDetails(embedding_length=64),
        capabilities=("embedding",),
        options={"num_ctx": 256, "temperature": 0.3},
    )


@pytest.mark.parametrize("path", sorted((HERE / "embeddings").glob("*.request")), ids=lambda path: path.stem)
def test_request(path: object, golden: Golden) -> None:
    name = str(path).rsplit("/", 1)[-1].removesuffix(".request")
    call = DECODERS[name.partition("-")[0]]((HERE / "embeddings" / f"{name}.request").read_bytes(), find)
    golden(f"embeddings/{name}.core", msgspec.json.format(msgspec.json.encode(_changed(call))) + b"\n")


@pytest.mark.parametrize(
    ("name", "encode", "as_base64", "embedded"),
    [
        ("ollama_embed", ollama_embed.encode_embed, False, EMBEDDED),
        (
            "ollama_embed-load",
            ollama_embed.encode_embed,
            False,
            Embedded(vectors=(), usage=Usage(load_ns=5, total_ns=6)),
        ),
        ("ollama_embeddings", ollama_embed.encode_embeddings, False, EMBEDDED),
        ("ollama_embeddings-load", ollama_embed.encode_embeddings, False, Embedded(vectors=())),
        ("openai", openai_embed.encode_embeddings, False, EMBEDDED),
        ("openai-base64", openai_embed.encode_embeddings, True, EMBEDDED),
    ],
)
def test_reply(
    name: str,
    encode: Encode,
    as_base64: bool,
    embedded: Embedded,
    golden: Golden,
) -> None:
    call = EmbedCall(request=EmbedRequest(model="m:latest", inputs=()), model="m", base64=as_base64)
    pieces = [vector_json(vector, as_base64=as_base64) for vector in embedded.vectors]
    golden(f"embeddings/{name}.reply", encode(call, pieces, embedded.usage))
