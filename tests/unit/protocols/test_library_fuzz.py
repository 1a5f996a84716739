"""Whatever comes in, create, copy and delete decode it or raise one of our errors; so does the Modelfile's parser."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from arriero.core.errors import ArrieroError
from arriero.protocols.ollama import library as ollama_library
from arriero.protocols.ollama import modelfile

FIELDS = (
    *("model", "name", "from", "files", "adapters", "template", "license", "system", "parameters", "messages"),
    *("role", "content", "quantize", "stream", "source", "destination", "requires", "num_ctx", "stop", "temperature"),
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=3),
    max_leaves=10,
)
WORDS = st.sampled_from(
    [
        "FROM x",
        "SYSTEM ",
        '"""',
        '"',
        "\n",
        "\r\n",
        " ",
        "PARAMETER stop ",
        "PARAMETER seed ",
        "MESSAGE user ",
        "#",
        "é",
    ]
)


@settings(max_examples=150, deadline=None)
@given(fields=st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=6))
def test_any_json_object(fields: dict[str, Any]) -> None:
    body = json.dumps(fields).encode()
    for decode in (ollama_library.decode_create, ollama_library.decode_copy, ollama_library.decode_delete):
        try:
            decode(body)
        except ArrieroError as error:
            msgspec.json.encode(error.info())


@settings(max_examples=150, deadline=None)
@given(text=st.lists(WORDS | st.text(max_size=3), max_size=12).map("".join))
def test_any_modelfile(text: str) -> None:
    try:
        read = modelfile.parse(text)
    except ArrieroError:
        return
    assert read.bases
    json.dumps(read.fields)
