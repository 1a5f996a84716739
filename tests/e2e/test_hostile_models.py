"""Models that mean harm: templates that never end or raise, headers that boast. An error each; the server goes on."""

from __future__ import annotations

import re
from collections.abc import Iterator

import psutil
import pytest

from tests.e2e.raw import RawReply, send_raw
from tests.e2e.serving import Server, serve
from tests.unit.runners.llama_cpp.tiny_gguf import TEMPLATE, Shape, write_gguf

HOSTILE = {
    "endless": "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    "wide": "{% for i in range(999999999) %}{% endfor %}",
    "huge": "{{ 'x' * 999999999 }}",
    "power": "{{ 9 ** (9 ** 9) }}",
    "reaches": "{{ messages.__class__.__mro__[1].__subclasses__() }}",
    "imports": "{% import 'os' as os %}{{ os.system('true') }}",
    "raises": "{{ raise_exception('no') }}",
    "broken": "{% for m in messages %}",
}
BOASTS = {"million": 2**20, "most": 2**31 - 1, "negative": 2**32 - 1, "none": 0}
GIBIBYTE = 2**30


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with one model for each hostile template, and a harmless one."""
    folder = tmp_path_factory.mktemp("hostile models")
    arguments = []
    for name, template in {**HOSTILE, "harmless": TEMPLATE}.items():
        path = write_gguf(folder / f"{name}.gguf", template=template)
        arguments += ["--model", f"{name}={path}"]
    for name, context in BOASTS.items():
        path = write_gguf(folder / f"{name}.gguf", Shape(ctx=context))
        arguments += ["--model", f"{name}={path}"]
        path = write_gguf(folder / f"{name}-vectors.gguf", Shape(ctx=context), pooling="mean")
        arguments += ["--model", f"{name}-vectors={path}"]
    with serve(tmp_path_factory.mktemp("hostile"), *arguments) as server:
        yield server


def chat(server: Server, model: str, path: str) -> RawReply:
    body = {"model": model, "messages": [{"role": "user", "content": "x"}], "stream": False}
    return send_raw(server, path, {**body, "options": {"num_predict": 2, "num_thread": 1}})


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("path", ["/api/chat", "/v1/chat/completions"])
def test_a_hostile_template_is_an_error(hostile: Server, name: str, path: str) -> None:
    reply = chat(hostile, name, path)
    assert reply.status == 400
    error = reply.json["error"]
    assert "template" in (error if isinstance(error, str) else error["message"])
    assert len(reply.body) < 2000
    assert hostile.metrics()["arriero_internal_errors_total"] == 0


@pytest.mark.parametrize("name", HOSTILE)
def test_what_needs_no_template_still_works(hostile: Server, name: str) -> None:
    """But for a template that does not even compile: that is an error of loading."""
    reply = send_raw(hostile, "/v1/completions", {"model": name, "prompt": "the hello", "max_tokens": 2})
    if name == "broken":
        assert reply.status == 400
        assert "does not compile" in reply.json["error"]["message"]
    else:
        assert reply.status == 200


@pytest.mark.parametrize("name", BOASTS)
def test_a_header_that_boasts_takes_no_memory(hostile: Server, name: str) -> None:
    """The model has 90,000 parameters; its context is cut to what is useful and fits."""
    reply = send_raw(hostile, "/v1/completions", {"model": name, "prompt": "the hello", "max_tokens": 2})
    assert reply.status == 200
    shown = {model["name"]: model for model in send_raw(hostile, "/api/ps", method="GET").json["models"]}
    assert 256 <= shown[f"{name}:latest"]["context_length"] <= 131_072
    workers = psutil.Process(hostile.process.pid).children()
    assert max(worker.memory_info().rss for worker in workers) < GIBIBYTE
    assert send_raw(hostile, "/api/generate", {"model": name, "keep_alive": 0}).status == 200


@pytest.mark.parametrize("name", BOASTS)
def test_an_embedding_models_header_that_boasts_takes_no_memory(hostile: Server, name: str) -> None:
    reply = send_raw(hostile, "/api/embed", {"model": f"{name}-vectors", "input": "the hello", "keep_alive": 0})
    if name in ("negative", "none"):
        assert reply.status == 500
        assert "tokens cannot hold a text" in reply.json["error"]
    else:
        assert reply.status == 200
        assert len(reply.json["embeddings"][0]) == 64


@pytest.mark.parametrize("name", ["most", "harmless"])
def test_a_context_that_no_memory_holds_is_an_error_with_both_numbers(hostile: Server, name: str) -> None:
    body = {"model": name, "prompt": "x", "stream": False, "options": {"num_ctx": 2**31 - 1}}
    reply = send_raw(hostile, "/api/generate", body)
    assert reply.status == 500
    assert re.search(r"a context of 2147483647 tokens needs \d+ MiB .* at most \d+$", reply.json["error"])


def test_the_others_go_on(hostile: Server) -> None:
    assert chat(hostile, "endless", "/api/chat").status == 400
    assert chat(hostile, "harmless", "/api/chat").status == 200
    assert send_raw(hostile, "/api/tags", method="GET").status == 200
