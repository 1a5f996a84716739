"""Whatever bytes come in, the decoders of vectors and ranks return what a worker can be sent, or one of our errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arriero.core import messages as wire
from arriero.core.errors import ArrieroError
from arriero.core.model import ModelDetails, ModelSpec
from arriero.protocols import rank
from arriero.protocols.call import Find
from arriero.protocols.embed_call import EmbedCall
from arriero.protocols.ollama import embed as ollama_embed
from arriero.protocols.openai import embed as openai_embed

DECODERS: tuple[Callable[[bytes, Find], EmbedCall | rank.RankCall], ...] = (
    ollama_embed.decode_embed,
    ollama_embed.decode_embeddings,
    openai_embed.decode_embeddings,
    rank.decode_rerank,
    rank.decode_score,
)
FIELDS = (
    *("model", "input", "prompt", "truncate", "dimensions", "encoding_format", "keep_alive", "options", "num_ctx"),
    *("query", "documents", "text", "top_n", "return_documents", "text_1", "text_2", "user"),
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["e", "5m", "-1", "base64", "float", ""])
    | st.text(max_size=6)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=3), inner),
    max_leaves=5,
)
BODIES = st.dictionaries(st.sampled_from(FIELDS), VALUES) | st.fixed_dictionaries(
    {"model": st.just("e")},
    optional={
        "input": VALUES | st.lists(st.text(max_size=4) | st.lists(st.integers(0, 9), max_size=3), max_size=3),
        "prompt": SCALARS,
        "query": st.text(max_size=4),
        "documents": st.lists(st.text(max_size=4) | st.dictionaries(st.just("text"), st.text(max_size=4)), max_size=3),
        "text_1": VALUES | st.text(max_size=4),
        "text_2": VALUES | st.lists(st.text(max_size=4), max_size=3),
        "dimensions": SCALARS,
        "options": VALUES,
    },
)


def find(name: str) -> ModelSpec:
    return ModelSpec(
        name=name,
        path="",
        digest="0" * 64,
        size=0,
        modified_at=0.0,
        details=ModelDetails(embedding_length=8),
        capabilities=("embedding",),
    )


def survives(decode: Callable[[bytes, Find], EmbedCall | rank.RankCall], body: bytes) -> None:
    try:
        call = decode(body, find)
    except ArrieroError as error:
        msgspec.json.encode(error.info())
        return
    if isinstance(call, EmbedCall):
        sent: Any = wire.Embed(id=1, request=call.request)
    else:
        sent = wire.Rank(id=1, request=call.request)
    assert wire.decode_commands(wire.encode_frame([sent])[wire.HEADER_SIZE :]) == [sent]


@pytest.mark.parametrize("decode", DECODERS)
@settings(max_examples=100, deadline=None)
@given(body=st.binary(max_size=60))
def test_any_bytes(decode: Callable[[bytes, Find], EmbedCall | rank.RankCall], body: bytes) -> None:
    survives(decode, body)


@pytest.mark.parametrize("decode", DECODERS)
@settings(max_examples=100, deadline=None)
@given(body=BODIES)
def test_any_fields(decode: Callable[[bytes, Find], EmbedCall | rank.RankCall], body: dict[str, Any]) -> None:
    survives(decode, msgspec.json.encode(body))
