"""Models made of weights over a real server: safetensors, adapters of PEFT, GGUFs in parts; asked afterwards."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import httpx
import numpy as np
import ollama
import psutil
import pytest

from arriero.convert.model import convert
from tests.e2e.serving import Server, clean_environment, serve
from tests.unit.convert import test_bert as bert
from tests.unit.convert.decoders import FAMILIES, TOKENS
from tests.unit.convert.folders import Array, files_in, random_tensors, write_json, write_weights
from tests.unit.convert.reference import Network
from tests.unit.convert.test_adapter import adapter_folder
from tests.unit.store.test_splits import split

T = TypeVar("T")
LIMIT = 60.0
PROMPT = "the llama hello"
IDS = [TOKENS.index(text) for text in ("the", "Ġ", "ll", "a", "m", "a", "Ġ", "hello")]
COLD = {"temperature": 0, "num_predict": 8, "num_thread": 1}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("weights home")


@pytest.fixture(scope="module")
def parts(home: Path, network: Network) -> list[Path]:
    """The tiny Qwen 3 in a GGUF of several parts, in a folder of models that is served in place."""
    folder = home / "placed"
    folder.mkdir()
    convert(files_in(home / "qwen"), folder / "whole.gguf", lambda done, total: None)
    found = split(folder / "whole.gguf", "parts", 9)
    (folder / "whole.gguf").unlink()
    return found


@pytest.fixture(scope="module")
def server(home: Path, parts: list[Path]) -> Iterator[Server]:
    models = {"OLLAMA_MODELS": str(home / "models")}
    with serve(home, "--models-dir", str(parts[0].parent), environment=models) as running:
        yield running


@pytest.fixture(scope="module")
def client(server: Server) -> ollama.Client:
    return ollama.Client(host=server.url, trust_env=False)


@pytest.fixture(scope="module")
def network(home: Path) -> Network:
    """A tiny Qwen 3, whose folder is beside the models'."""
    return FAMILIES["qwen3"](home / "qwen")


@pytest.fixture
def arriero(server: Server, home: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a command line against the server, in a folder."""

    def run(*arguments: str, folder: Path = home) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "arriero", *arguments],
            env=clean_environment(home, {"OLLAMA_HOST": server.url, "OLLAMA_MODELS": str(home / "models")}),
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=90,
        )

    return run


def greedy(network: Network, count: int = 8) -> list[int]:
    """The most likely tokens after the prompt, one by one."""
    ids = list(IDS)
    for _ in range(count):
        ids.append(int(network.logits(ids)[-1].argmax()))
    return ids[len(IDS) :]


def answered(client: ollama.Client, model: str) -> list[int]:
    """The tokens of the model's answer to the prompt, at temperature 0."""
    body = {"model": model, "prompt": PROMPT, "raw": True, "options": COLD, "logprobs": True, "stream": False}
    reply = httpx.post(f"{client._client.base_url}/api/generate", json=body, trust_env=False, timeout=60).json()
    assert "logprobs" in reply, reply
    return [token_id(bytes(one["bytes"])) for one in reply["logprobs"]]


def token_id(data: bytes) -> int:
    """The id of the token with these bytes, a special one's name included."""
    return PIECES.index(data)


def _pieces() -> list[bytes]:
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    spare = iter(range(256, 512))
    byte_of = {chr(byte if byte in printable else next(spare)): byte for byte in range(256)}
    return [
        bytes(byte_of[char] for char in text) if text[0] != "<" or len(text) == 1 else text.encode() for text in TOKENS
    ]


PIECES = _pieces()


def upload(client: ollama.Client, folder: Path) -> dict[str, str]:
    """The folder's files as blobs of the server."""
    return {name: client.create_blob(path) for name, path in files_in(folder).items()}


def test_a_folder_by_the_command_line(
    arriero: Callable[..., subprocess.CompletedProcess[str]], client: ollama.Client, network: Network, home: Path
) -> None:
    made = arriero("create", "qwen", folder=home / "qwen")
    assert made.returncode == 0, made.stderr
    assert "converting model" in made.stderr
    assert made.stderr.rstrip().endswith("success")
    assert answered(client, "qwen") == greedy(network)
    shown = client.show("qwen")
    assert shown.details is not None
    assert (shown.details.family, shown.details.quantization_level) == ("qwen3", "F16")
    assert "chat_template" not in (shown.modelinfo or {})
    reply = client.chat("qwen", [{"role": "user", "content": "hello"}], options=COLD)
    assert reply.prompt_eval_count == 19  # by the folder's own chat template


@pytest.mark.parametrize(
    ("program", "stream"), [("arriero.convert", True), ("arriero.convert", False), ("quantize", True)]
)
def test_who_leaves_ends_the_work_and_leaves_nothing(
    server: Server, client: ollama.Client, network: Network, home: Path, program: str, stream: bool
) -> None:
    body: dict[str, object] = {"model": "left", "stream": stream}
    if program == "quantize":
        body |= {"files": {"x.gguf": client.create_blob(_whole(home))}, "quantize": "q8_0"}
    else:
        body |= {"files": upload(client, home / "qwen")}
    before = sorted((home / "models" / "blobs").iterdir())
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=LIMIT)
    connection.request("POST", "/api/create", json.dumps(body))
    child = until(lambda: next(iter(_children(server, program)), None))
    child.suspend()  # it would be done before anybody could leave
    temporary = home / "models" / ".arriero" / "tmp"
    assert list(temporary.iterdir())
    connection.close()
    until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)
    until(lambda: not list(temporary.iterdir()))
    assert sorted((home / "models" / "blobs").iterdir()) == before
    assert "left:latest" not in {model.model for model in client.list().models}


def _whole(home: Path) -> Path:
    path = home / "whole.gguf"
    convert(files_in(home / "qwen"), path, lambda done, total: None)
    return path


def _children(server: Server, program: str) -> list[psutil.Process]:
    """The server's own programs with that word on their command line."""
    found = []
    for child in psutil.Process(server.process.pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if any(program in word for word in child.cmdline()):
                found.append(child)
    return found


def until(find: Callable[[], T | None]) -> T:
    """What `find` finds, once it finds something."""
    end = time.monotonic() + LIMIT
    while not (found := find()):
        assert time.monotonic() < end
        time.sleep(0.005)
    return found


def test_files_by_the_official_client_and_quantized(client: ollama.Client, network: Network, home: Path) -> None:
    files = upload(client, home / "qwen")
    statuses = [one.status for one in client.create("small", files=files, quantize="q8_0", stream=True)]
    assert statuses[0] == "converting model"
    assert "quantizing F16 model to Q8_0" in statuses
    assert statuses[-2:] == ["writing manifest", "success"]
    details = client.show("small").details
    assert details is not None
    assert details.quantization_level == "Q8_0"
    assert len(answered(client, "small")) == 8
    assert not list((home / "models" / ".arriero" / "tmp").iterdir())


def test_what_cannot_be_converted(client: ollama.Client, network: Network, home: Path) -> None:
    files = upload(client, home / "qwen")
    config = json.dumps({"architectures": ["NoSuchModel"]}).encode()
    digest = f"sha256:{hashlib.sha256(config).hexdigest()}"
    url = str(client._client.base_url)
    assert httpx.post(f"{url}/api/blobs/{digest}", content=config, trust_env=False).status_code == 201
    before = {one.model for one in client.list().models}
    with pytest.raises(ollama.ResponseError) as raised:
        client.create("broken", files=files | {"config.json": digest})
    assert raised.value.error == 'unsupported architecture "NoSuchModel"'
    assert raised.value.status_code == 400
    assert {one.model for one in client.list().models} == before


def test_an_adapter_by_modelfile_and_client(
    arriero: Callable[..., subprocess.CompletedProcess[str]],
    server: Server,
    client: ollama.Client,
    network: Network,
    home: Path,
) -> None:
    for one in client.ps().models:  # one of them has these weights, which count once
        client.generate(one.model or "", keep_alive=0)
    products = adapter_folder(home / "lora", network, ("q_proj", "v_proj", "up_proj"))
    merged: dict[str, Array] = dict(network.tensors)
    for name, product in products.items():
        merged[name] = merged[name] + product * 2.0
    expected = greedy(replace(network, tensors=merged))
    assert expected != greedy(network)
    (home / "Modelfile").write_text("FROM ./qwen\nADAPTER ./lora\n")
    made = arriero("create", "tuned", "-f", str(home / "Modelfile"))
    assert made.returncode == 0, made.stderr
    assert "converting adapter" in made.stderr
    assert answered(client, "tuned") == expected
    assert "\nADAPTER " in (client.show("tuned").modelfile or "")
    client.create("plain", from_="tuned")  # keeps it
    assert answered(client, "plain") == expected
    client.create("base", files=upload(client, home / "qwen"))
    client.create("again", from_="base", adapters=upload(client, home / "lora"))
    assert answered(client, "again") == expected
    assert answered(client, "base") == greedy(network)
    serving_as_one(server, client, {"base": greedy(network), "tuned": expected, "again": expected})
    with pytest.raises(ollama.ResponseError) as raised:
        client.create("demo-tuned", from_="demo", adapters=upload(client, home / "lora"))
    assert raised.value.status_code == 400


def serving_as_one(server: Server, client: ollama.Client, expected: dict[str, object]) -> None:
    """A model and those that put an adapter on it share one process, at the same time, and the weights count once."""
    running = {one.model: one.size for one in client.ps().models}
    assert {f"{name}:latest" for name in expected} <= running.keys()
    here = {f"{name}:latest": running[f"{name}:latest"] or 0 for name in (*expected, "plain")}
    assert sum(size > 1_000_000 for size in here.values()) == 1, here
    workers = psutil.Process(server.process.pid).children()
    with ThreadPoolExecutor(12) as pool:
        asked = [(name, pool.submit(answered, client, name)) for name in [*expected] * 4]
        assert all(answer.result() == expected[name] for name, answer in asked)
    assert server.metrics()["arriero_adapter_changes_total"] > 0
    body = {"model": "tuned", "prompt": PROMPT, "temperature": 0, "max_tokens": 8, "options": {"num_thread": 1}}
    texts = [
        json.loads(server.post("/v1/completions", {**body, **more}))["choices"][0]["text"]
        for more in ({}, {"lora": [{"id": 0, "scale": 1}]}, {"lora": [{"id": 0, "scale": 0}]}, {"model": "base"})
    ]
    assert texts[0] == texts[1] != texts[2] == texts[3]
    client.generate("base", keep_alive=0)
    assert answered(client, "tuned") == expected["tuned"]
    assert "base:latest" not in {one.model for one in client.ps().models}
    assert psutil.Process(server.process.pid).children() == workers


def test_a_model_in_parts(
    arriero: Callable[..., subprocess.CompletedProcess[str]], client: ollama.Client, network: Network, parts: list[Path]
) -> None:
    assert len(parts) > 2
    assert answered(client, "parts") == greedy(network)
    made = arriero("create", "merged", folder=parts[0].parent)
    assert made.returncode == 0, made.stderr
    assert "merging GGUF files" in made.stderr
    assert answered(client, "merged") == greedy(network)
    copied = arriero("cp", "parts", "copied")
    assert copied.returncode == 0, copied.stderr
    assert answered(client, "copied") == greedy(network)
    client.create("parts8", from_="parts", quantize="q8_0")
    details = client.show("parts8").details
    assert details is not None
    assert details.quantization_level == "Q8_0"


def test_parts_are_pulled_from_a_path(
    arriero: Callable[..., subprocess.CompletedProcess[str]], client: ollama.Client, network: Network, parts: list[Path]
) -> None:
    elsewhere = parts[0].parent.with_name("elsewhere")
    elsewhere.mkdir()
    named = [Path(shutil.copy(path, elsewhere / path.name.replace("parts", "pulled"))) for path in parts]
    pulled = arriero("pull", str(named[0]))
    assert pulled.returncode == 0, pulled.stderr
    assert answered(client, "pulled") == greedy(network)
    named[1].unlink()
    pulled = arriero("pull", str(named[0]))
    assert (pulled.returncode, pulled.stderr) == (
        1,
        f"Error: {named[0].name} is one of {len(parts)} parts, and {named[1].name} is not there\n",
    )


def test_an_embedding_model(client: ollama.Client, home: Path) -> None:
    folder = home / "bert"
    tensors = random_tensors(bert.shapes(), 1)
    write_weights(folder, tensors)
    write_json(folder, "config.json", bert.CONFIG)
    write_json(folder, "tokenizer.json", bert.tokenizer())
    client.create("bert", files=upload(client, folder))
    assert client.show("bert").capabilities == ["embedding"]
    vector = np.array(client.embed("bert", "Happy dog").embeddings[0])
    expected = bert.forward(tensors, [2, 5, 8, 3], lambda x: np.asarray(x.mean(0)))
    assert float(vector @ expected) > 0.9999
