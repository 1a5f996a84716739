"""Every row of Ollama's error table, through a real server: the exact status and the exact text."""

from __future__ import annotations

import http.server
import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.e2e.error_sources import Registry, make_painter, spelled, write_adapter, write_embedder
from tests.e2e.raw import RawReply, RawRequest, ollama_error, send_raw
from tests.e2e.serving import Server, serve
from tests.unit.runners.llama_cpp.tiny_bert import write_bert
from tests.unit.runners.llama_cpp.tiny_gguf import write_gguf

HELLO = [{"role": "user", "content": "Hello!"}]
TOOL = {"type": "function", "function": {"name": "f", "description": "", "parameters": {"type": "object"}}}
NOTHING = f"sha256:{'0' * 64}"
THINK = '(must be "high", "medium", "low", "max", true, or false)'
POSTS = ("generate", "chat", "embed", "embeddings", "show", "pull", "push", "create", "copy")


@pytest.fixture(scope="module")
def registry() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Registry) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{listening.server_address[1]}"
        listening.shutdown()


@pytest.fixture(scope="module")
def errors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with the demo, and a model whose template knows neither tools nor thinking."""
    home = tmp_path_factory.mktemp("errors")
    models = {
        "plain": write_gguf(home / "plain.gguf"),
        "embedder": write_embedder(home / "embedder.gguf"),
        "vectors": write_bert(home / "vectors.gguf"),
    }
    given = [text for name, path in models.items() for text in ("--model", f"{name}={path}")]
    with serve(home, *given, environment={"OLLAMA_MODELS": str(home / "models")}) as server:
        server.post("/api/copy", {"source": "demo", "destination": "painter"})
        make_painter(home / "models")
        yield server


def ask(server: Server, path: str, body: dict[str, Any] | bytes, method: str = "POST") -> RawReply:
    return send_raw(server, path, body, method=method)


@pytest.mark.parametrize("route", POSTS)
def test_empty_body(errors: Server, route: str) -> None:
    assert ollama_error(ask(errors, f"/api/{route}", b"")) == (400, "missing request body")


def test_empty_body_of_delete(errors: Server) -> None:
    assert ollama_error(ask(errors, "/api/delete", b"", "DELETE")) == (400, "missing request body")


@pytest.mark.parametrize("body", [b"{", b"[1]", b'{"model": 7, "source": 7}'])
@pytest.mark.parametrize("route", POSTS)
def test_bad_json_and_types(errors: Server, route: str, body: bytes) -> None:
    status, text = ollama_error(ask(errors, f"/api/{route}", body))
    assert status == 400
    assert text


ROWS: dict[str, tuple[str, dict[str, Any], int, str]] = {
    "model missing: generate": ("generate", {}, 404, "model '' not found"),
    "model missing: chat": ("chat", {"messages": HELLO}, 400, "model is required"),
    "model missing: show": ("show", {}, 400, "model is required"),
    "model missing: push": ("push", {}, 400, "model is required"),
    "model missing: delete": ("delete", {}, 400, "model is required"),
    "model missing: pull": ("pull", {}, 400, "invalid model name"),
    "model missing: embed": ("embed", {"input": "x"}, 404, "model '' not found"),
    "model missing: embeddings": ("embeddings", {"prompt": "x"}, 400, "model is required"),
    "malformed: embed": ("embed", {"model": "a b", "input": "x"}, 400, "invalid model name"),
    "unknown: embed": ("embed", {"model": "x", "input": "x"}, 404, 'model "x" not found, try pulling it first'),
    "unknown: embeddings": (
        "embeddings",
        {"model": "x", "prompt": "x"},
        404,
        'model "x" not found, try pulling it first',
    ),
    "embed: input": ("embed", {"model": "demo", "input": 5}, 400, "invalid input type"),
    "embed: a chat model": (
        "embed",
        {"model": "demo", "input": "x"},
        501,
        "This server does not support embeddings. Start it with `--embeddings`",
    ),
    "embed: too long": (
        "embed",
        {"model": "vectors", "input": "cat " * 3000, "truncate": False},
        400,
        "the input length exceeds the context length",
    ),
    "embeddings: a chat model": (
        "embeddings",
        {"model": "demo", "prompt": "x"},
        500,
        "This server does not support embeddings. Start it with `--embeddings`",
    ),
    "malformed: generate": ("generate", {"model": "a b", "prompt": "x"}, 400, "invalid model name"),
    "malformed: chat": ("chat", {"model": "a b", "messages": HELLO}, 400, "invalid model name"),
    "malformed: show": ("show", {"model": "a b"}, 400, "invalid model name"),
    "malformed: pull": ("pull", {"model": "a b"}, 400, "invalid model name"),
    "malformed: push": ("push", {"model": "a b"}, 400, "invalid model name"),
    "malformed: create": ("create", {"model": "a b", "from": "demo"}, 400, "invalid model name"),
    "malformed: delete": ("delete", {"model": "a b"}, 400, 'name "a b" is invalid'),
    "malformed: copy from": ("copy", {"source": "a b", "destination": "c"}, 400, 'source "a b" is invalid'),
    "malformed: copy to": ("copy", {"source": "demo", "destination": "a b"}, 400, 'destination "a b" is invalid'),
    "unknown: generate": ("generate", {"model": "x", "prompt": "x"}, 404, "model 'x' not found"),
    "unknown: chat": ("chat", {"model": "x", "messages": HELLO}, 404, "model 'x' not found"),
    "unknown: delete": ("delete", {"model": "x"}, 404, "model 'x' not found"),
    "unknown: show": ("show", {"model": "x"}, 404, "model 'x:latest' not found"),
    "unknown: copy": ("copy", {"source": "x", "destination": "y"}, 404, 'model "x" not found'),
    "logprobs: generate": (
        "generate",
        {"model": "demo", "prompt": "x", "logprobs": True, "top_logprobs": 21},
        400,
        "top_logprobs must be between 0 and 20",
    ),
    "logprobs: chat": (
        "chat",
        {"model": "demo", "messages": HELLO, "logprobs": True, "top_logprobs": -1},
        400,
        "top_logprobs must be between 0 and 20",
    ),
    "think": ("chat", {"model": "demo", "messages": HELLO, "think": "x"}, 400, f'invalid think value: "x" {THINK}'),
    "no thinking: chat": (
        "chat",
        {"model": "plain", "messages": HELLO, "think": True},
        400,
        '"plain" does not support thinking',
    ),
    "no thinking: generate": (
        "generate",
        {"model": "plain", "prompt": "x", "think": "high"},
        400,
        '"plain" does not support thinking',
    ),
    "no tools": (
        "chat",
        {"model": "plain", "messages": HELLO, "tools": [TOOL]},
        400,
        "registry.ollama.ai/library/plain:latest does not support tools",
    ),
    "no insert": (
        "generate",
        {"model": "plain", "prompt": "x", "suffix": "y"},
        400,
        "registry.ollama.ai/library/plain:latest does not support insert",
    ),
    "no vision: chat": (
        "chat",
        {"model": "plain", "messages": [{"role": "user", "content": "x", "images": ["aGk="]}]},
        400,
        "registry.ollama.ai/library/plain:latest does not support vision",
    ),
    "no vision: generate": (
        "generate",
        {"model": "plain", "prompt": "x", "images": ["aGk="]},
        400,
        "registry.ollama.ai/library/plain:latest does not support vision",
    ),
    "base64": (
        "generate",
        {"model": "plain", "prompt": "x", "images": ["data:image/png;base64,aGk="]},
        400,
        "illegal base64 data at input byte 4",
    ),
    "raw": (
        "generate",
        {"model": "demo", "prompt": "x", "raw": True, "system": "y"},
        400,
        "raw mode does not support template, system, or context",
    ),
    "format": (
        "chat",
        {"model": "demo", "messages": HELLO, "format": "xml"},
        500,
        'invalid format: "\\"xml\\""; expected "json" or a valid JSON Schema object',
    ),
    **{
        f"options: {kind}": (
            "generate",
            {"model": "demo", "prompt": "x", "options": {name: value}},
            500,
            f'option "{name}" must be of type {kind}',
        )
        for name, value, kind in (
            ("num_ctx", "x", "integer"),
            ("temperature", "x", "float32"),
            ("use_mmap", "x", "boolean"),
            ("stop", 1, "array"),
        )
    },
    "create: nothing named": ("create", {"model": "y"}, 400, "neither 'from' or 'files' was specified"),
    "create: no files": ("create", {"model": "y", "files": {}}, 400, "no files provided to convert"),
    "create: path": (
        "create",
        {"model": "y", "files": {"../a.gguf": NOTHING}},
        400,
        "file path must be relative",
    ),
    "create: blob": ("create", {"model": "y", "files": {"a.gguf": NOTHING}}, 404, f'blob "{NOTHING}" not found'),
    "create: quantize": (
        "create",
        {"model": "y", "from": "demo", "quantize": "q9", "stream": False},
        500,
        "unsupported quantization type Q9 - supported types are F32, F16, Q4_K_S, Q4_K_M, Q8_0",
    ),
    "create: quantize twice": (
        "create",
        {"model": "y", "from": "demo", "quantize": "q4_K_M", "stream": False},
        500,
        "quantization is only supported for F16, BF16 and F32 models",
    ),
    "insecure: pull": ("pull", {"model": "http://127.0.0.1:1/a/b"}, 500, "insecure protocol http"),
    "insecure: push": ("push", {"model": "http://127.0.0.1:1/a/b"}, 500, "insecure protocol http"),
}


@pytest.mark.parametrize("row", ROWS)
def test_row(errors: Server, row: str) -> None:
    route, body, status, text = ROWS[row]
    reply = ask(errors, f"/api/{route}", body, "DELETE" if route == "delete" else "POST")
    assert ollama_error(reply) == (status, text)


# --- models of other kinds ---


@pytest.mark.parametrize(
    ("route", "body"), [("chat", {"messages": HELLO}), ("generate", {"prompt": "x"})], ids=["chat", "generate"]
)
def test_models_that_only_embed_or_make_images(errors: Server, route: str, body: dict[str, Any]) -> None:
    reply = ask(errors, f"/api/{route}", {"model": "embedder", **body})
    assert ollama_error(reply) == (400, f'"embedder" does not support {route}')
    reply = ask(errors, f"/api/{route}", {"model": "painter", **body})
    assert ollama_error(reply) == (400, "image generation models are not currently supported")


# --- blobs and create ---


def uploaded(server: Server, data: bytes) -> str:
    """The digest of `data`, which the server has then."""
    digest = spelled(data)
    assert ask(server, f"/api/blobs/{digest}", data).status in (200, 201)
    return digest


def test_blobs(errors: Server) -> None:
    for bad in ("sha256:12", f"sha256:{'g' * 64}", f"md5:{'0' * 64}"):
        assert ollama_error(ask(errors, f"/api/blobs/{bad}", b"x")) == (400, "invalid digest format")
        assert ask(errors, f"/api/blobs/{bad}", b"", "HEAD").status == 400
    text = f'digest mismatch, expected "{NOTHING}", got "{spelled(b"x")}"'
    assert ollama_error(ask(errors, f"/api/blobs/{NOTHING}", b"x")) == (400, text)
    assert ask(errors, f"/api/blobs/{NOTHING}", b"", "HEAD").status == 404


@pytest.mark.parametrize(
    ("name", "data", "text"),
    [
        ("a.gguf", b"no model at all", "supplied file was not in GGUF format"),
        ("a.txt", b"no model at all", "unknown type"),
    ],
)
def test_files_that_are_no_model(errors: Server, name: str, data: bytes, text: str) -> None:
    body = {"model": "y", "files": {name: uploaded(errors, data)}, "stream": False}
    assert ollama_error(ask(errors, "/api/create", body)) == (400, text)


def test_two_adapters(errors: Server, tmp_path: Path) -> None:
    files = {}
    for name in ("a.gguf", "b.gguf"):
        write_adapter(tmp_path / name)
        files[name] = uploaded(errors, (tmp_path / name).read_bytes())
    body = {"model": "y", "from": "demo", "adapters": files, "stream": False}
    assert ollama_error(ask(errors, "/api/create", body)) == (400, "only one adapter is currently supported")


def test_a_template_that_is_none(errors: Server) -> None:
    status, text = ollama_error(ask(errors, "/api/create", {"model": "y", "from": "demo", "template": "{{ if }}"}))
    assert status == 400
    assert text.startswith("template error: ")


# --- the registry: what is streamed ends with a line, what is not has a status ---


@pytest.mark.parametrize(
    ("model", "text"),
    [
        ("nothing", "pull model manifest: file does not exist"),
        ("wrong", f"digest mismatch, file must be downloaded again: want {spelled(b'right')}, got {spelled(b'wrong')}"),
        ("shut", "pull model manifest: unauthorized: access denied"),
    ],
)
def test_pull(errors: Server, registry: str, model: str, text: str) -> None:
    body = {"model": f"{registry}/library/{model}", "insecure": True}
    status, said = ollama_error(ask(errors, "/api/pull", {**body, "stream": False}))
    assert status == 500
    assert said.startswith(text)
    streamed = ask(errors, "/api/pull", body)
    lines = [json.loads(line) for line in streamed.body.splitlines()]
    assert streamed.status == 200
    assert lines[0] == {"status": "pulling manifest"}
    assert lines[-1] == {"error": said}


# --- prompts that do not fit, full queues, dead runners ---


LONG = "one two three " * 200


@pytest.mark.parametrize(
    ("route", "body"),
    [
        ("generate", {"prompt": LONG, "shift": False}),
        ("generate", {"prompt": LONG, "raw": True}),
        ("generate", {"prompt": LONG, "truncate": False, "stream": True}),
        ("chat", {"messages": [{"role": "user", "content": LONG}]}),
        ("chat", {"messages": [{"role": "user", "content": LONG}, *HELLO], "truncate": False}),
    ],
    ids=["shift off", "raw", "truncate off", "one message", "messages, truncate off"],
)
def test_too_long(errors: Server, route: str, body: dict[str, Any]) -> None:
    """Ollama's text, both numbers, and llama-server's, which Ollama wraps in JSON and that in its own."""
    body = {"model": "demo", "stream": False, "options": {"num_ctx": 256}, **body}
    status, text = ollama_error(ask(errors, f"/api/{route}", body))
    assert status == 400
    native = r"request \((\d{3,}) tokens\) exceeds the available context size \(256 tokens\), try increasing it"
    assert (found := re.search(native, text))
    assert text == (
        "the prompt is longer than the context length currently available to the model; shorten the prompt, adjust the "
        "context length in settings, or use a model with a longer context length "
        f"(the prompt has {found[1]} tokens, num_ctx is 256 with the answer): {found[0]}"
    )


def test_queue_full(tmp_path: Path) -> None:
    """One request may wait; the worker stands still, so that none ever begins."""
    with serve(tmp_path, environment={"OLLAMA_MAX_QUEUE": "1"}) as server:
        server.load()
        (worker,) = psutil.Process(server.process.pid).children()
        worker.suspend()
        body = {"model": "demo", "prompt": "x", "stream": False, "options": {"num_predict": 1}}
        waiting = RawRequest(server, "/api/generate", body)
        waiting.send()
        server.wait_for("arriero_requests_pending", "==", 1)
        reply = ask(server, "/api/chat", {"model": "demo", "messages": HELLO})
        assert ollama_error(reply) == (503, "server busy, please try again.  maximum pending requests exceeded")
        assert int(reply.headers["retry-after"]) > 0
        # One that goes away while it waits has nobody to read its 499; the log has it.
        waiting.close()
        server.wait_for("arriero_requests_pending", "==", 0)
        worker.resume()
        assert ask(server, "/api/generate", body).status == 200
        assert re.search(r"\b499\b", server.log.read_text())


def test_a_dead_runner(errors: Server) -> None:
    """Killed while its answer was being read: a stream cannot take back its status, its last line says it."""
    body = {"model": "demo", "prompt": "Hello!", "options": {"num_predict": 2000, "stop": []}, "raw": True}
    for _ in range(3):  # on a busy machine the answer may be over before anybody is killed
        errors.load()
        request = RawRequest(errors, "/api/generate", body)
        request.send()
        begun = request.wait_for(b'"response"')
        for worker in psutil.Process(errors.process.pid).children():
            worker.kill()
        last = next(line for line in reversed((begun + request.read()).splitlines()) if line.startswith(b"{"))
        if b'"done":true' not in last:
            break
    assert json.loads(last) == {
        "error": "model runner has unexpectedly stopped, this may be due to resource limitations or an internal error, "
        "check ollama server logs for details"
    }
